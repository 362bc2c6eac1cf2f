"""How the trees of a forest grow where all sites grow them together, by the forest's parameters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .histograms import MOMENTS

CRITERIA = ("gini", "entropy", "log_loss", "squared_error")


@dataclass(frozen=True)
class Growth:
    """What a forest's parameters say of how its trees grow."""

    criterion: str
    n_features: int
    n_classes: int | None
    wanted: int  # columns that are drawn for a node
    random: bool  # one threshold of each, by chance
    bootstrap: float | None  # the share of its rows that a site draws, with replacement; None: all rows, once
    max_depth: int | None
    min_samples_split: float
    min_samples_leaf: float
    min_impurity_decrease: float

    @property
    def channels(self) -> int:
        """Sums that are counted of a cell."""
        return MOMENTS if self.n_classes is None else self.n_classes

    def rows(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how many rows nodes have, by their sums, (nodes, channels)."""
        return sums[:, 0] if self.n_classes is None else np.asarray(sums.sum(axis=1))


def growth_of(given: Any, n_features: int, n_classes: int | None, rows: int) -> Growth:
    """Return how trees grow by a forest's parameters; shares of rows are of those of all sites."""
    features = given.max_features
    if isinstance(features, str):
        wanted = int(np.sqrt(n_features) if features == "sqrt" else log2(n_features))
    elif isinstance(features, float):
        wanted = int(features * n_features)
    else:
        wanted = n_features if features is None else int(features)
    split, leaf = (
        float(np.ceil(value * rows)) if isinstance(value, float) else float(value)
        for value in (given.min_samples_split, given.min_samples_leaf)
    )
    share = (1.0 if given.max_samples is None else float(given.max_samples)) if given.bootstrap else None
    return Growth(
        given.criterion,
        n_features,
        n_classes,
        max(1, min(wanted, n_features)),
        type(given).__name__.startswith("ExtraTrees"),
        share,
        given.max_depth,
        split,
        leaf,
        given.min_impurity_decrease,
    )


def unshared(given: Any) -> Iterator[str]:
    """Yield why a forest of these parameters cannot be grown by all sites together."""
    if given.criterion not in CRITERIA:
        yield f"criterion={given.criterion!r} needs the rows; sums say {', '.join(CRITERIA)}"
    if given.max_leaf_nodes is not None:
        yield "max_leaf_nodes: trees grow level by level, and not the best node first; give max_depth"
    if given.ccp_alpha:
        yield "ccp_alpha: trees are not pruned; give min_impurity_decrease or min_samples_leaf"
    if given.min_weight_fraction_leaf:
        yield "min_weight_fraction_leaf: rows have no weights; give min_samples_leaf, as a share"
    if getattr(given, "monotonic_cst", None) is not None:
        yield "monotonic_cst is not looked at"
    if given.bootstrap and isinstance(given.max_samples, int) and not isinstance(given.max_samples, bool):
        yield f"max_samples={given.max_samples!r}: sites have rows of different numbers; give a share, such as 0.5"
