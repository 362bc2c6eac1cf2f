"""The naive Bayes classifiers of counts: how often, or how much of, each column has come with each class."""

from __future__ import annotations

import numpy as np

from ...weights import Array
from ..statistics import Arrays, Block, Shapes, StatisticsAdapter, whole


class CountsAdapter(StatisticsAdapter):
    """MultinomialNB: Σ w and Σ w x of each class; what follows from these is scikit-learn's own to say."""

    centered = False
    needs_raw = "counts: its columns are numbers of at least 0, as they are"

    def statistic_shapes(self, n_features: int, n_classes: int | None) -> Shapes:
        classes = n_classes or 0
        return {"class_count": (classes,), "feature_count": (classes, n_features)}

    def statistics(self, block: Block, parameters: Arrays) -> Arrays:
        by_class = self.by_class(block)
        return {"class_count": by_class.sum(axis=1), "feature_count": by_class @ self.counted(block.X)}

    def counted(self, X: Array) -> Array:
        """Return what is added up of rows. Raises ValueError for what is no count."""
        self.check_least(X)
        return X

    def finish(self, parameters: Arrays, sums: Arrays) -> None:
        self.working.class_count_ = whole(sums["class_count"])
        self.set_counts(whole(sums["feature_count"]))
        self.working._update_feature_log_prob(self.working._check_alpha())
        self.working._update_class_log_prior(class_prior=self.given.class_prior)

    def set_counts(self, counts: Array) -> None:
        self.working.feature_count_ = counts

    def set_task(self, n_features: int, n_classes: int | None) -> None:
        super().set_task(n_features, n_classes)
        for name, width, of in (("class_prior", n_classes, "classes"), ("alpha", n_features, "columns")):
            found = np.shape(getattr(self.given, name))
            if found not in ((), (width,)):
                raise ValueError(f"{self.name}: {name} has {found[0]} numbers, and there are {width} {of}")

    def by_class(self, block: Block) -> Array:
        """Return the weight of each row at its class, shape (classes, rows)."""
        found = np.zeros((self.n_classes or 0, len(block.y)))
        found[block.y, np.arange(len(block.y))] = block.weight
        return found

    def check_least(self, X: Array) -> None:
        if (X < 0).any():
            row, place = np.argwhere(X < 0)[0]
            raise ValueError(f"{self.name} counts: column {place + 1} holds {X[row, place]:g}, expected at least 0")


class ComplementAdapter(CountsAdapter):
    """ComplementNB, which goes by the counts of all other classes."""

    def set_counts(self, counts: Array) -> None:
        super().set_counts(counts)
        self.working.feature_all_ = counts.sum(axis=0)


class BernoulliAdapter(CountsAdapter):
    """BernoulliNB: a column counts where it is above `binarize`."""

    needs_raw = "asks whether a column is above its binarize, as it is"

    def counted(self, X: Array) -> Array:
        threshold = self.given.binarize
        return X if threshold is None else (threshold < X).astype(np.float64)
