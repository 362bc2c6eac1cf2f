"""What is known of each node beyond its row in a `RunView`, and the row that a browser gets of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..monitoring.node_row import CLIENTS, LEARNERS, NodeRow
from .text import names, number, short

MOST = 2048  # nodes; events name others, who need not have been heard of
REASONS = 8  # distinct ones, of rejected messages of a node; further ones are "other"


@dataclass(slots=True)
class Facts:
    pid: int | None = None
    address: str = ""
    examples: int | None = None
    reason: str = ""  # why it is suspect, lost or waiting
    model_at: float | None = None  # unix seconds of its newest model
    answered: int = -1  # the last round of which a client has said that it trained
    staleness: float | None = None
    wait_s: float | None = None
    duration_s: float | None = None
    mass: float | None = None
    metric: float | None = None  # of a client, on its own hold-out
    messages_sent: int = 0
    messages_received: int = 0
    dropped: int = 0
    rejected: dict[str, int] = field(default_factory=dict)


class NodeTable:
    """By name of the node, what events say of it; `changed` are those of which anything was said since."""

    def __init__(self) -> None:
        self.facts: dict[str, Facts] = {}
        self.changed: set[str] = set()

    def update(self, event: Mapping[str, Any]) -> None:
        kind, node = event.get("type"), str(event.get("node"))
        subject = None if event.get("subject") is None else str(event["subject"])
        if event.get("role") in LEARNERS:
            self._of(node)
        match kind:
            case "node.joined" | "node.ready" if subject is None:
                facts = self._of(node)
                facts.pid = event.get("pid", facts.pid)
                facts.address = short(event.get("address") or facts.address)
                facts.examples = event.get("examples", facts.examples)
                facts.reason = ""
            case "node.waiting":
                self._of(node).reason = short(event.get("reason") or "")
            case "node.suspect" | "node.lost" | "node.ready" if subject is not None:
                self._of(subject).reason = "" if kind == "node.ready" else short(event.get("reason") or "")
            case "update.rejected" | "site.declined" if subject is not None:
                self._rejected(self._of(subject), short(event.get("reason") or "no reason given"))
            case "round.completed":
                self._completed(node, event)
            case "metric.local" if event.get("role") in CLIENTS:
                self._trained(self._of(node), event)
            case "exchange.sent":
                facts = self._of(node)
                facts.messages_sent += _count(event, "count")
                facts.dropped += _count(event, "dropped")
            case "exchange.received":
                facts = self._of(node)
                facts.messages_received += _count(event, "count")
                facts.dropped += _count(event, "dropped") + _count(event, "stale")

    def row(self, name: str, known: NodeRow) -> dict[str, Any]:
        """Return what a browser is told of a node."""
        facts = self.facts.get(name) or Facts()
        return {
            "role": known.role,
            "region": known.region,
            "state": known.state,
            "round": known.round,
            "loss": number(known.loss),
            "test_loss": number(known.test_loss),
            "metric": self.metric(name, known),
            "model_at": facts.model_at,
            "staleness": facts.staleness,
            "bytes_sent": known.sent,
            "bytes_received": known.received,
            "wait_s": facts.wait_s,
            "duration_s": facts.duration_s,
            "last_seen": known.seen or None,
            "rejected": dict(facts.rejected),
            "reason": facts.reason if known.state != "done" else "",
            "pid": facts.pid,
            "address": facts.address,
            "examples": facts.examples,
            "messages_sent": facts.messages_sent,
            "messages_received": facts.messages_received,
            "dropped": facts.dropped,
            "mass": facts.mass,
        }

    def metric(self, name: str, known: NodeRow) -> float | None:
        """Return a node's score: what was measured of it, else what a client says of its own hold-out."""
        facts = self.facts.get(name)
        return number(known.score if known.score is not None or facts is None else facts.metric)

    def mass(self) -> dict[str, float]:
        return {name: facts.mass for name, facts in self.facts.items() if facts.mass is not None}

    def _of(self, name: str) -> Facts:
        if name not in self.facts and len(self.facts) >= MOST:
            return Facts()  # which nobody will see
        self.changed.add(name)
        return self.facts.setdefault(name, Facts())

    def _completed(self, node: str, event: Mapping[str, Any]) -> None:
        facts = self._of(node)
        facts.model_at = number(event.get("time"))
        facts.duration_s, facts.wait_s = number(event.get("duration_s")), number(event.get("waiting_s"))
        facts.mass = number(event.get("mass"))
        facts.reason = ""
        took_part, late = names(event.get("participants")), event.get("staleness")
        if event.get("role") != "coordinator":
            return
        for each in (facts, *map(self._of, took_part)):  # a client's task and its update; peers say what they exchanged
            count = len(took_part) if each is facts else 1
            each.messages_sent += count
            each.messages_received += count
        if isinstance(late, list | tuple) and len(late) == len(took_part):
            for name, steps in zip(took_part, late, strict=True):
                self._of(name).staleness = number(steps)

    def _trained(self, facts: Facts, event: Mapping[str, Any]) -> None:
        facts.model_at, facts.duration_s = number(event.get("time")), number(event.get("duration_s"))
        said = event.get("round")
        facts.answered = said if isinstance(said, int) else facts.answered
        facts.reason = ""
        for name in ("holdout_r2", "holdout_accuracy"):
            facts.metric = number(event.get(name)) if event.get(name) is not None else facts.metric

    def _rejected(self, facts: Facts, reason: str) -> None:
        if reason not in facts.rejected and len(facts.rejected) >= REASONS:
            reason = "other"
        facts.rejected[reason] = facts.rejected.get(reason, 0) + 1


def _count(event: Mapping[str, Any], name: str) -> int:
    value = event.get(name)
    return value if isinstance(value, int) else 0
