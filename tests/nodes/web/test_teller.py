"""Which run is told of: the newest, whatever comes late of those before; and names of runs that are made up."""

import pytest
from nervenet.nodes.web import teller as module
from nervenet.nodes.web.teller import MOST_RUNS, Teller


def of(run: str) -> dict[str, object]:
    return {"type": "x", "run": run, "node": "n", "role": "monitor", "incarnation": 0, "seq": 1, "time": 1.0}


def told_of(names: int) -> Teller:
    teller = Teller()
    for number in range(names):
        teller.update(of(f"run-{number}"))
    return teller


def test_an_event_that_comes_late_begins_no_run_anew() -> None:
    teller = told_of(3 * MOST_RUNS)
    for late in range(2 * MOST_RUNS, 3 * MOST_RUNS - 1):
        teller.update(of(f"run-{late}"))
    assert teller.run.view.run == f"run-{3 * MOST_RUNS - 1}"


def test_runs_that_are_made_up_take_no_memory() -> None:
    assert len(told_of(3 * MOST_RUNS)._seen) == MOST_RUNS


def test_without_a_bound_they_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_RUNS", 10**9)
    assert len(told_of(3 * MOST_RUNS)._seen) > MOST_RUNS
