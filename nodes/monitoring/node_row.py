"""What is shown of one node: how it is, how far, and what its model comes to."""

from __future__ import annotations

from dataclasses import dataclass

from .event_fields import Fields

CLIENTS = ("client", "aggregator")
LEARNERS = ("coordinator", "peer", *CLIENTS)


@dataclass
class NodeRow:
    role: str = ""
    state: str = "joined"
    round: int = 0
    loss: float | None = None  # of its training
    test_loss: float | None = None  # of its model, on the test set or on its hold-out
    score: float | None = None
    sent: int = 0
    received: int = 0
    rejected: int = 0
    seen: float = 0.0  # unix seconds of its last event
    rate: float | None = None  # rounds a second
    region: str = ""  # that it is in, or is the aggregator of

    @property
    def living(self) -> bool:
        return self.state not in ("lost", "left", "done")

    def turn(self, state: str) -> None:
        """Take a state by what the node itself says; whether a lost one is back is decided before."""
        if self.state != "lost":
            self.state = state

    def count(self, event: Fields) -> None:
        """Take the totals as the node says them; where it does not, add up what was heard."""
        for name, total in (("sent", event.get("bytes_sent_total")), ("received", event.get("bytes_received_total"))):
            if isinstance(total, int):
                setattr(self, name, max(getattr(self, name), total))
            else:
                setattr(self, name, getattr(self, name) + int(event.get(f"bytes_{name}") or 0))
