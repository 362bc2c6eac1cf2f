"""`launch` in a notebook says how far it is, and says nothing where nobody watches."""

import io
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from nervenet.nodes.launching.progress import EVERY_S, Progress, somebody_watches


def said(events: list[dict[str, Any]], times: list[float]) -> list[str]:
    lines: list[str] = []
    clock = iter(times)
    progress = Progress(lines.append, lambda: next(clock))
    for event in events:
        progress.event(event)
    return lines


def completed(number: object, node: str = "coordinator", role: str = "coordinator") -> dict[str, Any]:
    return {"type": "round.completed", "node": node, "role": role, "round": number}


STARTED = {"type": "run.started", "nodes": 2, "rounds": 20}
SCORED = {"type": "metric.test", "node": "coordinator", "accuracy": 0.5}
ENDED = {"type": "run.completed", "completed_rounds": 20, "accuracy": 0.953}


def test_a_line_at_both_ends_and_one_now_and_then_between() -> None:
    events = [STARTED, completed(0), completed(1), SCORED, completed(2), completed(3), ENDED]
    assert said(events, [0.0, 0.1, EVERY_S - 0.1, EVERY_S + 0.2]) == [
        "2 nodes, 20 rounds: starting",
        "round 1 of 20",
        "round 3 of 20, accuracy 0.500",
        "completed: 20 of 20 rounds, accuracy 0.953",
    ]


def test_peers_are_as_far_as_the_last_of_those_that_live() -> None:
    last = {"type": "node.lost", "node": "launcher", "subject": "b"}
    events = [STARTED, completed(3, "a", "peer"), completed(1, "b", "peer"), last, completed(4, "a", "peer")]
    assert said(events, [0.0, 10.0, 20.0])[1:] == ["round 3 of 20", "round 1 of 20", "round 4 of 20"]


def test_a_word_where_a_number_belongs_ends_nothing() -> None:
    odd = [{"type": "run.started", "rounds": "many"}, completed("x"), {"type": "metric.test", "accuracy": "high"}]
    assert said([*odd, {"type": "run.failed", "reason": "odd"}], [0.0])[-1] == "the run has failed"


@pytest.mark.parametrize(
    ("shell", "watched"), [(None, False), (SimpleNamespace(), False), (SimpleNamespace(kernel=1), True)]
)
def test_the_kernel_of_a_notebook_is_somebody(monkeypatch: pytest.MonkeyPatch, shell: Any, watched: bool) -> None:
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert somebody_watches(io.StringIO()) is watched


def test_a_terminal_is_somebody_and_a_pipe_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    assert (somebody_watches(terminal), somebody_watches(io.StringIO())) == (True, False)
