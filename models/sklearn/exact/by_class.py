"""What several classifiers need: the mean of each class, and the covariances of the rows about it."""

from __future__ import annotations

import numpy as np

from ...model import Capability
from ...weights import Array
from ..statistics import Arrays, Block, Shapes, StatisticsAdapter, whole
from ..sums import ROUNDING, second_moments, symmetric, triangle, upper


class ClassMomentsAdapter(StatisticsAdapter):
    """Sums of each class, and Σ x xᵀ: of each class where `apart`, else of all rows together."""

    capabilities = frozenset[Capability]()  # these estimators of scikit-learn's take no sample_weight
    apart = True

    def statistic_shapes(self, n_features: int, n_classes: int | None) -> Shapes:
        classes = n_classes or 0
        product = (classes if self.apart else 1, triangle(n_features))
        return {"class_count": (classes,), "class_sum": (classes, n_features), "product": product}

    def statistics(self, block: Block, parameters: Arrays) -> Arrays:
        shapes = self.statistic_shapes(self.n_features, self.n_classes)
        found = {name: np.zeros(shape) for name, shape in shapes.items()}
        for label in np.unique(block.y):
            own = block.X[block.y == label]
            first, second = second_moments(own, np.ones(len(own)))
            found["class_count"][label], found["class_sum"][label] = len(own), first
            if self.apart:
                found["product"][label] = upper(second)
        if not self.apart:
            found["product"][0] = upper(second_moments(block.X, block.weight)[1])
        return found

    def counts_of(self, sums: Arrays, least: int = 1) -> Array:
        """Return the rows of each class. Raises ValueError for a class of fewer than `least`."""
        counts = whole(sums["class_count"])
        if (counts < least).any():
            label = int(np.argmin(counts))
            raise ValueError(
                f"{self.name}: all sites together train on {counts[label]:g} rows of class {label} (counted from 0, in "
                f"the order of the labels), at least {least} are needed"
            )
        return counts

    def within(self, sums: Arrays, counts: Array) -> Array:
        """Return Σ (x - m)(x - m)ᵀ over the rows of all classes, or of each where `apart`, m the mean of its class.

        Shape (1 or classes, columns, columns); a column that does not vary within a class is zero, to the bit.
        """
        found: Array = np.array([symmetric(product, self.n_features) for product in sums["product"]])
        squares = np.einsum("kjj->kj", found).copy()
        firsts, n = sums["class_sum"], counts[:, None]
        between = np.einsum("ki,kj->kij", firsts / n, firsts)
        found -= between if self.apart else between.sum(axis=0)
        for rest, square in zip(found, squares, strict=True):
            constant = np.diag(rest) <= ROUNDING * square
            rest[constant] = 0.0
            rest[:, constant] = 0.0
        return found


def checked_priors(priors: object, classes: int, *, shares: bool = False) -> Array | None:
    """Return given priors as an array, None where none are; ValueError unless each class has one of at least 0, and
    `shares` come to 1.
    """
    if priors is None:
        return None
    found: Array = np.asarray(priors, np.float64)
    fit = found.shape == (classes,) and not (found < 0).any() and found.sum() > 0
    if not fit or (shares and not np.isclose(found.sum(), 1.0)):
        allowed = (
            f"a number of at least 0 for each of the {classes} classes{', 1 together,' if shares else ''} is allowed"
        )
        raise ValueError(f"priors={priors!r}; {allowed}")
    return found
