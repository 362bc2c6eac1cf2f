"""All that steers a peer of a run that goes by rounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .algorithms.base import Needs


@dataclass(frozen=True)
class PeerRules:
    """All that steers a peer; see `[gossip]` and `[network]` of the experiment file for the same names."""

    name: str
    members: tuple[str, ...]
    needs: Needs = field(default_factory=Needs)  # the algorithm's
    encoding: str = ""  # how what is sent may be encoded; whole it may be, too
    deadline_s: float = 30.0
    join_deadline_s: float = 30.0
    heartbeat_s: float = 0.5
    evaluate_every: int = 1
    evaluate_on: str = "test"  # or "holdout": this peer's own rows kept apart
    settings: Mapping[str, Any] = field(default_factory=dict)
    keeps: bool = False  # checkpoints to go on from after its own death
    held: tuple[int, ...] = ()  # rounds of which it has one from a previous incarnation
