"""The directory: runs, shared configurations, rosters, leases; every rule is a call."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from nervenet.broker.directory import Directory, Reply
from nervenet.broker.messages import (
    CODES,
    EventAddresses,
    Failed,
    GetEventAddresses,
    GetRoster,
    GetSnapshot,
    Hello,
    Join,
    Joined,
    Leave,
    Ok,
    RenewLease,
    Roster,
)

LEASE_S = 5.0


def join(
    node: str,
    role: str = "peer",
    incarnation: int = 1,
    shared_config: Any = None,
    run: str = "demo",
    need: int = 2,
    **claim: Any,
) -> Join:
    addresses = {"control": f"tcp://{node}:1"}
    return Join(7, run, node, role, incarnation, 99, addresses, shared_config or {}, need, 30.0, **claim)


def directory() -> Directory:
    return Directory("tcp://b:2", "tcp://b:3", lease_s=LEASE_S)


def replies(outcomes: list[Any]) -> dict[bytes, Any]:
    return {outcome.identity: outcome.message for outcome in outcomes if isinstance(outcome, Reply)}


def events(outcomes: list[Any]) -> list[dict[str, Any]]:
    return [outcome for outcome in outcomes if isinstance(outcome, dict)]


def says(broker: Directory, message: Any, now: float = 0.0, identity: bytes = b"x") -> Any:
    """Return the immediate answer to a request; None if it must wait."""
    return replies(broker.handle(identity, message, now)).get(identity)


def test_a_resuming_coordinator_may_need_fewer_clients_than_they_expect():
    broker = directory()
    shared_config = {"mode": "federated"}
    says(broker, join("a", "client", shared_config=shared_config, need=3))
    assert says(broker, GetRoster(1, "demo", 0, 10.0), identity=b"a") is None
    answers = replies(broker.handle(b"c", join("c", "coordinator", shared_config=shared_config, need=1), 1.0))
    assert [member.node for member in answers[b"a"].members] == ["a", "c"]
    for need in (3, 1):  # and a client has no say in it once the run is open
        says(broker, join(f"b{need}", "client", shared_config=shared_config, run="other", need=need))
    assert says(broker, join("c", "coordinator", shared_config=shared_config, run="other", need=3)).roster_version == 0


def test_a_roster_is_issued_to_all_polls_when_enough_have_joined():
    broker = directory()
    assert says(broker, join("b")) == Joined(7, "tcp://b:2", "tcp://b:3", LEASE_S, 0)
    assert says(broker, GetRoster(1, "demo", 0, 10.0), identity=b"b") is None
    answers = replies(broker.handle(b"a", join("a"), 1.0))
    assert answers[b"a"].roster_version == 1
    roster = answers[b"b"]
    assert isinstance(roster, Roster)
    assert (roster.id, roster.version, [member.node for member in roster.members]) == (1, 1, ["a", "b"])
    assert roster.members[0].addresses == {"control": "tcp://a:1"}
    assert says(broker, GetRoster(2, "demo", 0, 10.0)).version == 1  # at once
    assert says(broker, GetRoster(2, "demo", 1, 10.0)) is None  # nothing newer


@pytest.mark.parametrize("role", ["coordinator", "launcher"])
def test_coordinator_and_launcher_do_not_count_as_nodes(role):
    broker = directory()
    says(broker, join("a"))
    assert says(broker, join("c", role)).roster_version == 0
    assert says(broker, join("b")).roster_version == 1


def test_a_federated_run_waits_for_its_coordinator():
    broker = directory()
    shared_config = {"mode": "federated"}
    for name in ("a", "b"):
        assert says(broker, join(name, "client", shared_config=shared_config)).roster_version == 0
        says(broker, RenewLease(1, "demo", name, 1), 29.0)
    assert broker.tick(30.0) == []  # nobody asked
    assert says(broker, GetRoster(1, "demo", 0, 9.0), 31.0).reason == (
        "2 of 2 nodes joined within 30 s (network.join_deadline_s): a, b; no coordinator"
    )
    other = directory()
    for name, role in (("a", "client"), ("b", "client"), ("c", "coordinator")):
        answer = says(other, join(name, role, shared_config=shared_config))
    assert answer.roster_version == 1


def test_too_few_in_time_is_a_failure_with_names():
    broker = directory()
    says(broker, join("b", need=3))
    says(broker, join("a", need=1))  # only the first one's number counts
    broker.handle(b"w", GetRoster(4, "demo", 0, 60.0), 0.0)
    for name in ("a", "b"):
        says(broker, RenewLease(1, "demo", name, 1), 29.0)
    assert replies(broker.tick(29.9)) == {}
    answers = replies(broker.tick(30.0))[b"w"]
    assert answers == Failed(4, "incomplete", "2 of 3 nodes joined within 30 s (network.join_deadline_s): a, b")
    late = says(broker, join("c"), 30.1)
    assert (late.code, "failed to start" in late.reason) == ("incomplete", True)


def test_the_first_node_sets_the_configuration_and_a_difference_is_named():
    broker = directory()
    says(broker, join("a", shared_config={"mode": "gossip", "model": {"hidden": [64], "name": "mlp"}}))
    refusal = says(
        broker, join("client-2", shared_config={"mode": "gossip", "model": {"hidden": (32,), "name": "mlp"}})
    )
    reason = "run 'demo' was opened with other terms than client-2 brings: model.hidden=[32]"
    assert refusal == Failed(7, "config", f"{reason}; who opened it has the experiment")
    missing = says(broker, join("c", shared_config={"mode": "gossip", "model": {"name": "mlp"}}))
    assert ": model.hidden=(not given);" in missing.reason
    several = says(broker, join("c", shared_config={"mode": "solo", "model": {"hidden": [1], "name": "x"}}))
    assert ": mode=solo, model.hidden=[1], model.name=x;" in several.reason, "all at once"
    assert not any(told in several.reason for told in ("gossip", "64", "mlp")), "and nothing of what the run has"
    assert isinstance(
        says(broker, join("b", shared_config={"mode": "gossip", "model": {"hidden": (64,), "name": "mlp"}})), Joined
    )


def test_two_runs_are_independent():
    broker = directory()
    says(broker, join("a", shared_config={"x": 1}))
    assert isinstance(says(broker, join("a", shared_config={"x": 2}, run="other")), Joined)
    assert sorted(broker._runs) == ["demo", "other"]


def newcomer(renews_until: float = 99.0, **claim: Any) -> tuple[Any, float]:
    """The final answer to a node that asks twice a second for the name of one that renews until then, and its time."""
    broker = directory()
    says(broker, join("a", need=1))
    answer, now = None, 0.0
    for step in range(100):
        now = 0.1 * step
        if step % 16 == 0 and now <= renews_until:
            assert says(broker, RenewLease(1, "demo", "a", 1), now) == Ok(1)
        broker.tick(now)
        if step % 5 == 0 and now >= 2.5:
            answer = says(broker, join("a", incarnation=2, waited_s=now - 2.5, **claim), now)
            if not isinstance(answer, Failed) or answer.code != "held":
                return answer, now
            assert "the name a is held in run 'demo' (pid 99 at tcp://a:1, joined " in answer.reason
    return answer, now


def test_the_name_of_a_node_that_answers_is_refused_with_who_has_it_and_the_way_out():
    refused, now = newcomer()
    assert (refused.code, now) == ("taken", 3.5), "after its next renewal"
    assert refused.reason == (
        "the name a is taken in run 'demo' by a node that answers (pid 99 at tcp://a:1, joined 4 s ago): choose "
        "another --name, or end that node by --replace"
    )


def test_without_that_rule_the_newcomer_would_evict_it(monkeypatch):
    monkeypatch.setattr(Directory, "_claim", lambda *_: None)
    assert isinstance(newcomer()[0], Joined)


def test_a_node_that_is_killed_or_stopped_loses_its_name_when_its_lease_is_over():
    joined, now = newcomer(renews_until=2.0)
    assert isinstance(joined, Joined)
    assert now == pytest.approx(1.6 + LEASE_S, abs=0.5)


def test_replace_takes_the_name_at_once_and_tells_the_other_who_has_it():
    joined, now = newcomer(replace=True)
    assert isinstance(joined, Joined)
    assert now == 2.5
    broker = directory()
    says(broker, join("a"))
    says(broker, join("a", incarnation=2, replace=True))
    assert says(broker, RenewLease(1, "demo", "a", 1)).reason == (
        "a of run 'demo' has been started again since, and has the name now (pid 99 at tcp://a:1)"
    )


def test_a_name_is_free_at_once_when_its_node_has_left():
    broker = directory()
    says(broker, join("a", need=1))
    assert says(broker, join("a", incarnation=2)).code == "held"
    says(broker, Leave(1, "demo", "a", 1, "done"))
    assert isinstance(says(broker, join("a", incarnation=2)), Joined)


def test_the_sleep_of_a_broker_is_no_sign_of_life():
    broker = directory()
    says(broker, join("a", need=1))
    assert says(broker, join("a", incarnation=2), 1.0).code == "held"
    broker.extend_deadlines(60.0, 62.0)
    assert says(broker, join("a", incarnation=2, waited_s=61.0), 62.0).code == "held"
    says(broker, RenewLease(1, "demo", "a", 1), 62.1)
    assert says(broker, join("a", incarnation=2, waited_s=61.5), 62.5).code == "taken"


def test_a_newer_incarnation_takes_over_and_an_older_one_is_refused():
    broker = directory()
    says(broker, join("a", incarnation=5))
    says(broker, join("b"))
    broker.handle(b"w", GetRoster(1, "demo", 1, 60.0), 0.0)
    roster = replies(broker.handle(b"x", join("a", incarnation=6, replace=True), 1.0))[b"w"]
    assert (roster.version, roster.members[0].incarnation) == (2, 6)
    assert says(broker, join("a", incarnation=5)).code == "stale"
    assert says(broker, RenewLease(1, "demo", "a", 5)).code == "stale"
    assert says(broker, Leave(1, "demo", "a", 5, "")).code == "stale"
    assert says(broker, RenewLease(1, "demo", "a", 6)) == Ok(1)
    assert says(broker, RenewLease(1, "demo", "a", 7)).code == "unknown"  # so it joins


@pytest.mark.parametrize(("silent_s", "state"), [(0, "alive"), (6, "suspect"), (20, "dead")])
def test_a_run_outlives_its_coordinator_and_accepts_its_next_incarnation(silent_s, state):
    broker, shared_config = directory(), {"mode": "federated"}
    for name in ("a", "b"):
        says(broker, join(name, "client", shared_config=shared_config))
    says(broker, join("c", "coordinator", incarnation=5, shared_config=shared_config))
    for now in range(0, silent_s + 1, 2):  # it dies without a word; the others stay
        for name in ("a", "b"):
            says(broker, RenewLease(1, "demo", name, 1), now)
        broker.tick(now)
    known = says(broker, GetRoster(1, "demo", 0, 1.0), silent_s)
    assert known.members[-1].state == state
    broker.handle(b"w", GetRoster(1, "demo", known.version, 60.0), silent_s)
    again = join("c", "coordinator", incarnation=6, shared_config=shared_config, replace=not silent_s)
    again.addresses["control"] = "tcp://elsewhere:1"
    answers = replies(broker.handle(b"x", again, silent_s))
    assert answers[b"x"].roster_version == answers[b"w"].version == known.version + 1
    found = answers[b"w"].members[-1]
    assert (found.incarnation, found.state, found.addresses) == (6, "alive", {"control": "tcp://elsewhere:1"})
    assert says(broker, RenewLease(1, "demo", "c", 5), silent_s).code == "stale"


def test_a_late_member_gets_the_roster_at_once_and_is_in_it():
    broker = directory()
    for name in ("a", "b"):
        says(broker, join(name))
    broker.handle(b"w", GetRoster(1, "demo", 1, 60.0), 0.0)
    answers = replies(broker.handle(b"x", join("late"), 90.0))  # long after the join deadline
    assert [member.node for member in answers[b"w"].members] == ["a", "b", "late"]
    assert says(broker, GetRoster(1, "demo", 0, 1.0), 90.0) == answers[b"w"]


def test_joining_is_idempotent():
    broker = directory()
    says(broker, join("a"))
    says(broker, join("b"))
    assert says(broker, join("b")).roster_version == 1


def test_leases_lapse_to_suspect_and_then_dead_and_a_renewal_clears():
    broker = directory()
    says(broker, join("a"))
    says(broker, join("b"))
    broker.handle(b"w", GetRoster(1, "demo", 1, 60.0), 0.0)
    says(broker, RenewLease(1, "demo", "b", 1), 4.0)
    suspected = events(broker.tick(5.0))
    assert [(e["type"], e["run"], e["subject"]) for e in suspected] == [("node.suspect", "demo", "a")]
    assert suspected[0]["reason"] == "no sign of life for 5.0 s"
    assert events(broker.tick(5.1)) == []  # once
    assert says(broker, RenewLease(1, "demo", "a", 1), 6.0) == Ok(1)
    says(broker, RenewLease(1, "demo", "b", 1), 20.0)
    assert [e["type"] for e in events(broker.tick(11.0))] == ["node.suspect"]
    outcomes = broker.tick(21.0)
    assert [(e["type"], e["subject"]) for e in events(outcomes)] == [("node.lost", "a")]
    roster = replies(outcomes)[b"w"]
    assert [(member.node, member.state) for member in roster.members] == [("a", "dead"), ("b", "alive")]
    assert says(broker, RenewLease(1, "demo", "a", 1), 22.0).code == "unknown"  # it must join again


def lost_in_its_sleep(slept_s: float) -> list[str]:
    """Whom a broker that wakes after a minute takes for lost, where it takes note of so much of that minute."""
    broker = directory()
    says(broker, join("a"))
    says(broker, join("b"))
    broker.extend_deadlines(slept_s, 60.0)
    lost = [event["subject"] for event in events(broker.tick(60.0)) if event["type"] == "node.lost"]
    later = [event["type"] for event in events(broker.tick(60.0 + 3 * LEASE_S))]
    assert not slept_s or later == 2 * ["node.suspect", "node.lost"], "the next silence counts again"
    return lost


def test_a_broker_that_slept_takes_nobody_for_lost():
    assert lost_in_its_sleep(60.0) == []


def test_that_does_not_know_of_its_sleep_would_take_all():
    assert lost_in_its_sleep(0.0) == ["a", "b"]


def test_a_member_that_leaves_is_not_in_the_next_roster():
    broker = directory()
    for name in ("a", "b"):
        says(broker, join(name))
    assert says(broker, Leave(3, "demo", "a", 1, "done"), 1.0) == Ok(3)
    roster = says(broker, GetRoster(1, "demo", 1, 1.0), 1.0)
    assert (roster.version, [member.node for member in roster.members]) == (2, ["b"])


def test_an_ended_run_is_forgotten_and_its_name_is_free_at_once():
    broker = directory()
    for name in ("a", "b"):
        says(broker, join(name, shared_config={"x": 1}))
    for name in ("a", "b"):
        says(broker, Leave(1, "demo", name, 1, "done"), 1.0)
    assert isinstance(says(broker, join("a", shared_config={"x": 2}), 2.0), Joined)
    says(broker, Leave(1, "demo", "a", 1, "done"), 3.0)
    broker.tick(62.0)
    assert list(broker._runs) == ["demo"]
    broker.tick(63.1)
    assert not broker._runs


def test_a_poll_ends_at_its_deadline():
    broker = directory()
    says(broker, join("a"))
    broker.handle(b"w", GetRoster(4, "demo", 0, 2.0), 0.0)
    assert replies(broker.tick(1.9)) == {}
    assert replies(broker.tick(2.0)) == {b"w": Failed(4, "late", "1 of 2 nodes joined: a")}
    assert replies(broker.tick(2.1)) == {}
    says(broker, join("b"), 2.2)
    broker.handle(b"w", GetRoster(5, "demo", 1, 1.0), 2.3)
    assert replies(broker.tick(3.3)) == {b"w": Failed(5, "late", "no newer roster yet")}
    assert says(broker, GetRoster(1, "nowhere", 0, 1.0)).code == "unknown"


def test_event_addresses_are_returned_and_other_messages_refused():
    broker = directory()
    assert says(broker, GetEventAddresses(3)) == EventAddresses(3, "tcp://b:2", "tcp://b:3")
    assert says(broker, Hello("a", "peer", "demo", 1, 1)).code == "unknown"
    assert says(broker, GetSnapshot(5, "")).id == 5


class AnyTraffic(RuleBasedStateMachine):
    """Whatever is asked in whatever order, answers are well-formed, versions only grow, nothing waits for ever."""

    nodes = st.sampled_from(["a", "b", "c", "d"])
    few = st.integers(1, 3)

    def __init__(self) -> None:
        super().__init__()
        self.broker = directory()
        self.now = self.ticked = 0.0
        self.waiting: dict[bytes, float] = {}
        self.polls = 0

    def take(self, outcomes: list[Any]) -> None:
        for outcome in outcomes:
            if isinstance(outcome, dict):
                assert outcome["type"] in {"node.suspect", "node.lost"}
                continue
            self.waiting.pop(outcome.identity, None)
            if isinstance(outcome.message, Failed):
                assert outcome.message.code in CODES
            if isinstance(outcome.message, Roster):
                names = [member.node for member in outcome.message.members]
                assert names == sorted(set(names))
                assert outcome.message.version >= 1

    def ask(self, message: Any) -> Any:
        outcomes = self.broker.handle(b"x", message, self.now)
        self.take(outcomes)
        return replies(outcomes)[b"x"]

    @rule(
        node=nodes,
        incarnation=few,
        shared_config=st.sampled_from([{}, {"mode": "federated"}]),
        role=st.sampled_from(["client", "coordinator"]),
        replace=st.booleans(),
        waited_s=st.floats(0.0, 9.0),
    )
    def join(self, node, incarnation, shared_config, role, replace, waited_s):
        asked = join(node, role, incarnation, shared_config, replace=replace, waited_s=waited_s)
        assert isinstance(self.ask(asked), Joined | Failed)

    @rule(node=nodes, incarnation=few)
    def renew(self, node, incarnation):
        assert isinstance(self.ask(RenewLease(1, "demo", node, incarnation)), Ok | Failed)

    @rule(node=nodes, incarnation=few)
    def leave(self, node, incarnation):
        assert isinstance(self.ask(Leave(1, "demo", node, incarnation, "")), Ok | Failed)

    @rule(newer=st.integers(0, 5), deadline=st.floats(0.0, 100.0))
    def poll(self, newer, deadline):
        self.polls += 1
        identity = f"p{self.polls}".encode()
        self.waiting[identity] = self.now + min(deadline + 1e-9, 60.0)
        self.take(self.broker.handle(identity, GetRoster(1, "demo", newer, deadline), self.now))

    @rule(seconds=st.floats(0.0, 40.0))
    def wait(self, seconds):
        self.now = self.ticked = self.now + seconds
        self.take(self.broker.tick(self.now))

    @invariant()
    def no_poll_waits_beyond_its_deadline(self):
        assert all(until > self.ticked for until in self.waiting.values())


AnyTraffic.TestCase.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
TestAnyTraffic = AnyTraffic.TestCase
