"""Whether what was agreed in round 0 covers what a site has: its columns, its labels, and a model that it had built."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .data.data import Task
from .moments import IncompatibleSites
from .plugins import listed
from .preprocessing import by_place
from .site_rows import SiteRows
from .table_preprocessing import AnyPreprocessing
from .weights import Layout


def check_covered(
    own: SiteRows | None, further: Mapping[str, SiteRows], preprocessing: AnyPreprocessing, task: Task | None
) -> None:
    """Raise IncompatibleSites for preprocessing that leaves out something of a site's `own` rows, or of `further`.

    These are its hold-out and a test set, by their names.
    """
    sets = ({} if own is None else {"this site": own}) | {f"the {on} set": rows for on, rows in further.items()}
    for name, rows in sets.items():
        if rows.columns is None or (name == "the test set" and by_place(rows.columns, preprocessing.columns)):
            continue
        wanted, odd = set(preprocessing.columns), set(rows.columns) - set(preprocessing.all_columns)
        if not wanted <= set(rows.columns) or (odd and not preprocessing.ignores_further):
            raise IncompatibleSites(
                f"{name} has the columns {listed(rows.columns)}; agreed were {listed(preprocessing.columns)}"
            )
    if task is not None and task != preprocessing.task:
        raise IncompatibleSites(f"this site has data for {task}; agreed was {preprocessing.task}")
    for name, rows in sets.items():
        try:
            preprocessing.encode(np.unique(rows.y))
        except ValueError as error:
            raise IncompatibleSites(f"{name} has targets that were not agreed: {error}") from error


def check_same_layout(before: Layout, layout: Layout, preprocessing: AnyPreprocessing) -> None:
    """Raise IncompatibleSites if a model that was built before has other shapes than what was agreed needs."""
    if before.hash != layout.hash:
        raise IncompatibleSites(
            f"the model was built with {_shapes(before)}; for {preprocessing.n_features} columns and "
            f"{preprocessing.n_classes or 'no'} classes it needs {_shapes(layout)}"
        )


def _shapes(layout: Layout) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in zip(layout.names, layout.shapes, strict=True))
