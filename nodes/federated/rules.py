"""All that steers a federated run, in one frozen record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .early_stopping import StoppingRules
from .sampling import Sampling
from .strategies import Strategy
from .strategies.averaging import FedAvg

# Folds and evaluations may take long; a worker that hangs must still not hold a run for ever.
WORK_DEADLINES = 10
WORK_LEAST_S = 60.0


@dataclass(frozen=True)
class RoundRules:
    """All that steers a federated run; see `[federated]` and `[network]` of the experiment file for the same names.

    `checkpoint` says whether checkpoints are asked for: whoever performs them must know where to.
    """

    rounds: int
    clients: frozenset[str]
    seed: int = 0
    participation: float = 1.0
    sampling: Sampling = "uniform"
    over_selection: float = 1.0
    quorum: float = 1.0
    partial: bool = False
    min_clients: int | None = None
    wait_deadline_s: float = 30.0
    max_examples_ratio: float = 100.0
    probation_rounds: int = 5
    deadline_s: float = 30.0
    join_deadline_s: float = 30.0
    heartbeat_s: float = 0.5
    suspect_after_s: float = 2.0
    lost_after_s: float = 10.0
    evaluate_every: int = 1
    evaluate_test: bool = True
    evaluate_sites: bool = False
    scorers: tuple[str, ...] = ()  # metrics that every evaluation should report beside the house's own
    stopping: StoppingRules = field(default_factory=StoppingRules)
    checkpoint: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    parting: Mapping[str, Any] = field(default_factory=dict)  # further settings of the last task
    compression: str = ""
    strategy: Strategy = field(default_factory=FedAvg)

    @property
    def work_deadline_s(self) -> float:
        """How long the coordinator's own worker may take for one piece of work, in seconds."""
        return WORK_DEADLINES * max(WORK_LEAST_S, self.deadline_s)
