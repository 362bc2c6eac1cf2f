"""Clusters of several sites in one process, in the same rounds as over a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import numpy as np

from .model import LocalWork
from .moments import Moments
from .registry import as_model
from .sklearn.clusters.adapters import ClusterAdapter
from .weights import Array

MOST_ROUNDS = 10_000
"""A fit that has not ended by then is ended."""


def cluster_together(
    estimator: Any,
    sites: Sequence[Array],
    sample_weights: Sequence[Array | None] | None = None,
    *,
    rounds: int | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Any:
    """Return a KMeans or GaussianMixture fitted on the rows of all sites, of which each gives sums alone.

    Parameters
    ----------
    estimator
        An unfitted one, which is not modified.
    sites
        The rows of each site, (rows, columns) arrays of finite numbers, at least one row each.
    sample_weights
        How much each row counts, a (rows,) array a site, or None.
    rounds
        How many there are at most; None: until the estimator's own `tol` or `max_iter` ends it.
    stop
        Asked before each round.

    Raises ValueError: there are no sites or rows, or a site has other columns. Raises CannotMerge: the estimator is
    another, or has a setting that sums cannot honor.
    """
    first = as_model(deepcopy(estimator))
    if not isinstance(first, ClusterAdapter):
        raise TypeError(f"{type(estimator).__name__} finds no clusters here; KMeans and GaussianMixture do")
    weights = [None] * len(sites) if sample_weights is None else list(sample_weights)
    tables = [np.ascontiguousarray(rows, np.float64) for rows in sites]
    _check(tables, weights)
    first.check_rows(sum(map(len, tables)))
    moments = [Moments.of(rows) for rows in tables]
    pooled = moments[0]
    for other in moments[1:]:
        pooled = pooled.merge(other)
    rng = np.random.default_rng(0)  # of which nothing here draws
    models = [first, *(deepcopy(first) for _ in sites[1:])]
    for model in models:
        model.build(tables[0].shape[1], None, rng)
        model.anchor(pooled.n, pooled.mean, 0.0)
    for _ in range(MOST_ROUNDS if rounds is None else rounds):
        settled = first.settled
        if stop():
            break
        for model, rows, own in zip(models, tables, weights, strict=True):
            model.fit(rows, np.zeros(len(rows)), LocalWork(), rng, stop, sample_weight=own)
        mean = np.mean([model.get_weights() for model in models], axis=0)
        for model in models:
            model.set_weights(mean)
        if settled:  # and the sums are those of the last parameters, too
            break
    return first.estimator


def _check(tables: Sequence[Array], weights: Sequence[Array | None]) -> None:
    if not tables:
        raise ValueError("there are no sites")
    if len(weights) != len(tables):
        raise ValueError(f"there are {len(tables)} sites and weights of {len(weights)}")
    for place, rows in enumerate(tables):
        if rows.ndim != 2 or not rows.size or rows.shape[1] != tables[0].shape[1]:
            raise ValueError(
                f"site {place} has rows of shape {rows.shape}; expected are one or more rows of "
                f"{tables[0].shape[-1]} columns"
            )
        if not np.isfinite(rows).all():
            row, column = np.argwhere(~np.isfinite(rows))[0]
            raise ValueError(f"site {place} has {rows[row, column]} in row {row}, column {column}; numbers are needed")
        own = weights[place]
        if own is not None and (np.shape(own) != (len(rows),) or not (np.asarray(own) > 0).all()):
            raise ValueError(f"site {place} has {len(rows)} rows; a weight above 0 is needed for each of them")
