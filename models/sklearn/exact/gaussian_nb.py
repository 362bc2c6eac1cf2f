"""GaussianNB from counts, sums and sums of squares by class."""

from __future__ import annotations

import numpy as np

from ..statistics import Arrays, Block, Shapes, StatisticsAdapter, whole
from ..sums import class_moments, variance
from .by_class import checked_priors


class GaussianNBAdapter(StatisticsAdapter):
    """The smoothing is a share of the largest variance of all rows, whatever their weights, as scikit-learn has it."""

    def statistic_shapes(self, n_features: int, n_classes: int | None) -> Shapes:
        by_class = (n_classes or 0, n_features)
        moments: Shapes = {"class_weight": (n_classes or 0,), "class_sum": by_class, "class_square": by_class}
        return moments | {"sum": (n_features,), "square": (n_features,)}

    def statistics(self, block: Block, parameters: Arrays) -> Arrays:
        counts, firsts, squares = class_moments(block.X, block.y, block.weight, self.n_classes or 0)
        alike = np.ones(len(block.X))
        _, first, square = class_moments(block.X, np.zeros(len(block.X), np.int64), alike, 1)
        own = {"class_weight": counts, "class_sum": firsts, "class_square": squares}
        return own | {"sum": first[0], "square": square[0]}

    def finish(self, parameters: Arrays, sums: Arrays) -> None:
        working, counts = self.working, whole(sums["class_weight"])
        working.epsilon_ = self.given.var_smoothing * variance(sums["rows"], sums["sum"], sums["square"]).max()
        there = np.maximum(counts, np.finfo(np.float64).tiny)[:, None]  # a class that no site trains on has no rows
        working.theta_ = sums["class_sum"] / there + self.center
        working.var_ = variance(there, sums["class_sum"], sums["class_square"]) + working.epsilon_
        working.class_count_ = counts
        priors = self.given.priors
        working.class_prior_ = counts / counts.sum() if priors is None else np.asarray(priors, np.float64)

    def set_task(self, n_features: int, n_classes: int | None) -> None:
        super().set_task(n_features, n_classes)
        checked_priors(self.given.priors, n_classes or 0, shares=True)
