"""What a simulated run has come to, as its nodes report it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..config.schema import Experiment
from ..results.collect import collect
from ..results.run_result import RunResult
from ..runtime.round_history import Reported
from .nodes import COORDINATOR


@dataclass
class Outcome:
    """What is reported of a run: by node its figures and its weights; `failed` says why there is no result.

    `rounds` are the figures of each node's rounds, or `rows` those of the run's, where they are known.
    """

    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    arrays: dict[str, Any] = field(default_factory=dict)
    best: dict[str, Any] = field(default_factory=dict)
    rounds: dict[str, list[Reported]] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    site_counts: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    failed: str = ""
    virtual_s: float = 0.0
    engine: str = "machines"

    def result(self, experiment: Experiment, lost: Mapping[str, str]) -> RunResult:
        return collect(experiment, self.results, self.arrays, self.best, dict(lost))

    def completed_rounds(self, experiment: Experiment) -> int:
        """Return for how many rounds the baselines are to train."""
        if experiment.evaluation.may_stop_early:
            return int(self.results.get(COORDINATOR, {}).get("completed_rounds", 0))
        return experiment.rounds
