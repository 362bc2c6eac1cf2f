"""What the processes of a run have reported, kept as it came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..runtime.round_history import Reported


@dataclass
class NodeReports:
    """By node, what it has reported. Arrays are read-only views of a message: fine for a mean and for a file."""

    ready: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    results: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    arrays: dict[str, Any] = field(default_factory=dict)  # final weights
    best: dict[str, Any] = field(default_factory=dict)  # weights of the best round, where they differ
    rounds: dict[str, list[Reported]] = field(default_factory=dict)  # figures of each, in the parts that came
    site_counts: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # of the last model, at each hold-out

    def take_part(self, node: str, kind: str, fields: Mapping[str, Any], array: Any) -> bool:
        """Keep a report that comes before a result, and return whether it is one."""
        match kind:
            case "best":
                self.best[node] = array
            case "rounds":
                self.rounds.setdefault(node, []).append((fields, array))
            case "counts":
                self.site_counts[str(fields["site"])] = fields["counts"]
            case _:
                return False
        return True

    @property
    def completed_rounds(self) -> int:
        """How many rounds the coordinator has reported as completed."""
        return int(self.results.get("coordinator", {}).get("completed_rounds", 0))
