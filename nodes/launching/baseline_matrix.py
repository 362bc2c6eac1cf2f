"""How a model does at each site: the scores of its predictions, by whose the rows are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from nervenet.models.data.data import rows_of
from nervenet.models.data.splits import hold_out
from nervenet.models.rng import generator

from ..config.schema import Experiment

if TYPE_CHECKING:
    from nervenet.models.site_model import SiteModel
    from numpy.typing import NDArray

MOST_SITES = 100
"""Of a matrix; it grows with their square."""


@dataclass(frozen=True, eq=False)
class SiteRowsKept:
    """Raw rows X (rows, columns) and y (rows,) on which no site trains, and whose each is: (rows,), -1: nobody's."""

    X: Any
    y: NDArray[Any]
    owners: NDArray[np.intp]
    sites: int

    @property
    def rows(self) -> list[int]:
        """How many each site has."""
        return [int(np.count_nonzero(self.owners == site)) for site in range(self.sites)]

    def scores(self, site_model: SiteModel) -> list[float | None]:
        """Return a model's accuracy or R² on the rows of each site; None where it is not defined."""
        found = site_model.predict(self.X)
        score = _r2 if site_model.preprocessing.classes is None else _accuracy
        places = (np.flatnonzero(self.owners == site) for site in range(self.sites))
        values = (score(self.y[place], found[place]) if len(place) else math.nan for place in places)
        return [value if math.isfinite(value) else None for value in values]


def own_hold_outs(
    experiment: Experiment, rows: tuple[Any, NDArray[Any]], parts: Sequence[NDArray[Any]], task: str
) -> tuple[list[NDArray[Any]], SiteRowsKept]:
    """Return which rows each site trains on and those it keeps, where each keeps some: as its client draws them."""
    X, y = rows
    trained, kept = [], []
    for part in parts:
        draws, stratify = generator(experiment.seed, "holdout"), task == "classification"
        out = hold_out(y[part], experiment.data.test_size, draws, least=experiment.data.min_rows, stratify=stratify)
        trained.append(np.delete(part, out))
        kept.append(part[out])
    held, owners = np.concatenate(kept), np.repeat(np.arange(len(kept)), [len(each) for each in kept])
    return trained, SiteRowsKept(rows_of(X, held), y[held], owners, len(parts))


def _accuracy(y: NDArray[Any], found: NDArray[Any]) -> float:
    return float(np.mean(found == y))


def _r2(y: NDArray[Any], found: NDArray[Any]) -> float:
    with np.errstate(all="ignore"):
        spread = float(np.square(y - y.mean()).sum())
        return 1 - float(np.square(found - y).sum()) / spread if spread > 0 else math.nan
