"""Peers that come, go, die, stall and split, on virtual time: the others go on, and the mean with them."""

from __future__ import annotations

import numpy as np
import pytest
from gossip_run import TRAIN_S, Run, ScriptedWorker
from nervenet.broker import messages as m
from nervenet.broker.testing.faults import Faults, Partition
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev


@pytest.mark.parametrize("topology", ["ring", "random-regular", "complete"])
def test_undisturbed_the_edges_are_those_of_the_roster_and_nobody_is_suspected(topology: str) -> None:
    run = Run(8, topology).run()
    assert all(state.completed == 20 for state in run.states.values())
    graph = run._layout(run.names).out(1)
    for rows in run.rows.values():
        assert {name: tuple(sorted(row.keys() - {name})) for name, row in rows.items()} == graph
    assert not [p for node in run.sim.nodes.values() for p in node.published if p[1].startswith("node.")]
    assert max(run.mean_error(r) for r in run.after) < 1e-12


def test_a_ring_closes_over_two_that_are_killed_and_the_mean_is_kept_again() -> None:
    run = Run(8, rounds=30)
    run.crash("peer-2", 4.2)
    run.crash("peer-5", 6.3)
    run.run()
    living = [name for name in run.names if name not in ("peer-2", "peer-5")]
    assert all(run.states[name].completed == 30 for name in living)
    last = run.rows[30]
    assert {name: len(row) for name, row in last.items()} == dict.fromkeys(living, 3)
    assert set(last["peer-1"]) == {"peer-0", "peer-1", "peer-3"}
    assert max(run.mean_error(r) for r in range(20, 31)) < 1e-12
    lost = {fields["subject"] for _, fields in run.published("peer-7", "node.lost")}
    assert lost == {"peer-2", "peer-5"}
    assert max(now for now, _ in run.published("peer-7", "node.lost")) < 6.3 + 3.0


def test_one_that_joins_through_a_peer_starts_from_its_model_and_takes_part() -> None:
    run = Run(6, rounds=30)
    run.late("zoe", "peer-3", at=5.2)
    run.run()
    assert run.states["zoe"].completed == 30
    first = min(number for number, who in run.before.items() if "zoe" in who)
    assert 9 <= first <= 12
    assert set(run.rows[30]["zoe"]) == {"peer-0", "peer-5", "zoe"}, "by name it stands behind peer-5"
    late = [number for number, rows in run.rows.items() if len(rows.get("zoe", ())) == 3]
    assert late == list(range(late[0], 31))
    assert late[0] <= first + 3
    assert max(run.mean_error(r) for r in run.after) < 1e-12, "nobody's edges counted before both ends had said so"


def test_a_late_peer_does_not_begin_again_when_it_hears_the_surveys_of_the_others() -> None:
    run = Run(4, rounds=30)
    run.late("zoe", "peer-2", at=5.2)
    adopted: list[float] = []
    adopt = ScriptedWorker.__call__

    def watched(self: ScriptedWorker, job: e.Effect) -> tuple[float, ev.Event | None]:
        if isinstance(job, e.LoadWeights):
            adopted.append(run.sim.now)
        return adopt(self, job)

    survey = m.Payload("survey", "float64", 1)

    def tell() -> None:
        assert run.states["zoe"].round, "it has joined"
        for origin in run.names:
            run.sim.post("zoe", ev.Arrived("peer-2", m.PeerSurvey(origin, {}, survey), (1.0,)))

    run.sim.at(9.0, tell)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptedWorker, "__call__", watched)
        run.run()
    assert len(adopted) == 1
    assert run.states["zoe"].completed == 30


def test_a_killed_peer_comes_back_in_a_new_incarnation_and_joins_the_round_of_the_others() -> None:
    run = Run(6, rounds=40)
    run.crash("peer-1", 4.2)
    run.late("peer-1", "peer-4", at=10.0, incarnation=2)
    run.run()
    assert run.states["peer-1"].completed == 40
    assert set(run.rows[40]["peer-1"]) == {"peer-0", "peer-1", "peer-2"}
    assert [f["reason"] for _, f in run.published("peer-3", "node.ready")]


def test_a_stopped_peer_costs_nothing_once_it_is_suspected_and_is_readmitted_when_it_wakes() -> None:
    run = Run(8, rounds=60)
    run.sim.stall("peer-3", 5.2, 12.0)
    run.run()
    assert all(state.completed == 60 for state in run.states.values())
    rounds = [now for now, f in run.published("peer-2", "round.completed")]
    gaps = np.diff(rounds)
    assert gaps.max() < 4.0
    assert sum(gaps > 2 * TRAIN_S) <= 3, "the others wait for it once, and once more for it to catch up"
    assert set(run.rows[60]["peer-3"]) == {"peer-2", "peer-3", "peer-4"}
    assert not run.published("peer-3", "node.lost"), "it blames nobody"
    assert max(run.mean_error(r) for r in range(50, 61)) < 1e-12


def test_eight_that_are_cut_into_four_and_four_go_on_as_two_and_heal_into_one() -> None:
    side = frozenset(f"peer-{i}" for i in range(4))
    cut, heal = 8.0, 25.0
    faults = Faults(delay_s=(0.001, 0.003), ordered=True, partitions=[Partition(side, cut, heal)])
    run = Run(8, rounds=100, faults=faults)
    run.run()
    at = {number: now for now, f in run.published("peer-0", "round.completed") if (number := f["round"])}
    before = run.distance(max(number for number, now in at.items() if now < cut))
    apart = [number for number, now in at.items() if cut + 8 < now < heal]
    assert apart, "both halves go on"
    for number in apart:
        for name, row in run.rows[number].items():
            assert {(p in side) for p in row} == {name in side}
    assert max(run.distance(n) for n in apart) > 1.5 * before, "and drift apart"
    whole = next(n for n in sorted(at) if at[n] > heal and _one_piece(run.rows[n]))
    assert at[whole] < heal + 8.0
    healed = min(n for n in at if at[n] > heal)
    back = [n for n in range(healed, 101) if run.distance(n) <= before]
    assert back, "consensus is reached again"
    assert back[0] - whole <= 10
    assert max(run.mean_error(r) for r in range(90, 101)) < 1e-12


def _one_piece(rows: dict[str, dict[str, float]]) -> bool:
    reached, edge = set(), {min(rows)}
    while edge:
        reached |= edge
        edge = {p for name in edge for p in rows.get(name, ()) if p in rows} - reached
    return reached == set(rows) and len(rows) == 8


def test_of_two_with_one_identity_the_older_stops() -> None:
    run = Run(6, rounds=60)
    at = {lane: f"tcp://elsewhere:{lane}" for lane in ("control", "bulk")}
    news = m.Gossip((m.MemberState("peer-2", 5, "alive", addresses=at),))
    run.sim.at(5.0, lambda: run.sim.post("peer-2", ev.Arrived("peer-4", news)))
    run.sim.run(10.0)
    assert run.sim.nodes["peer-2"].finished is None, "nobody has answered there"
    run.sim.at(10.0, lambda: run.sim.post("peer-2", ev.LinkUp("peer-2", "peer", 5)))
    run.sim.run(15.0)
    ended = run.sim.nodes["peer-2"].finished
    assert ended is not None
    assert ended.status == "failed"
    assert "started again" in ended.reason


def test_a_late_peer_to_whom_nobody_gives_a_model_fails_by_name_within_its_deadline() -> None:
    run = Run(4, rounds=4, join_deadline_s=5.0)
    run.run()
    run.enter("zoe", run.alive(["nobody"]), late=True)
    run.sim.run(run.sim.now + 20.0)
    ended = run.sim.nodes["zoe"].finished
    assert ended is not None
    assert "gave its model within 5 s" in ended.reason


def test_that_a_peer_has_left_is_published_once() -> None:
    run = Run(4)
    run.sim.at(2.0, lambda: run.sim.post("peer-1", ev.Arrived("peer-0", m.Goodbye(round=3, reason="done"))))
    run.sim.run(2.5)
    assert [fields for _, fields in run.published("peer-1", "node.left")] == [{"subject": "peer-0", "reason": "done"}]


def test_one_that_came_late_and_is_asked_for_rounds_only_then_does_them() -> None:
    run = Run(4, rounds=40)
    run.late("zoe", "peer-2", at=5.2, asked=False)
    run.sim.run(8.0)
    joined = run.states["zoe"].completed
    assert joined >= 8
    run.sim.post("zoe", ev.Proceed(40))
    run.run()
    assert run.states["zoe"].completed == 40


def test_a_late_peer_that_is_asked_for_no_more_than_is_done_fails_by_name() -> None:
    run = Run(4, rounds=40)
    run.late("zoe", "peer-2", at=5.2, asked=False)
    run.sim.run(8.0)
    run.sim.post("zoe", ev.Proceed(3))
    run.sim.run(8.1)
    ended = run.sim.nodes["zoe"].finished
    assert ended is not None
    assert "the run is over: it has completed round" in ended.reason


def test_a_round_that_is_only_named_leaves_nobody_behind() -> None:
    run = Run(6, rounds=40)
    run.sim.run(3.0)
    state = run.states["peer-2"]
    before = state.round
    far = m.Exchange(10**6, state.rounds._expected)
    run.sim.post("peer-2", ev.Arrived("peer-4", far, np.zeros(4)))
    run.sim.run(3.5)
    assert state.round <= before + 2
