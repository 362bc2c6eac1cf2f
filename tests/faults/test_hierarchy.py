"""Aggregators on virtual time: the same model as without them, and what goes wrong in one region stays there."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hierarchy import BELOW, WORK, Federation
from msgspec import UNSET
from nervenet.broker import messages as m
from nervenet.nodes.federated.client_machine import ClientMachine
from nervenet.nodes.federated.client_registry import ClientRegistry
from nervenet.nodes.federated.hierarchy.composing import STRATEGIES
from nervenet.nodes.federated.hierarchy.upward import UpwardMachine
from nervenet.nodes.federated.region import SHARE, Region
from nervenet.nodes.federated.run_state import RunState
from nervenet.nodes.federated.strategies import Contribution
from nervenet.nodes.federated.strategies.averaging import FedAvg
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev

REGIONS = {"north": [0, 1], "south": [2, 3, 4]}
NESTED = {"north": {"north-east": [0, 1], "north-west": [2, 3]}, "south": [4, 5, 6]}
DONE = e.Finish("completed")


def differs(one: Any, other: Any) -> float:
    return float(np.abs(one - other).max() / np.abs(other).max())


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_mean_of_means_is_the_mean_of_all(strategy: str) -> None:
    flat, deep = (Federation(regions=regions, strategy=strategy).run() for regions in ({}, REGIONS))
    assert set(flat.finished.values()) == set(deep.finished.values()) == {DONE}
    assert differs(deep.weights, flat.weights) < 1e-12
    assert [done["participants"] for done in deep.events("coordinator", "round.completed")] == [["north", "south"]] * 5
    assert {done["participants"][0] for done in deep.events("south" + BELOW, "round.completed")} == {"client-2"}


def test_where_each_fold_is_exact_the_bits_are_the_same() -> None:
    rng, sizes = np.random.default_rng(0), (8, 8, 16, 32)
    start = np.zeros(50, np.float32)
    vectors = [rng.integers(-1024, 1024, 50).astype(np.float32) for _ in sizes]
    clients = [Contribution(f"c{k}", v, start, n) for k, (v, n) in enumerate(zip(vectors, sizes, strict=True))]

    def fold(updates: Any) -> Any:
        return FedAvg().apply({}, start, updates).weights

    regions = [
        Contribution(f"r{k}", fold(part), start, sum(c.examples for c in part))
        for k, part in enumerate((clients[:2], clients[2:3], clients[3:]))
    ]
    assert fold(regions).tobytes() == fold(clients).tobytes()


def test_an_aggregator_may_be_above_others() -> None:
    sizes = (20, 15, 15, 20, 18, 16, 16)
    flat, deep = (Federation(sizes, regions).run() for regions in ({}, NESTED))
    assert set(deep.finished.values()) == {DONE}
    assert differs(deep.weights, flat.weights) < 1e-12


def test_the_sites_judgments_add_up() -> None:
    flat, deep = (Federation(regions=regions, evaluate_sites=True).run() for regions in ({}, REGIONS))
    judged = [run.events("coordinator", "metric.test") for run in (flat, deep)]
    assert [one["round"] for one in judged[0]] == [one["round"] for one in judged[1]] == [1, 2, 3, 4]
    for one, other in zip(*judged, strict=True):
        assert one["examples"] == other["examples"]
        assert other["accuracy"] == pytest.approx(one["accuracy"], rel=1e-12)
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-12)
    assert {one["worst"]["site"] for one in judged[1]} <= {"north", "south"}


def test_a_region_without_clients_says_so_and_is_not_waited_for() -> None:
    run = Federation((24, 24, 24, 24, 24), REGIONS, rounds=30, min_clients=1, region={"min_clients": 1})
    for name in ("client-2", "client-3", "client-4"):
        run.sim.crash(name, 0.3)
        run.sim.at(0.3, lambda name=name: run.sim.post("south" + BELOW, ev.LinkLost(name, "connection reset")))
    run.run(60.0)
    assert run.finished["coordinator"] == DONE
    last = run.events("coordinator", "round.completed")[-1]
    assert last["participants"] == ["north"]
    assert "too few clients in the region: 0 of at least 1 are there" in last["missing"]["south"]
    assert last["duration_s"] < 1


def silent_for_a_while() -> Federation:
    run = Federation(regions=REGIONS, rounds=20)
    for name in ("client-2", "client-3", "client-4"):
        run.sim.at(0.2, lambda name=name: run.sim.post("south" + BELOW, ev.LinkLost(name, "connection reset")))
        run.sim.at(1.2, lambda name=name: run.sim.post("south" + BELOW, ev.LinkUp(name, "client", 1)))
    return run.run(300.0)


def test_clients_that_are_silent_for_a_while_are_waited_for_and_cost_no_round() -> None:
    run = silent_for_a_while()
    assert run.finished["coordinator"] == DONE
    rounds = run.events("coordinator", "round.completed")
    assert {tuple(done["participants"]) for done in rounds} == {("north", "south")}
    assert max(done["duration_s"] for done in rounds) > 0.9
    assert not run.events("coordinator", "round.failed")


def test_if_their_region_declined_at_once_that_would_cost_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunState, "_needs_all", lambda *_: False)
    monkeypatch.setattr(ClientRegistry, "is_lost", lambda self, name: name not in self.living())
    run = silent_for_a_while()
    assert run.events("coordinator", "round.failed")


def lost_for_a_while() -> Federation:
    run = Federation(regions=REGIONS, rounds=20, deadline_s=10.0, suspect_after_s=1.5, lost_after_s=2.0)
    for name in ("client-2", "client-3", "client-4"):
        run.sim.stall(name, 0.2, 4.0)
    return run.run(300.0)


def lost_between_rounds() -> Federation:
    """One region loses its clients while it waits for the other, and has them back later."""

    def network(sender: str, _receiver: str, lane: m.Lane, now: float) -> list[float]:
        late = sender == "client-0" and lane is m.Lane.BULK and 0.2 < now < 0.3
        return [3.0 if late else 0.001]

    lost = {"suspect_after_s": 1.5, "lost_after_s": 2.0}
    run = Federation(regions=REGIONS, network=network, rounds=20, deadline_s=10.0, **lost)
    for name in ("client-2", "client-3", "client-4"):
        run.sim.stall(name, 0.4, 5.0)
    return run.run(300.0)


@pytest.mark.parametrize("lost", [lost_for_a_while, lost_between_rounds])
def test_clients_that_come_back_late_cost_the_run_above_no_attempt(lost: Callable[[], Federation]) -> None:
    run = lost()
    assert run.events("south" + BELOW, "node.lost")
    assert run.finished["coordinator"] == DONE
    assert not run.events("coordinator", "round.failed")
    rounds = run.events("coordinator", "round.completed")
    assert {tuple(done["participants"]) for done in rounds} == {("north", "south")}
    assert max(done["duration_s"] for done in rounds) < 8.0


@pytest.mark.parametrize("lost", [lost_for_a_while, lost_between_rounds])
def test_they_would_cost_one_if_no_task_said_that_the_region_is_needed(
    monkeypatch: pytest.MonkeyPatch, lost: Callable[[], Federation]
) -> None:
    monkeypatch.setattr(RunState, "_needs_all", lambda *_: False)
    [failed] = lost().events("coordinator", "round.failed")
    assert failed["attempt"] == 0
    assert "south: declined" in failed["reason"]


@pytest.mark.parametrize(("least", "needed"), [(2, True), (1, UNSET)])
def test_within_a_region_that_can_be_done_without_none_is_needed(
    monkeypatch: pytest.MonkeyPatch, least: int, needed: Any
) -> None:
    told: dict[str, set[Any]] = {}
    handle = UpwardMachine.handle

    def noted(self: UpwardMachine, event: ev.Event, now: float) -> list[e.Effect]:
        if isinstance(event, ev.Arrived) and isinstance(event.message, m.Task) and event.message.work == "train":
            told.setdefault(event.sender, set()).add(event.message.needed)
        return handle(self, event, now)

    monkeypatch.setattr(UpwardMachine, "handle", noted)
    run = Federation((20, 15, 15, 20, 18, 16, 16), NESTED, min_clients=least, region={"min_clients": 2}).run()
    assert run.finished["coordinator"] == DONE
    assert told == {"coordinator": {needed}, "north" + BELOW: {needed}}


def test_a_region_without_which_the_round_above_fails_waits_for_its_lost_clients_when_it_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(RunState, "_needs_all", lambda *_: False)
    run = lost_for_a_while()
    assert run.events("south" + BELOW, "node.lost")
    assert run.events("coordinator", "round.failed")
    assert run.finished["coordinator"] == DONE
    assert {tuple(done["participants"]) for done in run.events("coordinator", "round.completed")} == {
        ("north", "south")
    }


def test_if_it_declined_each_time_three_times_at_once_would_be_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Region, "_needed", lambda self, task: False)
    run = lost_for_a_while()
    assert run.finished["coordinator"].status == "failed"
    assert "3 times in a row" in run.finished["coordinator"].reason


def test_a_region_gives_up_waiting_for_silent_clients_before_its_deadline_above() -> None:
    run = Federation(
        regions=REGIONS, rounds=20, min_clients=1, region={"min_clients": 2}, deadline_s=4.0, lost_after_s=1e3
    )
    for name in ("client-2", "client-3", "client-4"):
        run.sim.crash(name, 0.2)
        run.sim.at(0.2, lambda name=name: run.sim.post("south" + BELOW, ev.LinkLost(name, "connection reset")))
    run.run(300.0)
    assert run.finished["coordinator"] == DONE
    waited = [
        d for d in run.events("coordinator", "round.completed") if "waited 3.2 s for clients" in str(d.get("missing"))
    ]
    assert waited
    assert all(done["duration_s"] < 4.0 for done in waited)


def test_a_round_that_fails_in_a_region_is_declined_and_the_next_one_is_not() -> None:
    lost: list[float] = []

    def network(sender: str, receiver: str, _lane: Any, now: float) -> list[float]:
        cut = sender.startswith("client") and receiver == "south" + BELOW and 0.1 < now < 0.16
        lost.extend([now] * cut)
        return [] if cut else [0.001]

    run = Federation(regions=REGIONS, network=network, rounds=8, min_clients=1, deadline_s=5.0).run(200.0)
    assert lost
    assert run.finished["coordinator"] == DONE
    rounds = run.events("coordinator", "round.completed")
    [alone] = [done for done in rounds if done["participants"] == ["north"]]
    assert "declined: train failed: 0 of at least 1 clients answered within 4 s" in alone["missing"]["south"]
    assert alone["duration_s"] < 5.0  # the region's deadline ends before
    assert rounds[-1]["participants"] == ["north", "south"]


def test_a_region_that_is_late_gives_up_and_goes_on_with_the_next_round() -> None:
    slow = {"client-3": 0.4}

    def network(sender: str, _receiver: str, _lane: Any, now: float) -> list[float]:
        return [slow.get(sender, 0.001) if 0.1 < now < 0.3 else 0.001]

    run = Federation(
        regions=REGIONS, network=network, rounds=40, min_clients=1, quorum=0.5, region={"quorum": 1.0}
    ).run(60.0)
    assert run.finished["coordinator"] == DONE
    assert run.finished["south" + BELOW] == DONE
    given_up = run.events("south" + BELOW, "round.failed")
    assert given_up
    assert {one["reason"] for one in given_up} == {"the coordinator above waits for it no longer"}
    assert run.events("south" + BELOW, "round.completed")[-1]["round"] > given_up[-1]["round"]


@pytest.mark.parametrize(("region_s", "fits"), [(10.0, False), (12.0, False), (9.9, True), (None, True)])
def test_a_region_must_be_done_before_the_round_above(region_s: float | None, fits: bool) -> None:
    run = Federation(regions=REGIONS, deadline_s=10.0, region={"deadline_s": region_s}).run(60.0)
    if fits:
        assert run.finished["coordinator"] == DONE
        assert run.sim.nodes["north" + BELOW].machine.run.config.timing.deadline_s == (region_s or SHARE * 10.0)
        return
    for name in ("north", "north" + BELOW, "client-0"):
        finished = run.finished[name]
        assert finished.status == "failed"
        assert f"hierarchy.deadline_s = {region_s:g}" in finished.reason
        assert "lasts 10 s; expected less" in finished.reason


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"strategy": "median"}, "median needs each client's own update"),
        ({"strategy": "scaffold"}, "scaffold needs each client's own update"),
        ({"strategy": "fednova"}, "fednova needs each client's own update"),
        ({"settings": WORK | {"ditto": 0.1}}, "federated.ditto"),
        ({"settings": WORK | {"carry_optimizer": True}}, "training.carry_optimizer"),
        ({"settings": WORK | {"of_another_version": 1}}, "of_another_version, and does not go with an aggregator"),
    ],
)
def test_what_does_not_add_up_is_refused_before_any_training(given: dict[str, Any], words: str) -> None:
    run = Federation(regions=REGIONS, **given).run(300.0)
    for name in ("north", "south", "client-0", "client-4"):
        assert words in run.finished[name].reason
    assert not run.events("client-0", "metric.local")
    assert run.finished["coordinator"].status == "failed"
    assert all(words in lost["reason"] for lost in run.events("coordinator", "node.lost"))


def a_task(number: int, origin: int) -> ev.Arrived:
    payload = m.Payload("l", "float64", 2)
    task = m.Task(number, 0, "train", 9.0, False, {}, {"of": "all"}, payload, origin=origin)
    return ev.Arrived("north", task, np.zeros(2))


def trainings_backwards() -> int:
    """Have an aggregator pass on round 8, and then round 7 of a coordinator that was started again."""
    from nervenet.nodes.federated.client_machine import ClientConfig

    client = ClientMachine(ClientConfig("north", 10))
    client.handle(ev.LinkUp("north", "coordinator", 1), 0.0)
    client.handle(a_task(8, 5), 0.0)
    model = ev.ModelReady({"of": "all"}, m.Payload("l", "float64", 2), None)
    effects = client.handle(model, 0.0)
    effects += client.handle(ev.Trained(8, 0, np.zeros(2), 10, {}), 0.1)
    effects += client.handle(a_task(7, 6), 0.2)
    return sum(isinstance(effect, e.Train) for effect in effects)


def test_a_coordinator_that_was_started_again_may_ask_for_an_earlier_round_through_an_aggregator() -> None:
    assert trainings_backwards() == 2


def test_without_its_origin_that_task_would_be_taken_for_an_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClientMachine, "_begin_anew", lambda self, known: [])
    assert trainings_backwards() == 1


def test_a_region_counts_for_no_more_rows_than_it_has_enrolled_with() -> None:
    run = Federation((20, 20, 20, 20, 20), {"north": [0, 1], "south": [2, 3]}, rounds=30)

    def join() -> None:
        run._client("client-4", "south" + BELOW, 4)  # that comes later

    run.sim.at(0.2, join)
    run.run(60.0)
    assert run.finished["coordinator"] == DONE
    assert run.events("south" + BELOW, "round.completed")[-1]["participants"] == ["client-2", "client-3", "client-4"]
    [warning] = [w["reason"] for w in run.events("south" + BELOW, "warning") if "enrolled above" in w["reason"]]
    assert "has 60 rows, and had 40" in warning
    assert not run.events("coordinator", "update.rejected")
