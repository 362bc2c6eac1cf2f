"""The clock of a learning-rate schedule belongs to the model: it travels with the tasks."""

from typing import Any

import numpy as np
import pytest
from nervenet.broker import messages as m
from nervenet.models.local import LocalSettings, LocalTraining
from nervenet.models.site_model import SiteModel
from nervenet.models.site_statistics import agree
from nervenet.nodes.federated.run_state import RunState
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from sklearn.linear_model import SGDClassifier

MODEL = m.Payload(layout="a1b2", dtype="float32", length=5)


def tasks(effects: list[e.Effect]) -> dict[str, m.Task]:
    sends = [x for x in effects if isinstance(x, e.Send) and isinstance(x.message, m.Task)]
    return {name: send.message for send in sends for name in send.to if isinstance(send.message, m.Task)}


def trained(coordinator: Any, clocks: list[float], number: int = 1, examples: int = 10) -> list[e.Effect]:
    for name, clock in zip(coordinator.names, clocks, strict=True):
        coordinator.say(name, m.Update(number, 0, examples, {}, None, MODEL, clock), f"{name} {number}")
    return coordinator.tell(ev.Folded(number, 0, f"w{number}"))  # type: ignore[no-any-return]


def test_a_task_says_how_far_the_model_has_come(coordinator: Any) -> None:
    one = coordinator().settle()
    assert {task.clock for task in tasks(one.effects).values()} == {0.0}
    found = tasks(trained(one, [300.0, 310.0, 2.0**53]))
    assert [found[name].clock for name in one.names] == [310.0] * 3, "nobody alone sets the clock of all"
    assert {task.clock for task in tasks(trained(one, [320.0, 600.0, 700.0], 2)).values()} == {600.0}


def test_the_clock_never_runs_backwards(coordinator: Any) -> None:
    one = coordinator().settle()
    trained(one, [300.0] * 3)
    assert {task.clock for task in tasks(trained(one, [100.0] * 3, 2)).values()} == {300.0}


def test_one_that_comes_late_is_told_the_same(coordinator: Any) -> None:
    one = coordinator(3, participation=0.5).settle()
    asked = set(tasks(one.effects))
    for name in asked:
        one.say(name, m.Update(1, 0, 10, {}, None, MODEL, 250.0), name)
    later = tasks(one.tell(ev.Folded(1, 0, "w1")))
    assert {task.clock for task in later.values()} == {250.0}


def test_a_coordinator_that_is_resumed_goes_on_at_the_clock(coordinator: Any) -> None:
    one = coordinator().settle()
    trained(one, [300.0] * 3)
    restored = RunState(one.state.run.config)
    restored.restore(one.state.run.to_dict(), "w1", "w1", None)
    assert restored.clock == 300.0


def sites(n: int) -> list[LocalTraining]:
    rng = np.random.default_rng(0)
    made = []
    for _ in range(n):
        y = np.arange(60) % 3
        X = rng.normal(size=(60, 4)) + 0.5 * y[:, None]
        made.append(SiteModel(SGDClassifier(loss="log_loss"), X, y))
    agreement = agree({f"site-{k}": site.statistics() for k, site in enumerate(made)})
    for site in made:
        site.build(agreement, 0)
    return [LocalTraining(site, node=f"site-{k}", seed=0) for k, site in enumerate(made)]


def moves_of_the_last_round(travels: bool, rounds: int = 12) -> list[float]:
    """Return how far each of three sites moves the model, of which the third has come in the last round."""
    settings, three, clock = LocalSettings(epochs=5), sites(3), 0.0
    x = three[0].site_model.get_weights()
    for number in range(1, rounds + 1):
        here = three if number == rounds else three[:2]
        # The rule that this replaces: each client goes on from the steps that it has done itself.
        clocks = [clock if travels else 300.0 * (number - 1) * (one is not three[2]) for one in here]
        results = [one.train(x, settings, number, clock=at) for one, at in zip(here, clocks, strict=True)]
        moves = [float(np.linalg.norm(result.vector - x)) for result in results]
        x = np.mean([result.vector for result in results], axis=0)
        clock = results[0].clock
    return moves


def test_a_late_joiner_moves_the_model_no_further_than_the_others() -> None:
    first, second, late = moves_of_the_last_round(travels=True)
    assert late < 1.5 * max(first, second)


def test_it_would_move_it_many_times_as_far_by_a_clock_of_its_own() -> None:
    first, second, late = moves_of_the_last_round(travels=False)
    assert late > 3 * max(first, second)


@pytest.mark.parametrize("clock", [None, 600.0])
def test_no_clock_is_kept_at_the_client(clock: float | None) -> None:
    one = sites(1)[0]
    result = one.train(one.site_model.get_weights(), LocalSettings(epochs=5, carry_optimizer=True), 1, clock=clock)
    assert result.clock == (clock or 0.0) + 300.0
    assert one.get_state() == {}


def begun_with(clock: float, config: Any) -> float:
    run = RunState(config)
    run.update_model(ev.ModelReady({}, MODEL, "w", clock=clock), 0)
    return run.clock


def test_a_run_that_starts_from_a_saved_model_goes_on_at_its_clock(coordinator: Any) -> None:
    assert begun_with(40.0, coordinator().settle().state.run.config) == 40.0


def test_with_the_clock_of_updates_alone_it_would_begin_anew(coordinator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    update = RunState.update_model

    def of_updates(run: RunState, event: Any, number: int, updates: Any = ()) -> None:
        update(run, event, number, updates)
        run.clock = run.clock if updates else 0.0

    monkeypatch.setattr(RunState, "update_model", of_updates)
    assert begun_with(40.0, coordinator().settle().state.run.config) == 0.0
