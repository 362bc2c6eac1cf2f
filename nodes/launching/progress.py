"""What `launch` says of a run as it goes on, for notebooks and scripts: a plain line now and then."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, TextIO

EVERY_S = 2.0  # between two lines


def somebody_watches(stream: TextIO) -> bool:
    """Whether a terminal or the kernel of a notebook shows what is written to a stream."""
    if stream.isatty():
        return True
    known = sys.modules.get("IPython")  # not imported here: a kernel has done so
    shell = None if known is None else known.get_ipython()
    return hasattr(shell, "kernel")


class Progress:
    """Writes a line when a run begins and ends, and in between at most one every two seconds.

    Parameters
    ----------
    write
        Takes a line.
    now
        Returns seconds, of any clock that does not run backwards.
    """

    def __init__(self, write: Callable[[str], object], now: Callable[[], float]) -> None:
        self._write, self._now = write, now
        self._said_at = float("-inf")
        self._rounds = 0
        self._completed: dict[str, int] = {}  # by coordinator or peer
        self._scores: dict[str, str] = {}

    def event(self, event: Mapping[str, Any]) -> None:
        kind, node, number = event.get("type"), str(event.get("node")), event.get("round")
        match kind:
            case "run.started":
                self._rounds = _whole(event.get("rounds"))
                self._write(f"{_whole(event.get('nodes'))} nodes, {self._rounds} rounds: starting")
            case "round.completed" if event.get("role") in ("coordinator", "peer"):
                self._completed[node] = _whole(number)
                self._say()
            case "metric.test":
                self._scores[node] = _score(event)
            case "node.lost":
                self._completed.pop(str(event.get("subject")), None)
                self._scores.pop(str(event.get("subject")), None)
            case "run.completed":
                done = _whole(event.get("completed_rounds"))
                self._write(f"completed: {done} of {self._rounds} rounds{_score(event)}")
            case "run.failed":
                self._write("the run has failed")

    def _say(self) -> None:
        now = self._now()
        if now < self._said_at + EVERY_S or not min(self._completed.values()):
            return
        self._said_at = now
        score = next(iter(self._scores.values()), "") if len(self._completed) == 1 else ""
        self._write(f"round {min(self._completed.values())} of {self._rounds}{score}")


def _score(event: Mapping[str, Any]) -> str:
    found = ((name, event.get(name)) for name in ("accuracy", "r2"))
    return next((f", {name} {value:.3f}" for name, value in found if isinstance(value, float)), "")


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0
