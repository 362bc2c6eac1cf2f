"""Several rounds of a region for each round above (Liu et al. 2020): what a plain loop gives, and what goes wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from coordinator_by_hand import MODEL, SURVEY, ByHand, only
from federated_config import coordinator_config
from hierarchy import BELOW, WORK, Federation
from nervenet.broker import messages as m
from nervenet.nodes.federated import region
from nervenet.nodes.federated.coordinator_machine import CoordinatorMachine
from nervenet.nodes.federated.run_state import RunState
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.worker import Cancellation
from numpy.typing import NDArray

REGIONS = {"north": [0, 1], "south": [2, 3, 4]}
DONE = e.Finish("completed")
ROUNDS = 4


def mean(weights: Sequence[NDArray[Any]], rows: Sequence[int]) -> NDArray[Any]:
    return np.sum([n * w for n, w in zip(rows, weights, strict=True)], axis=0) / sum(rows)


def plain(run: Federation, each: int, regions: Mapping[str, Sequence[int]] = REGIONS) -> NDArray[Any]:
    """Hierarchical FedAvg as a loop: its Algorithm 1, where each step of a client is an epoch on its own rows."""
    start = run.sim.nodes["coordinator"].machine.run.model
    weights: NDArray[Any] = start.body
    for number in range(1, ROUNDS + 1):
        below, sizes = [], []
        for sites in regions.values():
            edge, rows = weights, [len(run.rows[site]) for site in sites]
            for part in range(each):
                addressed = (number - 1) * each + part + 1
                trained = [
                    run.roles[f"client-{site}"].train(e.Train(addressed, 0, edge, WORK, incarnation=99), Cancellation())
                    for site in sites
                ]
                assert [one.examples for one in trained] == rows
                edge = mean([one.body for one in trained], rows)
            below.append(edge)
            sizes.append(sum(rows))
        weights = mean(below, sizes)
    return weights


def differs(one: Any, other: Any) -> float:
    return float(np.abs(one - other).max() / np.abs(other).max())


@pytest.mark.parametrize("each", [1, 2, 3])
def test_the_model_is_that_of_a_plain_loop(each: int) -> None:
    run = Federation(regions=REGIONS, region={"region_rounds": each}).run()
    assert set(run.finished.values()) == {DONE}
    assert differs(run.weights, plain(run, each)) < 1e-12
    done = [one["round"] for one in run.events("coordinator", "round.completed")]
    assert done == [0, 1, 2, 3, 4]
    within = [one["round"] for one in run.events("south" + BELOW, "round.completed") if one["round"]]
    assert within == list(range(1, ROUNDS * each + 1))


def test_another_number_is_another_model() -> None:
    run = Federation(regions=REGIONS, region={"region_rounds": 2}).run()
    assert differs(run.weights, plain(run, 1)) > 1e-3


def test_one_is_what_there_is_without_that_key() -> None:
    one, without = Federation(regions=REGIONS, region={"region_rounds": 1}).run(), Federation(regions=REGIONS).run()
    assert one.weights.tobytes() == without.weights.tobytes()
    assert one.sim.nodes["south" + BELOW].published == without.sim.nodes["south" + BELOW].published


def test_the_sites_judge_the_model_from_above_and_no_other() -> None:
    flat, deep = (
        Federation(regions=regions, evaluate_sites=True, region={"region_rounds": 2}).run() for regions in ({}, REGIONS)
    )
    judged = [run.events("coordinator", "metric.test") for run in (flat, deep)]
    assert [one["round"] for one in judged[0]] == [one["round"] for one in judged[1]] == [1, 2, 3, 4]
    assert [one["examples"] for one in judged[0]] == [one["examples"] for one in judged[1]]
    coordinator = deep.sim.nodes["coordinator"].machine.run
    told = [deep.roles[f"client-{site}"].perform(holdout(coordinator.weights), Cancellation()) for site in range(5)]
    rows = [answer.metrics["examples"] for answer in told]
    expected = sum(n * answer.metrics["accuracy"] for n, answer in zip(rows, told, strict=True)) / sum(rows)
    assert judged[1][-1]["accuracy"] == pytest.approx(expected, rel=1e-12)


def holdout(weights: Any) -> e.Evaluate:
    return e.Evaluate(ROUNDS, "holdout", weights)


def of_two(**settings: Any) -> Federation:
    """Both clients of a region are needed for a round."""
    return Federation((30, 22, 25, 21), {"north": [0, 1], "south": [2, 3]}, region={"region_rounds": 3}, **settings)


def lost_for_a_while() -> Federation:
    run = of_two(deadline_s=10.0, suspect_after_s=1.5, lost_after_s=2.0)
    for name in ("client-2", "client-3"):
        run.sim.stall(name, 0.1, 4.0)  # in the third of its rounds for the first one above
    return run.run(300.0)


def test_one_that_is_needed_above_goes_on_where_it_stood_as_soon_as_its_clients_are_back() -> None:
    run = lost_for_a_while()
    assert run.finished["coordinator"] == DONE
    assert not run.events("coordinator", "round.failed")
    [stood] = run.events("south" + BELOW, "round.failed")
    assert stood["round"] == 3
    assert run.weights.tobytes() == of_two().run().weights.tobytes()


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the coordinator above not say whom it needs: who is not told declines what fails, and is asked again."""
    monkeypatch.setattr(RunState, "_needs_all", lambda *_: False)


@pytest.mark.usefixtures("silence")
def test_a_round_that_is_asked_for_again_goes_on_where_its_region_stood() -> None:
    run = lost_for_a_while()
    assert run.finished["coordinator"] == DONE
    [failed] = run.events("coordinator", "round.failed")
    assert failed["round"] == 1
    [stood] = run.events("south" + BELOW, "round.failed")
    assert stood["round"] == 3
    done = [one["round"] for one in run.events("south" + BELOW, "round.completed")]
    assert done == list(range(3 * ROUNDS + 1))
    assert run.weights.tobytes() == of_two().run().weights.tobytes()


@pytest.mark.usefixtures("silence")
def test_begun_anew_its_clients_would_take_that_for_what_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = region.Region._open

    def from_the_first(self: Any, event: Any, task: Any, now: float) -> Any:
        self._part = None
        return opened(self, event, task, now)

    monkeypatch.setattr(region.Region, "_open", from_the_first)
    run = lost_for_a_while()
    done = [one["round"] for one in run.events("south" + BELOW, "round.completed")]
    assert run.finished["coordinator"] != DONE or done != list(range(3 * ROUNDS + 1))


def test_all_of_a_regions_rounds_are_over_before_that_above(monkeypatch: pytest.MonkeyPatch) -> None:
    lasting: list[float] = []
    opened = region.Region._open_part

    def noted(self: Any, event: Any, task: Any, part: Any, now: float, left_s: float) -> Any:
        found = opened(self, event, task, part, now, left_s)
        if task.work == "train":
            lasting.append(self.run.config.timing.deadline_s)
            assert part.until <= now + region.SHARE * task.deadline_s
            assert lasting[-1] <= (part.until - now) / (4 - part.number) + 1e-9
        return found

    monkeypatch.setattr(region.Region, "_open_part", noted)
    Federation(regions=REGIONS, region={"region_rounds": 4}, deadline_s=20.0).run()
    assert len(lasting) == 2 * 4 * ROUNDS
    assert lasting[0] == region.SHARE * 20.0 / 4


TASK = m.Task(1, 0, "train", 30.0, False, {}, {"columns": ["x"]}, MODEL, needed=True)
SURVEYED = m.Task(0, 0, "survey", 30.0, False, {})


def failed_for_want_of_clients(*, wanted: bool) -> list[e.Effect]:
    """Return what a region does whose fold fails, and whose clients are gone; its round is `wanted` above or not."""
    names = ("client-0", "client-1")
    config = replace(coordinator_config(names, 1, min_clients=2), ordered=True)
    by_hand = ByHand(names, CoordinatorMachine(config)).gather()
    by_hand.tell(ev.Ordered(e.Survey(), SURVEYED))
    for name in names:
        by_hand.say(name, m.Update(0, 0, 10, {}, {"columns": ["x"]}, SURVEY), "survey")
    by_hand.tell(ev.Surveyed({}, "merged"))
    by_hand.tell(ev.ModelReady({"columns": ["x"]}, MODEL, "w0"))
    by_hand.tell(ev.Ordered(e.Train(1, 0, "w0", {}), TASK))
    for name in names:
        by_hand.say(name, m.Update(1, 0, 10, {}, {}, MODEL), "w1")
    assert len(only(e.Fold, by_hand.effects)) == 1
    if not wanted:
        assert by_hand.tell(ev.Ordered(e.CancelTraining())) == []
    for name in names:
        by_hand.tell(ev.LinkLost(name, "connection reset"))
    return by_hand.tell(ev.Folded(1, 0, None, rejected={"client-0": "not finite"}))


def answers(effects: list[e.Effect]) -> list[tuple[str, int]]:
    return [(passed.event.kind, passed.event.round) for passed in only(e.Pass, effects)]


def test_a_round_that_is_wanted_no_more_is_declined_when_it_fails_for_want_of_clients() -> None:
    effects = failed_for_want_of_clients(wanted=False)
    assert answers(effects) == [("train", 1)]
    assert ("wait",) not in [timer.key for timer in only(e.SetTimer, effects)]


def test_one_that_is_wanted_waits_for_them() -> None:
    effects = failed_for_want_of_clients(wanted=True)
    assert answers(effects) == []
    assert ("wait",) in [timer.key for timer in only(e.SetTimer, effects)]


def test_unasked_whether_it_is_it_would_wait_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    waited = region.Region._wait_for_clients

    def unasked(self: Any, event: Any, now: float) -> Any:
        self._unwanted = False
        return waited(self, event, now)

    monkeypatch.setattr(region.Region, "_wait_for_clients", unasked)
    effects = failed_for_want_of_clients(wanted=False)
    assert answers(effects) == []
    assert ("wait",) in [timer.key for timer in only(e.SetTimer, effects)]
