"""Which reports a launcher takes: of whom, of what kind, and how often. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NODES = frozenset({"client", "coordinator", "peer"})  # an aggregator reports as the coordinator of its region
BY: dict[str, frozenset[str]] = {
    "ready": _NODES | {"broker"},
    "rounds": _NODES,
    "best": frozenset({"coordinator"}),
    "counts": frozenset({"coordinator"}),
    "result": _NODES | {"baseline"},
}
"""The roles that report something, by its kind."""


class ReportRules:
    """The reports that are still to come; `roles` are those of the run's nodes and services, by name."""

    def __init__(self, roles: Mapping[str, str]) -> None:
        self._roles = roles
        self._done: set[str] = set()  # nodes that have reported their result, and have no more to say
        self._told: set[tuple[str, str]] = set()  # (node, what) that is reported once

    def started(self, node: str) -> None:
        """Take note that a process of this name has started, perhaps again: it has all to say."""
        self._done.discard(node)
        self._told = {told for told in self._told if told[0] != node}

    def refusal(self, node: str, kind: str, fields: Mapping[str, Any]) -> str | None:
        """Return why a report is not taken, or None, and take note of it."""
        role = self._roles.get(node)
        if role is None:
            return f"{node} reports its {kind}, and is not of this run"
        if role not in BY[kind]:
            return f"{node} reports a {kind}, which is for {' or '.join(sorted(BY[kind]))}; it is a {role}"
        if node in self._done:
            return f"{node} reports its {kind} after its result, which was the last that it had to say"
        once = kind if kind == "best" else ""
        if kind == "counts":
            once = f"counts of {fields.get('site')!s:.80}"
            if self._roles.get(str(fields.get("site"))) not in _NODES:
                return f"{node} reports {once}, which is no site of this run"
        if once and (node, once) in self._told:
            return f"{node} reports its {once} a second time"
        if once:
            self._told.add((node, once))
        if kind == "result":
            self._done.add(node)
        return None
