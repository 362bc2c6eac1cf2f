"""The baselines of a run as a process of their own: a run is complete without them, and says so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ..config.schema import Experiment
from .baselines import BASELINE, too_large
from .data_shares import DataShares
from .jobs import data_job


class BaselineProcess:
    """What it has reported. `spawn` forks it, for a job and the descriptors of its rows.

    Attributes
    ----------
    started
        Whether there is, or was, one.
    scores
        ``centralised`` and ``local_only_mean``; None until they are known, empty where they were given up.
    seconds
        What their training took.
    site_matrix
        ``rows`` by site, ``scores`` by model and site, in name order.
    """

    def __init__(
        self, spawn: Callable[[Mapping[str, Any], list[int]], Awaitable[None]], warn: Callable[[str], None]
    ) -> None:
        self.started = False
        self.scores: Mapping[str, float | None] | None = None
        self.seconds: float | None = None
        self.site_matrix: Mapping[str, Any] | None = None
        self._spawn, self._warn = spawn, warn

    async def start(self, experiment: Experiment, shares: DataShares, rounds: int, events_in: str) -> None:
        """Start the baselines of so many rounds, at low priority, unless they are switched off or too large."""
        if not experiment.evaluation.baseline:
            return
        if reason := too_large(experiment, shares.rows, rounds):
            self._warn(reason)
        elif rounds:
            job = {**data_job(BASELINE, experiment, shares), "rounds": rounds, "events_in": events_in}
            await self._spawn(job, [shares.whole])
            self.started = True

    def reported(self, fields: Mapping[str, Any]) -> None:
        if "failed" in fields:
            self.give_up(f"the baselines failed: {fields['failed']}")
            return
        self.scores = {key: fields.get(key) for key in ("centralised", "local_only_mean")}
        self.seconds, self.site_matrix = fields.get("seconds"), fields.get("site_matrix")

    def give_up(self, reason: str) -> None:
        self._warn(reason)
        self.scores = {}
