"""The baselines of a simulation, trained when its nodes are done."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from nervenet.models.data.data import Dataset, rows_of
from numpy.typing import NDArray

from ..config.schema import Experiment
from ..launching.baseline_matrix import MOST_SITES, SiteRowsKept, own_hold_outs
from ..launching.baselines import local_only, too_large, train_and_score
from ..launching.data_shares import DataShares


class Baselines:
    """Trains, on the rows that the nodes have, what a launch trains in a process beside them.

    Attributes
    ----------
    figures
        As in ``summary.json``; None where they are not wanted, too large, or stopped.
    seconds
        How long that took, by the real clock.
    site_matrix
        Rows by site, and scores by model and site, where sites have rows of their own.
    """

    def __init__(
        self,
        experiment: Experiment,
        shares: DataShares,
        train: Dataset,
        test: Dataset,
        parts: Sequence[NDArray[np.intp]],
        stopped: Callable[[], bool],
    ) -> None:
        self.figures: dict[str, float | None] | None = None
        self.seconds: float | None = None
        self.site_matrix: Mapping[str, Any] = {}
        self._experiment, self._shares, self._stopped = experiment, shares, stopped
        self._train, self._test, self._parts = train, test, list(parts)

    def train(self, rounds: int, publish: Callable[..., None]) -> str:
        """Train for so many rounds; say how far that is. Return why that was not done, empty where it was."""
        if not self._experiment.evaluation.baseline:
            return ""
        if reason := too_large(self._experiment, self._shares.rows, rounds):
            self.figures = {}
            return reason
        experiment = replace(self._experiment, rounds=rounds)
        began, models = time.monotonic(), itertools.count(1)
        rows, test, parts, kept = self._rows()
        common = (self._shares.columns, self._shares.task, self._stopped)

        def done() -> None:
            publish("baseline.progress", done=next(models), models=1 + len(parts), rounds=rounds)

        pooled = rows
        if sum(map(len, parts)) < len(
            rows[1]
        ):  # on what its client keeps neither a site alone trains, nor all together
            trained_on = np.sort(np.concatenate(parts))
            pooled = (rows_of(rows[0], trained_on), *(values[trained_on] for values in rows[1:]))
        centralised = train_and_score(experiment, pooled, test, *common)
        done()
        alone, scores = local_only(experiment, rows, parts, test, *common, done, kept)
        if self._stopped():
            return ""
        if kept is not None:
            self.site_matrix = {"rows": kept.rows, "scores": scores}
        self.figures = {"centralised": centralised, "local_only_mean": alone}
        self.seconds = time.monotonic() - began
        return ""

    def _rows(self) -> tuple[tuple[Any, ...], tuple[Any, ...], list[NDArray[np.intp]], SiteRowsKept | None]:
        experiment, owners = self._experiment, self._shares.test_sites
        rows, test, parts = self._train.arrays, self._test.arrays, self._parts
        kept: SiteRowsKept | None = None
        if experiment.mode == "federated" and (experiment.evaluation.sites or experiment.personalized):
            parts, kept = own_hold_outs(experiment, (rows[0], rows[1]), parts, self._shares.task)
            kept = kept if experiment.evaluation.sites else None
        if owners is not None:
            kept = SiteRowsKept(test[0], test[1], owners, len(parts))
        if experiment.evaluation.site_matrix is False or not 1 < len(parts) <= MOST_SITES:
            kept = None
        return rows, test, parts, kept
