"""The rows that a `fit` is given, with their metadata: the site of each, and how much it counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from nervenet.models.sklearn.rows import row_weights, validated
from numpy.typing import NDArray


def one_per_row(clients: Any, rows: int) -> NDArray[Any]:
    """Return the site of each row. Raises ValueError for another shape, and for rows without a site."""
    found = np.asarray(clients)
    if found.shape != (rows,):
        raise ValueError(f"clients has shape {found.shape}; X has {rows} rows, expected ({rows},)")
    none = [row for row, site in enumerate(found.tolist()) if _is_gap(site)] if found.dtype.kind in "OfcmM" else []
    if none:
        raise ValueError(f"clients has no site for {len(none)} of {rows} rows, the first of them row {none[0]}")
    return found


def ids_and_places(clients: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the sites' ids in their order, and of each row the place of its site among them."""
    try:
        ids, places = np.unique(clients, return_inverse=True)
    except TypeError as error:
        types = ", ".join(sorted({type(site).__name__ for site in clients.tolist()}))
        raise ValueError(f"clients has ids of the types {types}, which have no order; expected one type") from error
    return ids, places.astype(np.intp)


def _is_gap(site: Any) -> bool:
    try:
        return site is None or bool(site != site)
    except TypeError:  # pandas' NA does not say whether it is itself
        return True


class Checked(NamedTuple):
    """Rows that count: those of weight 0 are nobody's."""

    X: NDArray[np.float64]
    y: NDArray[Any]
    clients: NDArray[Any] | None  # the site of each row, where the caller has said it
    weight: NDArray[np.float64] | None
    trimmed: bool  # whether some were left out


def checked(
    estimator: Any, X: Any, y: Any, clients: Any, metadata: Mapping[str, Any], *, reset: bool, numeric: bool
) -> Checked:
    """Return the rows that a `fit` was given, X as float64.

    Raises TypeError for metadata that rows do not have, and ValueError for rows that cannot be.
    """
    X, y = validated(estimator, X, y, reset=reset, dtype=np.float64, y_numeric=numeric)
    weight = row_weights(estimator, metadata, X, "clients and sample_weight")
    owners = None if clients is None else one_per_row(clients, len(X))
    return _counted(X, y, owners, weight)


def _counted(
    X: NDArray[np.float64], y: NDArray[Any], owners: NDArray[Any] | None, weight: NDArray[np.float64] | None
) -> Checked:
    if weight is None or weight.all():
        return Checked(X, y, owners, weight, trimmed=False)
    kept = np.flatnonzero(weight)
    return Checked(X[kept], y[kept], None if owners is None else owners[kept], weight[kept], trimmed=True)


def weighted_rows(estimator: Any, X: Any, clients: Any, metadata: Mapping[str, Any]) -> Checked:
    """Return rows that have no target, which is then 0, as `checked` does."""
    X = validated(estimator, X, reset=True, dtype=np.float64)
    weight = row_weights(estimator, metadata, X, "clients and sample_weight")
    owners = None if clients is None else one_per_row(clients, len(X))
    return _counted(X, np.zeros(len(X)), owners, weight)


def check_several(estimator: Any, found: Checked, classes: NDArray[Any]) -> None:
    """Raise ValueError for a single class."""
    if len(classes) < 2:
        after = " among the rows whose sample_weight is above 0" if found.trimmed else ""
        found_one = classes.tolist()[0]
        raise ValueError(f"{type(estimator).__name__} needs two classes to learn, found 1 class{after}: {found_one!r}")
