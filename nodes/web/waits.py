"""Whom a run waits for, since when and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..monitoring.run_view import RunView
from .node_table import Facts, NodeTable
from .text import names, number, short

MOST = 20
AFTER_S = 1.0  # who has been waited for less is on time


class Waits:
    """Open rounds, as events say of them."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[int, float, list[str]]] = {}  # by who opened it: round, since when, who was asked

    def update(self, event: Mapping[str, Any]) -> None:
        kind, node, said, at = event.get("type"), str(event.get("node")), event.get("round"), number(event.get("time"))
        if kind == "round.started" and isinstance(said, int) and at is not None:
            self._open[node] = said, at, names(event.get("asked"))
        elif kind in ("round.completed", "round.failed"):
            self._open.pop(node, None)

    def now(
        self, view: RunView, nodes: NodeTable, sources_of: Callable[[str], list[str]], now: float
    ) -> list[dict[str, Any]]:
        """Return who waits for whom, who has waited longest first: at most `MOST`."""
        if view.finished:
            return []
        found = [
            {"node": name, "for": "", "since": row.seen or None, "why": nodes.facts[name].reason}
            for name, row in view.rows.items()
            if view.waiting and row.state == "joined" and name in nodes.facts and nodes.facts[name].reason
        ]
        for node, (said, since, asked) in list(self._open.items()):
            row = view.rows.get(node)
            if row is None or not row.living or now - since < AFTER_S:
                continue
            if row.role == "coordinator":
                awaited = [name for name in asked if nodes.facts.get(name, _NOTHING).answered < said]
            else:
                awaited = [name for name in sources_of(node) if _behind(view, name, said)]
            found += [{"node": node, "for": name, "since": since, "why": _why(view, nodes, name)} for name in awaited]
        found.sort(key=lambda wait: (wait["since"] or 0.0, wait["for"], wait["node"]))
        return found[:MOST]


_NOTHING = Facts()


def _behind(view: RunView, name: str, said: int) -> bool:
    """Whether a neighbor has not completed the round before, without which it cannot send what is waited for."""
    row = view.rows.get(name)
    return row is not None and row.living and row.round < said - 1


def _why(view: RunView, nodes: NodeTable, name: str) -> str:
    row, facts = view.rows.get(name), nodes.facts.get(name, _NOTHING)
    state = "" if row is None else row.state
    if state in ("suspect", "lost"):
        word = "is suspected" if state == "suspect" else "is lost"
        return short(f"{word}: {facts.reason}" if facts.reason else word)
    if row is not None and row.role == "peer":
        return f"is in round {row.round + 1}"
    return "trains" if state == "training" else "has not answered"
