"""NearestCentroid from the means of the classes, and the deviations of all rows from them."""

from __future__ import annotations

import numpy as np

from ..statistics import Arrays, Block, Shapes
from ..sums import class_moments, variance
from .by_class import ClassMomentsAdapter, checked_priors


class NearestCentroidAdapter(ClassMomentsAdapter):
    """Centroids, and those shrunken to the middle of all rows (Tibshirani et al. 2002, equations 1 to 5)."""

    def refusal(self) -> tuple[str, str] | None:
        if self.given.metric != "euclidean":
            return "metric", "its centroids are medians, which are no sums over rows"
        return None

    def set_task(self, n_features: int, n_classes: int | None) -> None:
        super().set_task(n_features, n_classes)
        priors = getattr(self.given, "priors", "uniform")  # since scikit-learn 1.6
        checked_priors(None if isinstance(priors, str) else priors, n_classes or 0)

    def statistic_shapes(self, n_features: int, n_classes: int | None) -> Shapes:
        classes = n_classes or 0
        return {"class_count": (classes,), "class_sum": (classes, n_features), "class_square": (classes, n_features)}

    def statistics(self, block: Block, parameters: Arrays) -> Arrays:
        counts, firsts, squares = class_moments(block.X, block.y, block.weight, self.n_classes or 0)
        return {"class_count": counts, "class_sum": firsts, "class_square": squares}

    def finish(self, parameters: Arrays, sums: Arrays) -> None:
        working, threshold, counts = self.working, self.given.shrink_threshold, self.counts_of(sums)
        n, classes, each = counts.sum(), len(counts), counts[:, None]
        means = sums["class_sum"] / each
        within = variance(each, sums["class_sum"], sums["class_square"])
        middle = counts @ means / n
        if not within.any() and not (means != means[0]).any():
            raise ValueError(f"{self.name}: no column varies")
        priors = getattr(self.given, "priors", "uniform")
        if isinstance(priors, str):
            working.class_prior_ = counts / n if priors == "empirical" else np.full(classes, 1 / classes)
        else:
            working.class_prior_ = np.asarray(priors, np.float64) / np.sum(priors)
        deviation = np.sqrt(counts @ within / (n - classes))
        working.within_class_std_dev_ = deviation
        unit = np.sqrt(1 / each - 1 / n) * (deviation + np.median(deviation))
        working.deviations_ = (means - middle) / unit
        if threshold:
            away = np.maximum(np.abs(working.deviations_) - threshold, 0.0)
            working.deviations_ = np.sign(working.deviations_) * away
            means = middle + unit * working.deviations_
        working.centroids_ = means + self.center
