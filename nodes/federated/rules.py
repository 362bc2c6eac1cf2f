"""All that steers a federated run, in one frozen record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .strategies import Strategy
from .strategies.averaging import FedAvg


@dataclass(frozen=True)
class RoundRules:
    """All that steers a federated run; see `[federated]` and `[network]` of the experiment file for the same names."""

    rounds: int
    clients: frozenset[str]
    seed: int = 0
    participation: float = 1.0
    quorum: float = 1.0
    min_clients: int | None = None
    deadline_s: float = 30.0
    join_deadline_s: float = 30.0
    heartbeat_s: float = 0.5
    suspect_after_s: float = 2.0
    lost_after_s: float = 10.0
    evaluate_every: int = 1
    evaluate_test: bool = True
    evaluate_sites: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    parting: Mapping[str, Any] = field(default_factory=dict)  # further settings of the last task
    compression: str = ""
    strategy: Strategy = field(default_factory=FedAvg)
