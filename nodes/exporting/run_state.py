"""What of a run is no count but the case now: its state, who is there, and what they said last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ..results.round_metrics import Sketch
from ..runtime.event_types import INTERRUPTED
from ..runtime.round_history import SCORES

NODES = 10_000  # of a run that are told apart
TEXT_LENGTH = 120
ROLES = ("coordinator", "client", "peer")
MODES = ("federated", "gossip")
NODE_STATES = ("living", "suspect", "lost", "left", "done")
RUN_STATES = ("running", "completed", "failed", INTERRUPTED)


@dataclass
class RunState:
    """One run; `update` takes its events. What a node says of itself is by its name, and no more than `NODES`."""

    mode: str = ""
    data: str = ""
    model: str = ""
    rounds: int = 0
    state: str = "running"
    seen: int = 0  # larger for each run that was heard of later
    nodes: dict[str, tuple[str, str]] = field(default_factory=dict)  # role and state
    round: dict[str, int] = field(default_factory=dict)  # the last that each has completed
    train_loss: dict[str, float] = field(default_factory=dict)
    loss: dict[str, float] = field(default_factory=dict)  # of each model that is measured
    scores: dict[str, dict[str, float]] = field(default_factory=lambda: {score: {} for score in SCORES})
    sketches: dict[str, Sketch] = field(default_factory=dict)

    def copy(self) -> RunState:
        """Return another one that further events do not change."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        values |= {name: dict(value) for name, value in values.items() if isinstance(value, dict)}
        return RunState(**values | {"scores": {score: dict(values["scores"][score]) for score in SCORES}})

    def update(self, kind: str, role: str, event: Mapping[str, Any]) -> None:
        """Take an event of this run; `role` is the publisher's, ``other`` for one without rounds."""
        match kind:
            case "run.started":
                self.mode = event["mode"] if event.get("mode") in MODES else "other"
                self.data, self.model = (str(event.get(key) or "")[:TEXT_LENGTH] for key in ("data", "model"))
                self.rounds, self.state = int(event.get("rounds") or 0), "running"
            case "run.completed":
                self.state = "completed"
            case "run.failed" if event.get("status"):  # else one node's part in it
                self.state = INTERRUPTED if event["status"] == INTERRUPTED else "failed"
            case "node.suspect" | "node.lost":
                self._mark(str(event.get("subject")), kind.removeprefix("node."))
            case "node.result":
                self._mark(str(event.get("subject")), "lost" if event.get("state") == "lost" else "done")
        node = str(event.get("node"))
        if role in ROLES and (node in self.nodes or len(self.nodes) < NODES):
            self._of_node(kind, node, role, event)

    def _mark(self, subject: str, state: str) -> None:
        role, before = self.nodes.get(subject, ("", "done"))
        if before != "done" and (state != "suspect" or before == "living"):
            self.nodes[subject] = (role, state)

    def _of_node(self, kind: str, node: str, role: str, event: Mapping[str, Any]) -> None:
        known = self.nodes.get(node)
        if kind == "node.left" and "subject" not in event and (known is None or known[1] != "done"):
            self.nodes[node] = (role, "left")
        elif known is None or known[1] == "suspect":
            self.nodes[node] = (role, "living")
        number = event.get("round")
        if kind == "round.completed" and number:
            self.round[node] = number
            _keep(self.train_loss, node, event.get("loss"))
        elif kind == "metric.test" or (kind == "metric.local" and role == "peer"):
            _keep(self.loss, node, event.get("loss"))
            for score in SCORES:
                _keep(self.scores[score], node, event.get(score))
            if event.get("sketch"):
                self.sketches[node] = event["sketch"]

    def counted(self) -> Iterator[tuple[str, str, int]]:
        """Yield role, state and number of the nodes; a state that nobody of a role is in, too."""
        counts = Counter(self.nodes.values())
        for role in sorted({role for role, _ in self.nodes.values()}):
            yield from ((role, state, counts[role, state]) for state in NODE_STATES)

    def there(self, values: Mapping[str, Any]) -> list[Any]:
        """Return what is known of the nodes that are not lost."""
        return [value for node, value in values.items() if self.nodes.get(node, ("", "lost"))[1] != "lost"]


def _keep(values: dict[str, float], node: str, value: float | None) -> None:
    if value is not None:
        values[node] = value
