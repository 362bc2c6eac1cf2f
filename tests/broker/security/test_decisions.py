"""Who may connect, and who may speak as whom: the pure decisions, without a socket."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nervenet.broker.errors import NotEncrypted
from nervenet.broker.security.allow_list import AllowList, Entry
from nervenet.broker.security.plain import LOCAL, Plain, is_local
from nervenet.broker.security.refusals import Refusals
from nervenet.broker.security.roles import (
    OF_LAUNCH,
    PUBLISHERS,
    ROLES,
    SERVICES,
    wrong_publisher,
    wrong_role,
    wrong_speaker,
)
from nervenet.broker.security.zap import Malformed, ZapRequest, accepted, decide, parse_request, refused
from nervenet.broker.transport_events import ConnectionRefused
from zmq.utils import z85

KEY = bytes(range(32))
PUBLIC = z85.encode(KEY).decode()


def asked(domain: bytes = b"directory/1", mechanism: bytes = b"CURVE", *credentials: bytes) -> list[bytes]:
    return [b"1.0", b"1", domain, b"10.0.0.7", b"", mechanism, *(credentials or (KEY,))]


def listed(*roles: str) -> AllowList:
    return AllowList.of([Entry("north", PUBLIC, frozenset(roles))])


def test_an_allowed_key_is_accepted_and_becomes_the_user_of_its_messages():
    request = parse_request(asked())
    assert request == ZapRequest(b"1", "directory/1", "10.0.0.7", "CURVE", PUBLIC)
    entry = decide(request, listed("client"))
    assert entry.name == "north"
    assert accepted(request, entry) == [b"1.0", b"1", b"200", b"OK", PUBLIC.encode(), b""]


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        (asked(mechanism=b"NULL"), "does not encrypt (mechanism NULL)"),
        (asked(mechanism=b"PLAIN"), "does not encrypt (mechanism PLAIN)"),
        (asked(b"inbox.peer/3"), "north is allowed as client; the inbox.peer is for peer"),
        (asked(b"nonsense"), "north is allowed as client; the nonsense is for "),
        ([*asked()[:6], bytes(32)], f"the key {z85.encode(bytes(32)).decode()} is not allowed here"),
    ],
)
def test_everybody_else_is_refused_by_name_and_reason(frames, reason):
    found = decide(parse_request(frames), listed("client"))
    assert isinstance(found, ConnectionRefused)
    assert (found.reason, found.address) == (reason, "10.0.0.7")


@given(st.lists(st.binary(max_size=40), max_size=9))
def test_no_frames_are_accepted_by_accident(frames):
    request = parse_request(frames)
    if isinstance(request, Malformed):
        assert refused(request.id)[2] == b"400"
    else:
        assert isinstance(decide(request, listed(*ROLES)), ConnectionRefused)


@given(st.sampled_from(sorted(SERVICES)), st.sets(st.sampled_from([*ROLES, *OF_LAUNCH]), min_size=1))
def test_a_role_opens_the_services_that_list_it_and_no_other(service, roles):
    assert (wrong_role(service, frozenset(roles)) is None) == bool(roles & SERVICES[service])


def test_a_monitor_reaches_the_directory_and_the_events_alone():
    assert {service for service, roles in SERVICES.items() if "monitor" in roles} == {"directory", "events_out"}


@given(st.sampled_from(["north", "south"]), st.sampled_from(ROLES))
def test_only_the_owner_of_a_name_speaks_by_it_and_only_in_its_roles(node, role):
    allowed = wrong_speaker("north", frozenset({"client", "broker"}), node, role) is None
    assert allowed == (node == "north" and role in {"client", "broker"})


@pytest.mark.parametrize("kind", ["run.completed", "run.failed", "round.completed", "node.result", "metric.test"])
def test_a_client_does_not_say_what_becomes_of_a_run(kind, monkeypatch):
    asked = ("north", frozenset({"client"}), kind, "north", "client")
    assert wrong_publisher(*asked).startswith("north publishes as client; it is for ")
    monkeypatch.delitem(PUBLISHERS, kind)
    assert wrong_publisher(*asked) is None, "else the test above would hold whatever the table says"


def test_other_packages_have_events_of_their_own():
    assert wrong_publisher("north", frozenset({"client"}), "own.event", "north", "client") is None
    assert wrong_publisher("north", frozenset({"client"}), "own.event", "south", "client") is not None


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("tcp://127.0.0.1:5555", True),
        ("tcp://127.8.8.8:*", True),
        ("tcp://localhost:1", True),
        ("tcp://[::1]:1", True),
        ("ipc:///tmp/x", True),
        ("inproc://x", True),
        ("tcp://0.0.0.0:5555", False),
        ("tcp://*:5555", False),
        ("tcp://[::]:5555", False),
        ("tcp://10.0.0.1:5555", False),
        ("tcp://hub.example.org:5555", False),
        ("tcp://127.0.0.1.example.org:5555", False),
        ("tcp://localhost.example.org:1", False),
        ("tcp://10.0.0.1:1;127.0.0.1:5555", False),
        ("tcp://127.0.0.1:1;10.0.0.1:5555", False),
        ("tcp://eth0:1", False),
        ("tcp://127.0.0.999:1", False),
        ("tipc://{5555,0}@0.0.0", False),
        ("ws://127.0.0.1:1", False),
    ],
)
def test_what_leaves_this_machine_is_refused_without_keys(address, local):
    assert is_local(address) is local
    Plain(insecure=True).check(address)
    if local:
        LOCAL.check(address)
    else:
        with pytest.raises(NotEncrypted, match=r"nervenet keys new NAME.*nervenet keys allow FILE.pub.*--insecure"):
            LOCAL.check(address)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"))))
def test_a_name_with_two_keys_or_a_key_with_two_names_allows_nobody(pairs):
    found = AllowList.of(Entry(name, key, frozenset({"client"})) for name, key in pairs)
    for name, key in pairs:
        single = [one for one, _ in pairs].count(name) == 1 and [other for _, other in pairs].count(key) == 1
        assert (name in found.by_name) == (key in found.by_key and found.by_key[key].name == name) == single
    assert bool(found.problems) == (len(found.by_name) < len(pairs))


def test_who_is_gone_or_has_fewer_roles_is_told_apart():
    before = AllowList.of([Entry("a", "x", frozenset({"client", "monitor"})), Entry("b", "y", frozenset({"client"}))])
    after = AllowList.of([Entry("a", "x", frozenset({"client"})), Entry("b", "y", frozenset({"client", "peer"}))])
    assert [entry.name for entry in before.without(after)] == ["a"]
    assert [entry.name for entry in after.without(AllowList.of([Entry("b", "z", frozenset({"peer"}))]))] == ["a", "b"]


def refusal(address: str = "10.0.0.7", reason: str = "unknown") -> ConnectionRefused:
    return ConnectionRefused("directory", address, "", "", reason)


def test_a_flood_of_refusals_is_reported_at_once_and_then_less_and_less_often():
    refusals = Refusals()
    told = [(now // 10, count) for now in range(2_000) if (count := refusals.report(refusal(), now / 10))]
    assert told == [(0, 1), (10, 100), (30, 200), (70, 400), (150, 800)]
    assert refusals.rest() == [(refusal(), 2_000 - 1_501)]


def test_what_was_held_back_is_told_when_it_is_due_though_nobody_comes_any_more():
    refusals = Refusals()
    assert [refusals.report(refusal(), now) for now in (0.0, 1.0, 2.0)] == [1, 0, 0]
    assert refusals.due(9.9) == []
    assert refusals.due(10.0) == [(refusal(), 2)]
    assert refusals.due(100.0) == refusals.rest() == []


def test_a_million_bad_connections_leave_a_bounded_number_of_lines():
    refusals, lines = Refusals(), 0
    for now in range(10_000):  # a hundred at a time, from everywhere
        lines += bool(refusals.report(refusal(f"10.0.{now % 251}.{now % 256}"), float(now)))
    assert lines < 2_000


@given(st.lists(st.text(string.ascii_letters, max_size=3), max_size=600))
def test_refusals_of_many_strangers_take_bounded_memory(addresses):
    refusals = Refusals()
    for address in addresses:
        refusals.report(refusal(address), 0.0)
    assert len(refusals._said) <= 65
