"""A peer that was alone comes back to the round of the others, and no word of one makes the others leave a run out."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from gossip_run import Run
from nervenet.broker import messages as m
from nervenet.broker.testing.faults import Faults, Partition
from nervenet.nodes.gossip.isolation import LEAP, Isolation
from nervenet.nodes.gossip.membership.service import MembershipService
from nervenet.nodes.gossip.neighbor_tracker import NeighborTracker
from nervenet.nodes.gossip.waiting import WaitPolicy
from nervenet.nodes.runtime import events as ev

CUT, HEALED = 5.0, 15.0
QUICK = 0.2


def parted(n: int, topology: str, side: Iterable[int], rounds: int) -> Run:
    """Play a run of which one side, which trains five times as fast, is cut off for a while."""
    names = frozenset(f"peer-{i}" for i in side)
    network = Faults(delay_s=(0.001, 0.003), ordered=True, partitions=[Partition(names, CUT, HEALED)])
    run = Run(n, topology, rounds=rounds, faults=network)
    run.pace = dict.fromkeys(names, QUICK)
    return run.run()


def rounds_of(run: Run, name: str) -> list[dict[str, Any]]:
    return [fields for _, fields in run.published(name, "round.completed") if fields["round"]]


def left_out(run: Run, name: str) -> list[int]:
    """Return the lengths of the gaps in the rounds of a peer."""
    numbers = [fields["round"] for fields in rounds_of(run, name)]
    return [after - number - 1 for number, after in pairwise(numbers) if after > number + 1]


def warned(run: Run, name: str) -> list[str]:
    return [fields["reason"] for _, fields in run.published(name, "warning")]


def without_a_way_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Isolation, "way_back", lambda *_: None)
    monkeypatch.setattr(Isolation, "apart_from", lambda *_: False)


# --------------------------------------------------------------------------------------------------- one that was alone


def check_nobody_leaves_out_what_one_did_alone(n: int, topology: str) -> None:
    run = parted(n, topology, [0], 160)
    others = run.names[1:]
    for name in others:
        assert sum(left_out(run, name)) <= LEAP
    assert all(run.states[name].completed == 160 for name in run.names)
    (back,) = [reason for reason in warned(run, "peer-0") if reason.startswith("it is back from ")]
    assert int(back.split()[4]) > 10, "it was far ahead"
    again = [number for number, rows in sorted(run.rows.items()) if number > 40 and len(rows.get("peer-0", ())) > 1]
    assert again[-1] == 160
    assert len(again) >= 110, "it mixes with them again"
    assert not [fields for name in run.names for fields in rounds_of(run, name) if fields["closed_by"] == "deadline"]


@pytest.mark.parametrize(
    ("n", "topology"),
    [(2, "ring"), (3, "complete"), (5, "ring"), (5, "static-exponential"), (5, "one-peer-exponential")],
)
def test_nobody_leaves_out_what_one_did_alone(n: int, topology: str) -> None:
    check_nobody_leaves_out_what_one_did_alone(n, topology)


@pytest.mark.parametrize(("n", "topology"), [(3, "complete"), (5, "static-exponential")])
def test_without_a_way_back_the_others_would_join_it(n: int, topology: str, monkeypatch: pytest.MonkeyPatch) -> None:
    without_a_way_back(monkeypatch)
    with pytest.raises(AssertionError):
        check_nobody_leaves_out_what_one_did_alone(n, topology)


def test_one_that_ends_alone_says_so() -> None:
    run = parted(3, "complete", [0], 40)
    alone = [fields["round"] for fields in rounds_of(run, "peer-0") if not fields["participants"]]
    assert alone[-1] == 40
    assert warned(run, "peer-0")[-1] == f"ends alone: rounds {alone[0]} to 40 were mixed with nobody"
    assert not [reason for name in run.names[1:] for reason in warned(run, name) if "alone" in reason]


def test_one_whose_neighbors_are_slow_is_not_alone() -> None:
    """It goes on without them, they join its round, and it never goes back."""
    run = Run(3, "complete", rounds=60, deadline_s=2.0)
    run.pace = {"peer-1": 10.0, "peer-2": 10.0}
    run.run()
    numbers = [fields["round"] for fields in rounds_of(run, "peer-0")]
    assert numbers == list(range(1, 61))
    assert not [reason for reason in warned(run, "peer-0") if "alone" in reason]


# ---------------------------------------------------------------------------------------------------------- both halves


def check_the_half_that_is_behind_joins_in_one_leap(n: int, topology: str) -> None:
    run = parted(n, topology, range(n // 2), 160)
    behind = run.names[n // 2 :]
    for name in behind:
        gaps = left_out(run, name)
        assert max(gaps) > 40
        assert len(gaps) <= 2
    assert all(len(rounds_of(run, name)) == 160 for name in run.names[: n // 2])
    assert {len(row) for row in run.rows[159].values()} == ({3} if topology == "ring" else {n})


@pytest.mark.parametrize(("n", "topology"), [(6, "ring"), (4, "complete")])
def test_the_half_that_is_behind_joins_in_one_leap(n: int, topology: str) -> None:
    check_the_half_that_is_behind_joins_in_one_leap(n, topology)


def test_on_a_ring_it_would_be_led_by_one_neighbor_a_few_rounds_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NeighborTracker, "find", lambda *_: False)
    with pytest.raises(AssertionError):
        check_the_half_that_is_behind_joins_in_one_leap(6, "ring")


# --------------------------------------------------------------------------------------------------- a round only named


def check_an_edge_of_a_later_round_leads_nobody_to_it() -> None:
    run = Run(3, "complete", rounds=10_000)
    run.sim.run(3.0)
    state = run.states["peer-2"]
    before = state.round
    run.sim.post("peer-2", ev.Arrived("peer-0", m.Edge(5_000, 2)))
    run.sim.post("peer-2", ev.Arrived("peer-0", m.Exchange(5_000, state.rounds._expected), np.zeros(4)))
    run.sim.run(3.9)
    assert before < state.round <= before + 2 + LEAP


def test_an_edge_of_a_later_round_leads_nobody_to_it() -> None:
    check_an_edge_of_a_later_round_leads_nobody_to_it()


def test_it_would_if_only_those_of_this_round_were_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def joined(self: WaitPolicy, number: int, until: int) -> int:
        ahead = [later for held in self._inbox.early.values() for later in held]
        there = sorted(self._round_of(peer) for peer in self._membership.neighborhood.sources(number))
        furthest = max(ahead, default=number)
        return min(until, furthest if len(there) < 2 else min(furthest, max(there[-2], number + LEAP)))

    monkeypatch.setattr(WaitPolicy, "joined", joined)
    with pytest.raises(AssertionError):
        check_an_edge_of_a_later_round_leads_nobody_to_it()


def test_a_model_that_is_dropped_before_the_graph_is_laid_anew_would_be_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def expects(self: MembershipService, peer: str, number: int, *, later: bool) -> bool:
        return peer in self.neighborhood.sources(number)

    monkeypatch.setattr(MembershipService, "expects", expects)
    with pytest.raises(AssertionError):
        check_nobody_leaves_out_what_one_did_alone(5, "one-peer-exponential")


# -------------------------------------------------------------------------------------------------- the decisions alone


def alone_from(number: int) -> Isolation:
    isolation = Isolation({"a": number})
    assert isolation.closed(number, mixed=False, there=False)
    return isolation


def test_it_goes_back_to_the_furthest_of_those_that_are_there() -> None:
    isolation = alone_from(10)
    isolation.hears("a", 30)
    isolation.hears("b", 31)
    isolation.hears("gone", 50)
    assert isolation.way_back(100, ("a", "b"), 0) == 31
    assert isolation.way_back(100, ("a", "b"), 0) is None, "once"


def test_no_word_takes_it_back_before_it_was_alone() -> None:
    isolation = alone_from(10)
    isolation.hears("a", 2)
    assert isolation.way_back(100, ("a",), 0) == 10


def test_nor_before_the_last_round_of_which_it_sent_a_model() -> None:
    isolation = alone_from(10)
    isolation.hears("a", 2)
    assert isolation.way_back(100, ("a",), 14) == 14


def test_it_stays_where_others_are_near() -> None:
    isolation = alone_from(10)
    isolation.hears("a", 2)
    isolation.hears("b", 100 - LEAP)
    assert isolation.way_back(100, ("a", "b"), 0) is None
    assert not isolation.apart_from("a", 101), "the one that is behind joins"


def test_until_it_knows_where_they_are_it_sends_and_awaits_nothing() -> None:
    isolation = alone_from(10)
    assert isolation.way_back(100, ("a",), 0) is None
    assert isolation.apart_from("a", 101)
    isolation.hears("a", 99)
    assert not isolation.apart_from("a", 101)


def test_who_was_taken_for_silent_for_a_moment_is_sent_the_next_model() -> None:
    assert not alone_from(10).apart_from("a", 11)


def test_a_round_without_anybody_among_living_neighbors_is_none_alone() -> None:
    isolation = Isolation({})
    assert isolation.closed(10, mixed=False, there=True) is None
    isolation.hears("a", 3)
    assert isolation.way_back(100, ("a",), 0) is None


def test_it_is_alone_until_it_has_mixed_again() -> None:
    isolation = alone_from(10)
    assert isolation.closed(11, mixed=False, there=True) is None
    assert isolation.alone_since == 10
    assert isolation.closed(12, mixed=True, there=True) is False
    assert isolation.alone_since == 0
