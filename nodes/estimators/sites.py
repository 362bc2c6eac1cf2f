"""Which rows each site has: those that the caller says, or a partition of all rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from nervenet.models.data.data import DataError, Dataset, Task
from nervenet.models.data.partition import partition
from nervenet.models.plugins import suggest
from nervenet.models.preprocessing import made_up
from numpy.typing import NDArray

from .inputs import Checked, ids_and_places, one_per_row

SCHEMES = ("iid", "dirichlet", "shards", "quantity")
"""Partitions that need no column which says where a row was collected: that is what `clients` is for."""


@dataclass(frozen=True)
class Division:
    """How rows are divided where the caller does not say whose they are; see `nervenet.models.partition`."""

    sites: int
    scheme: str = "iid"
    alpha: float = 0.5
    shards_per_site: int = 2
    name: str = "n_clients"  # the parameter that `sites` is


@dataclass(frozen=True, eq=False)
class Sites:
    rows: tuple[NDArray[np.intp], ...]  # of each site
    ids: NDArray[Any]  # (sites,): what the caller calls them, else 0, 1, …


def sites_of(found: Checked, division: Division, task: Task, seed: int) -> Sites:
    """Return the rows of each site, in the order of their ids.

    Raises ValueError: the rows cannot be divided as asked.
    """
    X, y, clients, *_ = found
    if clients is not None:
        ids, owner = ids_and_places(clients)
        return Sites(tuple(np.flatnonzero(owner == place) for place in range(len(ids))), ids)
    if division.scheme not in SCHEMES:
        raise ValueError(
            f"partition = {division.scheme!r} is unknown{suggest(str(division.scheme), SCHEMES)}; allowed: "
            f"{', '.join(SCHEMES)}, or clients=, the site of each row, in fit"
        )
    check_count(division.sites, len(X), division.name)
    rows = Dataset("X", X, y, made_up(X.shape[1]), task)
    how: dict[str, Any] = {"alpha": division.alpha, "shards_per_node": division.shards_per_site}
    try:
        parts = partition(rows, int(division.sites), division.scheme, min_rows=1, seed=seed, **how)
    except DataError as error:
        raise ValueError(f"{division.name} = {division.sites}, partition = {division.scheme!r}: {error}") from error
    return Sites(tuple(parts), np.arange(division.sites))


def in_order(rows: int, clients: Any, count: Any) -> Sites:
    """Return the rows of each site: as `clients` says, else in their order, `count` parts of nearly the same size."""
    if clients is not None:
        ids, owner = ids_and_places(one_per_row(clients, rows))
        return Sites(tuple(np.flatnonzero(owner == place) for place in range(len(ids))), ids)
    check_count(count, rows)
    return Sites(tuple(np.array_split(np.arange(rows), count)), np.arange(count))


def check_count(count: Any, rows: int, name: str = "n_clients") -> None:
    """Raise ValueError for a number of sites that is none, or that rows are too few for; `name` is the parameter."""
    if not isinstance(count, int | np.integer) or isinstance(count, bool) or count < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, found {count!r}")
    if rows < count:
        raise ValueError(
            f"n_samples={rows} rows are fewer than {name}={count}: {rows} sample(s) cannot give each client one; a "
            f"smaller {name} can, or clients=, the site of each row"
        )
