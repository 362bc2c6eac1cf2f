"""Which nodes were lost, and whether what comes of one of them is newer than its loss: pure."""

from __future__ import annotations

from dataclasses import dataclass, field

MOST = 4096  # nodes; events name others, who need not have been heard of


@dataclass(frozen=True)
class Loss:
    by: str  # who said so
    at: float  # by the clock of that
    incarnation: int | None  # of who was lost, the newest; None where nothing had been heard of it


@dataclass
class Losses:
    """The last loss of each node.

    What a node published before it was lost may come after the word of its loss; to who attaches late, in any order.
    """

    known: dict[str, Loss] = field(default_factory=dict)

    def add(self, node: str, loss: Loss, *, back: bool) -> bool:
        """Remember a loss; return whether it is one, and not an old one of a node that has come back since.

        `back` says whether the node lives, as far as is known.
        """
        before = self.known.get(node)
        if before is None and len(self.known) >= MOST:
            return True
        if before is not None and not back and loss.at < before.at:
            return True  # somebody else says the same of it
        if before is not None and back and before.by == loss.by and loss.at <= before.at:
            return False
        self.known[node] = loss
        return True

    def outlived(self, node: str, at: float, incarnation: int | None = None) -> bool:
        """Whether an event is a sign of life newer than the node's loss: later, or of a newer incarnation."""
        loss = self.known.get(node)
        if loss is None or at > loss.at:
            return True
        return loss.incarnation is not None and incarnation is not None and incarnation > loss.incarnation
