"""What is different for summed models, whose flat vector is what the rows of all sites add up to.

Such a model has `summed`, true; `one_round`, whether its sums depend on nothing that another exchange could change; and
`anchor`, which is told of the rows of all sites before it trains. `sklearn.statistics` is the base of those that this
package brings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .data.row_weights import Weights, relative
from .model import LocalWork, in_one_round, is_summed
from .moments import Moments
from .pooled import Pooled
from .preprocessing import Preprocessing
from .site_statistics import SiteStatistics
from .table_preprocessing import AnyPreprocessing
from .tables.table import Table, empty


def with_pooled(agreed: AnyPreprocessing, sites: Mapping[str, SiteStatistics]) -> AnyPreprocessing:
    """Return a preprocessing that tells of the rows of all sites, and leaves targets in their own unit."""
    columns = agreed.columns
    ordered = [sites[site].in_order(columns) for site in sorted(sites)]
    inputs = reduce(Moments.merge, (known.inputs for known in ordered))
    targets = [known.target for known in ordered if known.target is not None]
    target = 0.0 if agreed.classes is not None else float(reduce(Moments.merge, targets).mean[0])
    pooled = Pooled(inputs.n, tuple(inputs.mean.tolist()), target)
    return replace(agreed, pooled=pooled, target_center=0.0, target_scale=1.0)


def anchor(model: Any, agreed: AnyPreprocessing, rows: float | None = None) -> None:
    """Tell a summed model, which is built, of the rows of all sites, or of so many; another is told nothing."""
    if not is_summed(model) or agreed.pooled is None:
        return
    pooled = agreed.pooled
    model.anchor(pooled.rows if rows is None else rows, _prepared(agreed, pooled), pooled.target)


def _prepared(agreed: AnyPreprocessing, pooled: Pooled) -> NDArray[np.float64]:
    """Return about where the prepared rows lie: what a row of the means becomes; 0 where nothing becomes of it."""
    center = np.array(pooled.center)
    if isinstance(agreed, Preprocessing):
        return (center - agreed.center) / agreed.scale
    arrays = []
    for kind, mean in zip(agreed.schema.kinds, pooled.center, strict=True):
        cell = empty(kind, 1)
        if kind != "category":
            cell[0] = np.datetime64(round(mean), "s") if kind == "date" else mean
        arrays.append(cell)
    try:
        row = agreed.transform(Table(agreed.columns, agreed.schema.kinds, tuple(arrays)), "float64")
        return np.asarray(row[0], np.float64)
    except ValueError:  # a step that takes no gap among categories, say
        return np.zeros(agreed.n_features)


def trainings(model: object, work: LocalWork, rounds: int) -> list[LocalWork]:
    """Return what a model by itself is to do, one after another, for as much as `work` says in each of so many rounds.

    All at once; but of a summed model, which takes a step at the beginning of a training, round by round.
    """
    if is_summed(model):
        return [work] * (1 if in_one_round(model) else rounds)
    steps = None if work.local_steps is None else work.local_steps * rounds
    return [replace(work, epochs=work.epochs * rounds, local_steps=steps)]


def counted(model: object, weight: Weights | None) -> tuple[Weights | None, float | None]:
    """Return the weights of a site's rows as its training takes them, and how much the site counts in an average.

    Sums are by the rows' own weights, and all sites' count once. Elsewhere weights are 1 on average, and the site
    counts by what they come to; None: by its rows.
    """
    if is_summed(model):
        return weight, 1.0
    return (None, None) if weight is None else (relative(weight), float(weight.sum()))
