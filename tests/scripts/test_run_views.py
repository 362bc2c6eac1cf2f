"""Of which runs a monitor keeps a view, where a publisher makes up names of runs."""

from typing import Any

import pytest
from nervenet.scripts import views
from nervenet.scripts.views import MOST_NAMES, MOST_RUNS, PlainView, RunViews


def event(kind: str, run: str, **more: Any) -> dict[str, Any]:
    by = {"node": "coordinator", "role": "coordinator", "incarnation": 1}
    return {"type": kind, "run": run, **by, "seq": 1, "time": 1.0, **more}


DONE = {"round": 1, "task": "classification", "classes": 3}


def flooded(names: int, kind: str = "round.completed", **fields: Any) -> PlainView:
    """Return a view of a run, of which something is heard now and then among made-up ones."""
    view = PlainView(watches=True)
    for number in range(names):
        if number % 100 == 0:
            view.event(event("round.completed", "real", **DONE | {"round": number}))
        view.event(event(kind, f"made-up-{number}", **fields))
    return view


def kept(view: PlainView) -> set[int]:
    return {len(view._runs.by_run), len(view._runs._heard), len(view._outcomes), len(view._told)}


def test_runs_that_are_made_up_take_no_memory_and_displace_none_that_goes_on() -> None:
    view = flooded(3 * MOST_RUNS, **DONE)
    assert max(kept(view)) == MOST_RUNS
    assert view._runs.by_run["real"].round == 3 * MOST_RUNS // 100 * 100
    assert view._told <= view._runs.by_run.keys()


def test_without_a_bound_they_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "MOST_RUNS", 10**9)
    assert kept(flooded(3 * MOST_RUNS, **DONE)) == {3 * MOST_RUNS + 1}


def test_a_run_that_has_ended_is_forgotten_first_and_no_late_word_of_it_begins_it_anew() -> None:
    runs = RunViews()
    runs.update(event("round.completed", "going on", **DONE))
    runs.update(event("run.completed", "ended", status="completed"))
    for number in range(MOST_RUNS - 1):
        runs.update(event("run.started", f"run-{number}"))
    assert ("going on" in runs.by_run, "ended" in runs.by_run) == (True, False)
    runs.update(event("metric.test", "ended"))
    assert "ended" not in runs.by_run
    runs.update(event("run.started", "ended"))
    assert runs.newest.run == "ended", "it was resumed"


def test_names_of_runs_that_have_ended_are_forgotten_in_the_end() -> None:
    view = flooded(2 * MOST_NAMES, "run.completed", status="completed")
    assert len(view._runs._ended) == MOST_NAMES
    assert max(kept(view)) == MOST_RUNS
    assert "real" in view._runs.by_run
