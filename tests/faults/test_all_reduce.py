"""Deployed machines and workers that all-reduce, on virtual time: whose bits they end with, and at how many bytes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from all_reduce_histories import WIDE, PlayedAllReduce, breaches, of
from gossip_drawn import DEADLINE_S, History, Weather
from nervenet.broker import messages as m
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.gossip.all_reduce.rendezvous import Rendezvous
from nervenet.nodes.gossip.all_reduce.rounds import AllReduceRounds
from nervenet.nodes.results.run_result import RunResult
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.simulation.simulate import simulate
from vocabulary import Kill

CALM = History(seed=1, n=4, algorithm="all-reduce", topology="complete", rounds=6)


def broken(run: PlayedAllReduce) -> list[str]:
    """Return what a short history breaks: it has no rounds long after what befell it."""
    return [breach for breach in breaches(run) if not breach.startswith("mends: no round")]


async def simulated(out: Path, monkeypatch: pytest.MonkeyPatch, algorithm: str, nodes: int) -> RunResult:
    monkeypatch.setattr("nervenet.nodes.results.run_dir.installed", lambda name: name != "matplotlib")
    gossip = {"algorithm": algorithm, "topology": "complete"}
    tables = {"mode": "gossip", "nodes": nodes, "rounds": 3, "data": {"name": "iris"}, "gossip": gossip}
    calm = {"evaluation": {"baseline": False}, "simulation": {"engine": "machines"}, "model": {"hidden": [400]}}
    return await simulate(Experiment.from_dict(tables | calm), out=out / f"{algorithm}-{nodes}")


@pytest.mark.parametrize("nodes", [2, 5])
async def test_all_have_the_same_bits_at_the_least_bytes(
    nodes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of n sends (n - 1) / n of a model to the owners of its parts, and as much to tell the mean of its own."""
    result = await simulated(tmp_path, monkeypatch, "all-reduce", nodes)
    assert result["undisturbed"]
    assert len({weights.tobytes() for weights in result.peers.values()}) == 1
    sent = sum(weights.nbytes for weights in result.peers.values())
    assert result["bytes_sent_by_kind"]["weights"] == pytest.approx(3 * 2 * (nodes - 1) / nodes * sent, rel=0.02)


async def test_it_sends_less_than_whole_models_to_everybody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    least, whole = [await simulated(tmp_path, monkeypatch, name, 5) for name in ("all-reduce", "dpsgd")]
    ratio = least["bytes_sent_by_kind"]["weights"] / whole["bytes_sent_by_kind"]["weights"]
    assert ratio == pytest.approx(2 / 5, rel=0.02)


def test_an_undisturbed_round_is_one_whole_all_reduce_of_everybody() -> None:
    run = PlayedAllReduce(CALM).play()
    assert broken(run) == []
    closings = [each for _, each in of(run)]
    assert len(closings) == 4 * 6
    assert all(each.whole and len(each.group) == 4 for each in closings)
    assert len({each.after.tobytes() for each in closings if each.number == 6}) == 1


class Interrupted(PlayedAllReduce):
    """A peer dies at the moment at which it sends its last message of a kind in a round; some of them are lost."""

    def __init__(self, kind: type, reached: int, number: int = 2) -> None:
        self.kind, self.reached, self.number = kind, reached, number
        super().__init__(CALM)

    def _simulation(self, faults: Any) -> Any:
        sim = super()._simulation(faults)
        deliver, sent = sim._deliver, []

        def interrupted(sender: str, receiver: str, message: Any, body: ev.Body) -> None:
            mine = sender == "peer-2" and isinstance(message, self.kind) and message.round == self.number
            if mine:
                sent.append(receiver)
                sim.nodes["peer-2"].alive = len(sent) < 3
            if not mine or len(sent) <= self.reached:
                deliver(sender, receiver, message, body)

        sim._deliver = interrupted  # type: ignore[method-assign]
        return sim

    def told(self) -> list[dict[str, Any]]:
        """What the others say of the round in which it died."""
        return [
            dict(fields)
            for name in ("peer-0", "peer-1", "peer-3")
            for _, kind, fields in self.sim.nodes[name].published
            if kind == "round.completed" and fields["round"] == self.number
        ]


def test_a_sender_that_dies_is_left_out_of_the_parts_that_it_did_not_reach() -> None:
    run = Interrupted(m.ReducePart, reached=1).play()
    assert broken(run) == []
    for fields in run.told():
        assert fields["left_out"] == {"peer-1": ["peer-2"], "peer-3": ["peer-2"]}
        assert fields["kept"] == ["peer-2"]
        assert set(fields["missing"]) == {"peer-2"}
        assert fields["closed_by"] in ("suspected", "deadline")


def test_where_an_owner_dies_those_it_reached_have_its_part_and_the_others_keep_their_own() -> None:
    run = Interrupted(m.ReducedPart, reached=1).play()
    assert broken(run) == []
    assert sorted(len(fields.get("kept", ())) for fields in run.told()) == [0, 1, 1]
    models = {each.after.tobytes() for one, each in of(run) if each.number == 2 and one.name != "peer-2"}
    assert len(models) == 3
    last = {each.after.tobytes() for one, each in of(run) if each.number == 6 and one.name != "peer-2"}
    assert len(last) == 1, "the next whole round brings all together again"


def test_one_that_would_not_be_waited_for_again_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The promises can be broken: here each owner takes a mean of its own for each of those that it tells."""
    result_for = AllReduceRounds._reduced

    def uneven(self: AllReduceRounds, exchange: Any, event: Any, now: float) -> list[e.Effect]:
        effects: list[e.Effect] = []
        for each in result_for(self, exchange, event, now):
            if isinstance(each, e.Send) and isinstance(each.message, m.ReducedPart) and len(each.body):
                effects += [e.Send((peer,), each.message, each.body + place) for place, peer in enumerate(each.to)]
            else:
                effects.append(each)
        return effects

    monkeypatch.setattr(AllReduceRounds, "_reduced", uneven)
    found = breaches(PlayedAllReduce(CALM).play())
    assert any(breach.startswith("bits: ") for breach in found)


def test_nobody_waits_beyond_the_deadline_for_a_straggler() -> None:
    slow = dataclasses.replace(CALM, pace=(1.0, 1.0, 30.0, 1.0), rounds=4)
    run = PlayedAllReduce(slow).play()
    assert [breach for breach in broken(run) if breach.startswith("waits")] == []
    first = [fields for name, fields in reports(run) if name == "peer-0" and fields["round"] == 1]
    assert first[0]["missing"] == {"peer-2": "was not ready in time"}
    assert first[0]["participants"] == ["peer-1", "peer-3"]


def test_values_that_are_not_finite_cost_their_sender_its_place() -> None:
    machine = PlayedAllReduce(CALM)
    deliver = machine.sim._deliver

    def spoiled(sender: str, receiver: str, message: Any, body: ev.Body) -> None:
        if isinstance(message, m.ReducePart) and sender == "peer-3" and message.round == 2:
            arrived = ev.Arrived(sender, message, body, "values must be finite, found NaN or infinity")
            machine.sim.at(machine.sim.now + 0.002, lambda: machine.sim.post(receiver, arrived))
            return
        deliver(sender, receiver, message, body)

    machine.sim._deliver = spoiled  # type: ignore[method-assign]
    run = machine.play()
    assert broken(run) == []
    second = [fields for name, fields in reports(run) if name == "peer-0" and fields["round"] == 2]
    assert second[0]["missing"] == {"peer-3": "values must be finite, found NaN or infinity"}


def reports(run: PlayedAllReduce) -> list[tuple[str, dict[str, Any]]]:
    return [
        (name, dict(fields))
        for name, node in run.sim.nodes.items()
        for _, kind, fields in node.published
        if kind == "round.completed"
    ]


def test_one_killed_and_started_again_is_called_again() -> None:
    history = dataclasses.replace(CALM, rounds=14, kills=(Kill("peer-0", 2.0, True, 1.0),), weather=Weather())
    run = PlayedAllReduce(history).play()
    assert broken(run) == []
    last = [each for _, each in of(run) if each.number == 14]
    assert len(last) == 4
    assert all(len(each.group) == 4 for each in last)
    assert last[0].after.size == WIDE
    assert np.isfinite(last[0].after).all()


class Reminding(PlayedAllReduce):
    """A slow peer says again that it is ready, and that is still on its way when all are called."""

    def __init__(self) -> None:
        self.refusals: list[m.Refused] = []
        super().__init__(dataclasses.replace(CALM, pace=(1.0, 1.0, 2.0, 1.0)))

    def _simulation(self, faults: Any) -> Any:
        sim = super()._simulation(faults)
        deliver = sim._deliver

        def again(sender: str, receiver: str, message: Any, body: ev.Body) -> None:
            deliver(sender, receiver, message, body)
            if isinstance(message, m.ReduceReady) and (sender, receiver) == ("peer-2", "peer-0"):
                sim.at(sim.now + 0.05, lambda: deliver(sender, receiver, message, body))
            if isinstance(message, m.Refused) and message.about == "reduce_call":
                self.refusals.append(message)

        sim._deliver = again  # type: ignore[method-assign]
        return sim


def test_a_reminder_in_flight_has_nobody_called_that_trains() -> None:
    run = Reminding().play()
    assert broken(run) == []
    assert run.refusals == []


def test_if_it_were_believed_one_would_be_called_that_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    add = Rendezvous.add

    def believed(self: Rendezvous, peer: str, number: int, now: float) -> None:
        self._called.pop(peer, None)
        add(self, peer, number, now)

    monkeypatch.setattr(Rendezvous, "add", believed)
    assert {refused.reason for refused in Reminding().play().refusals} >= {"it is training in round 2"}


class Overdue(PlayedAllReduce):
    """A peer takes longer for the mean of its part than the round lasts."""

    def _worker(self, incarnation: Any) -> Any:
        work = super()._worker(incarnation)

        def slow(job: e.Effect) -> tuple[float, ev.Event | None]:
            took, event = work(job)
            late = incarnation.name == "peer-1" and isinstance(job, e.Reduce) and job.number == 2
            return (DEADLINE_S + 1.0 if late else took), event

        return slow


def test_a_mean_that_is_made_too_late_closes_no_round_again() -> None:
    run = Overdue(CALM).play()
    assert [breach for breach in broken(run) if not breach.startswith("waits: ")] == []
    second = [fields for _, fields in reports(run) if fields["round"] == 2]
    assert [fields["kept"] for fields in second] == [["peer-1"]] * 4


def test_if_it_were_taken_while_all_are_put_together_the_round_would_close_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worked = AllReduceRounds.worked

    def taken(self: AllReduceRounds, event: Any, now: float) -> list[e.Effect]:
        if isinstance(event, ev.Reduced) and self.exchange is not None:
            return self._reduced(self.exchange, event, now)
        return worked(self, event, now)

    monkeypatch.setattr(AllReduceRounds, "worked", taken)
    assert "once: peer-1 was in an all-reduce twice" in breaches(Overdue(CALM).play())
