"""Which connections are ended, and why; pure."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nervenet.broker.guard.bucket import Bucket
from nervenet.broker.guard.table import Connection, ConnectionTable, Policy
from nervenet.broker.kernel import Reading
from nervenet.broker.limits import LIMITS, allowed

PROTOCOL = Path(__file__).parents[3] / "docs" / "protocol.md"


@pytest.fixture
def limit(monkeypatch):
    """Sets a row of the table."""

    def set_(name: str, value: int) -> None:
        monkeypatch.setitem(LIMITS, name, dataclasses.replace(LIMITS[name], value=value))

    return set_


def table(service: str = "inbox.coordinator", held: int = 1_000_000, **policy) -> ConnectionTable:
    return ConnectionTable(Policy(service, held, **policy))


def reading(received: int = 0, acknowledged: int = 0, idle: bool = True):
    return lambda _: Reading(received, acknowledged, idle)


def limits_of(endings) -> list[tuple[int, str]]:
    return [(ending.connection.descriptor, ending.limit) for ending in endings]


def test_the_page_has_the_table_of_the_code():
    text = PROTOCOL.read_text()
    rows = [f"| `{name}` | {limit.value:,} | {limit.of} | {limit.why} |" for name, limit in LIMITS.items()]
    assert "\n".join(["| limit | value | of | why |", "|---|---|---|---|", *rows, "", ""]) in text


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(1, 5)), max_size=60))
def test_a_bucket_never_gives_more_than_it_had_and_what_it_was_given(steps):
    bucket, now, taken = Bucket(10, 2.0, 0.0), 0.0, 0
    for pause, count in steps:
        now += pause
        taken += count if bucket.take(now, count) else 0
        assert taken <= 10 + 2.0 * now + 1e-6


def test_a_stranger_that_sends_much_before_its_hello_is_ended_and_a_member_is_not():
    connections = table()
    for descriptor in (4, 5):
        assert connections.accepted(descriptor, descriptor, "10.0.0.7", 0.0) == []
    connections.introduced(5)
    endings = connections.look(reading(received=500_000), 1.0)
    assert limits_of(endings) == [(4, "unknown_bytes")]
    assert endings[0].reason == "sent more than 327,680 bytes before it introduced itself"


def test_what_has_been_delivered_is_not_held():
    connections = table()
    connections.accepted(4, 4, "", 0.0)
    connections.introduced(4)
    assert connections.came(4, int, 900_000, 2, 0.0) is None
    assert connections.look(reading(received=1_800_000), 1.0) == []
    assert limits_of(connections.look(reading(received=1_910_000), 1.0)) == [(4, "held_bytes")]


def test_heartbeats_of_a_year_are_no_held_bytes():
    connections = table()
    connections.accepted(4, 4, "", 0.0)
    connections.introduced(4)
    year_s = 365 * 86_400.0
    assert connections.look(reading(received=int(42 * year_s)), year_s) == []


def test_a_stranger_that_says_nothing_is_ended_in_time():
    connections = table()
    connections.accepted(4, 4, "", 0.0)
    assert connections.look(reading(), 30.0) == []
    assert limits_of(connections.look(reading(), 30.1)) == [(4, "unknown_s")]
    connections.introduced(4)
    assert connections.look(reading(), 1e6) == []


def test_a_publisher_may_be_silent_once_it_has_greeted():
    connections = table("events_in", silent=True)
    connections.accepted(4, 4, "", 0.0)
    assert connections.look(reading(received=64), 1.0) == []
    assert limits_of(connections.look(reading(received=64), 31.0)) == [(4, "unknown_s")]
    connections.look(reading(received=200), 29.0)
    assert connections.look(reading(received=200), 1e6) == []


def test_of_too_many_strangers_the_oldest_go_unless_they_have_just_come(limit):
    limit("unknown", 3)
    connections = table()
    for descriptor in range(3):
        assert connections.accepted(descriptor, descriptor, "", descriptor / 10) == []
    assert limits_of(connections.accepted(3, 3, "", 0.3)) == [(3, "unknown")]
    assert connections.look(reading(), 0.5) == []
    connections.introduced(3)  # it had said HELLO already
    assert limits_of(connections.accepted(4, 4, "", 2.2)) == [(0, "unknown")]
    assert limits_of(connections.look(reading(), 2.2)) == [(0, "unknown")]


def test_members_are_not_among_the_strangers(limit):
    limit("unknown", 3)
    connections = table()
    for descriptor in range(10):
        assert connections.accepted(descriptor, descriptor, "", 0.0) == []
        connections.introduced(descriptor)


def test_of_too_many_connections_the_oldest_stranger_goes_or_the_newest(limit):
    limit("connections", 3)
    connections = table()
    for descriptor in range(3):
        connections.accepted(descriptor, descriptor, "", 0.0)
    assert limits_of(connections.accepted(3, 3, "", 1.0)) == [(3, "connections")]
    connections.closed(3)
    assert limits_of(connections.accepted(4, 4, "", 3.0)) == [(0, "connections")]


def test_connections_of_one_address_have_a_pace(limit):
    limit("handshakes", 2)
    connections = table()
    endings = [connections.accepted(k, k, "10.0.0.7", 0.0) for k in range(3)]
    assert [limits_of(each) for each in endings] == [[], [], [(2, "handshakes_s")]]
    assert connections.accepted(3, 3, "10.0.0.8", 0.0) == []
    assert connections.accepted(4, 4, "10.0.0.7", 1.0) == []


@pytest.mark.parametrize("introduces_itself", [True, False])
def test_who_has_introduced_itself_leaves_the_pace_of_its_address_to_others(limit, introduces_itself):
    limit("unknown", 2)
    connections = table()
    for descriptor in range(10):
        endings = connections.accepted(descriptor, descriptor, "10.0.0.7", 0.0)
        if introduces_itself:
            connections.introduced(descriptor)
    assert limits_of(endings) == ([] if introduces_itself else [(9, "handshakes_unknown_s")])


def test_what_says_something_before_it_is_announced_is_of_that_pace_too(limit):
    limit("handshakes", 1)
    connections = table()
    for descriptor in (4, 5, 6):
        connections.came(descriptor, lambda of: 100 + of, 10, 1, 0.0)
    connections.introduced(4)
    endings = [connections.accepted(each, 100 + each, "10.0.0.7", 0.0) for each in (4, 5, 6)]
    assert [limits_of(each) for each in endings] == [[], [], [(6, "handshakes_s")]]


def test_messages_and_bytes_have_a_pace(limit):
    limit("messages", 2)
    limit("messages_s", 1)
    connections = table("events_in", nbytes=(100, 10))
    assert connections.came(4, int, 60, 2, 0.0) is None
    ending = connections.came(4, int, 60, 2, 0.0)
    assert ending is not None
    assert ending.reason == "sends more than 10 bytes a second"
    assert connections.came(5, int, 1, 2, 0.0) is None
    assert connections.came(5, int, 1, 2, 0.0) is None
    assert "messages a second" in connections.came(5, int, 1, 2, 0.0).reason


def test_the_bytes_of_an_address_are_those_of_all_its_connections():
    connections = table("directory", nbytes=(100, 10), together=True)
    for descriptor, address in ((1, "a"), (2, "a"), (3, "b")):
        connections.accepted(descriptor, descriptor, address, 0.0)
    found = [connections.came(k, int, 60, 1, 0.0) for k in (1, 2, 3)]
    assert [ending and ending.reason for ending in found] == [
        None,
        "sends more than 10 bytes a second from its address",
        None,
    ]


def test_a_message_of_many_frames_ends_its_connection():
    assert table().came(4, int, 60, 17, 0.0).limit == "frames_read"


def test_faults_are_few_for_a_stranger_and_more_for_a_member(limit):
    limit("faults", 20)
    connections = table()
    for descriptor in (4, 5):
        connections.accepted(descriptor, descriptor, "", 0.0)
    connections.introduced(5)
    found = {k: next(n for n in range(30) if connections.fault(k)) for k in (4, 5)}
    assert found == {4: allowed("unknown_faults"), 5: 20}


def back_after_a_cut() -> list[tuple[int, str]]:
    """Return what is ended of two connections from where one member was cut off, once they have sent a part each."""
    connections = table()
    connections.accepted(4, 4, "10.0.0.7", 0.0)
    connections.introduced(4)
    connections.closed(4)
    for descriptor in (5, 6):
        connections.accepted(descriptor, descriptor, "10.0.0.7", 1.0)
    return limits_of(connections.look(reading(received=500_000), 2.0))


def test_one_who_was_cut_off_goes_on_with_its_model_ahead_of_its_hello():
    assert back_after_a_cut() == [(6, "unknown_bytes")]  # and so does nobody else


def test_as_a_stranger_it_would_be_cut_off_again(monkeypatch):
    monkeypatch.setattr(ConnectionTable, "_excuse", lambda *_: False)
    assert back_after_a_cut() == [(5, "unknown_bytes"), (6, "unknown_bytes")]


@pytest.mark.parametrize("ended", [False, True])
def test_who_was_cut_off_may_be_silent_and_say_what_had_waited_and_who_was_ended_may_not(ended):
    connections = table()
    member = connections.accepted(4, 4, "", 0.0) or connections.get(4)
    connections.introduced(4)
    if ended:
        connections.ended(member)
    connections.closed(4)
    connections.accepted(5, 5, "", 1.0)
    assert any(connections.fault(5) for _ in range(allowed("unknown_faults") + 1)) is ended
    assert bool(connections.look(reading(), 32.0)) is ended


def test_who_has_introduced_itself_again_leaves_nothing_to_others():
    connections = table()
    for descriptor in (4, 5):
        connections.accepted(descriptor, descriptor, "", 0.0)
        connections.introduced(descriptor)
        connections.closed(4)
    connections.accepted(6, 6, "", 0.0)
    assert limits_of(connections.look(reading(received=500_000), 2.0)) == [(6, "unknown_bytes")]


def test_publishers_that_came_during_a_sleep_are_no_crowd(limit):
    limit("unknown", 1)
    connections = table("events_in", silent=True)
    for descriptor in range(3):
        connections.accepted(descriptor, descriptor, "", 0.0)
    assert connections.look(reading(received=200), 60.0) == []


def test_subscriptions_are_bounded_for_each_and_for_all(limit):
    limit("subscriptions", 2)
    limit("subscription_bytes", 100)
    connections = table("events_out", subscribes=True)
    for descriptor in (4, 5, 6):
        connections.accepted(descriptor, descriptor, "", 0.0)
    assert [connections.subscribed(4, 10) for _ in range(2)] == [None, None]
    assert connections.subscribed(4, 10).limit == "subscriptions"
    assert connections.subscribed(5, 129).limit == "topic_bytes"
    connections.closed(5)
    assert connections.subscribed(6, 80).limit == "subscription_bytes"
    connections.closed(6)
    assert connections.topic_bytes == 30


def test_who_reads_no_answer_is_ended():
    connections = table("directory")
    connections.accepted(4, 4, "", 0.0)
    connections.introduced(4)
    found: Connection = connections.get(4)
    found.sent = allowed("unread_bytes") + 10
    assert connections.look(reading(acknowledged=10), 1.0) == []
    assert limits_of(connections.look(reading(acknowledged=9), 1.0)) == [(4, "unread_bytes")]


def test_a_subscriber_that_reads_no_event_is_ended_and_a_slow_one_is_not():
    connections = table("events_out", subscribes=True)
    connections.accepted(4, 4, "", 0.0)
    connections.subscribed(4, 1)
    connections.relayed = 10**9
    assert connections.look(reading(acknowledged=100), 1.0) == []  # idle: it has read all
    connections.relayed += allowed("lag_bytes") + 50
    assert connections.look(reading(acknowledged=150, idle=False), 2.0) == []
    assert limits_of(connections.look(reading(acknowledged=149, idle=False), 2.0)) == [(4, "lag_bytes")]


def test_what_came_before_its_connection_was_announced_counts():
    connections = table()
    assert connections.came(4, lambda _: 77, 100, 1, 0.0) is None
    connections.introduced(4)
    assert connections.accepted(4, 77, "10.0.0.7", 0.1) == []
    assert (connections.get(4).delivered, connections.get(4).known) == (100, True)
    connections.accepted(4, 78, "10.0.0.7", 0.2)  # another one, under the same descriptor
    assert (connections.get(4).delivered, connections.get(4).known) == (0, False)


def test_what_is_left_of_a_connection_that_has_closed_makes_no_stranger():
    """ZeroMQ announces an end a moment before it closes the descriptor."""
    connections = table()
    connections.accepted(4, 77, "", 0.0)
    connections.closed(4)
    assert connections.came(4, lambda _: 77, 100, 1, 0.1) is None
    assert connections.came(4, lambda _: 0, 100, 1, 0.2) is None
    assert len(connections) == 0
    connections.came(4, lambda _: 78, 100, 1, 0.3)  # another one, under the same descriptor
    assert len(connections) == 1


def test_who_has_the_descriptor_of_one_that_was_ended_is_heard():
    """Neither that it has closed nor that another one was accepted is announced yet."""
    connections = table()
    connections.accepted(4, 77, "", 0.0)
    connections.ended(connections.get(4))
    connections.came(4, lambda _: 77, 100, 1, 0.1)
    assert connections.get(4).ended
    connections.came(4, lambda _: 78, 100, 1, 0.2)
    assert not connections.get(4).ended


def test_a_thousand_nodes_of_one_machine_may_wait_to_be_read():
    """As where all nodes of a launch join at once, and the broker takes longer to read them than a stranger may be."""
    connections = table("directory")
    for descriptor in range(1_000):
        assert connections.accepted(descriptor, descriptor, "127.0.0.1", 0.0) == []
    assert connections.look(reading(received=400), 1.0 + allowed("unknown_grace_s")) == []
    for descriptor in range(1_000, 1_025):
        connections.accepted(descriptor, descriptor, "127.0.0.1", 0.0)
    assert limits_of(connections.look(reading(received=400), 10.0)) == [(0, "unknown")]


def left_of_one(how: str) -> ConnectionTable:
    """A connection that has closed, of which ZeroMQ has not handed on all; `how` it came to that."""
    connections = table()
    connections.accepted(4, 104, "10.0.0.7", 0.0)
    if how == "ended":
        connections.ended(connections.get(4))
    else:
        connections.closed(4)
    assert connections.came(4, lambda _: 0, 60, 2, 0.1) is None
    return connections


def test_what_is_left_of_one_that_was_ended_is_not_delivered():
    """The system may have closed its descriptor before all is read that came over it at once."""
    assert left_of_one("ended").left_over(4)
    assert not left_of_one("closed").left_over(4), "a farewell counts, and whatever came before it"


def test_the_next_connection_of_its_descriptor_is_another():
    connections = left_of_one("ended")
    assert connections.came(4, lambda _: 105, 60, 2, 0.2) is None
    assert not connections.left_over(4)
    connections.closed(4)
    assert connections.came(4, lambda _: 0, 60, 2, 0.3) is None
    assert not connections.left_over(4)
