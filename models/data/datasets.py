"""`load`: every data set by its name or path."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..plugins import suggest
from .data import DataError, Dataset, Task, checked_task
from .files import SUFFIXES, load_file
from .images import OPENML_NAMES, load_images
from .synthetic import synthetic
from .toys import COLUMNS, load_toy

NAMES = (*COLUMNS, "synthetic", *OPENML_NAMES)
"""The names that `load` knows."""

_SYNTHETIC = re.compile(r"synthetic(?:\((?:(?P<iid>iid)|(?P<alpha>[^,()]+),(?P<beta>[^,()]+))\))?")


def load(
    source: str | Path, *, target: str | None = None, task: str | None = None, sites: str | None = None, seed: int = 0
) -> Dataset:
    """Return a data set by its name, or from a file.

    Parameters
    ----------
    source
        One of `NAMES`; "synthetic(0.5, 0.5)" (α, β; plain "synthetic" is (0, 0)) or "synthetic(iid)"; or the path of a
        .npz, .csv or .parquet file.
    target
        For a table: the column to predict. By default a column called target, y, label or class, else the last one.
    task
        "classification" or "regression", where the targets alone would be misread. Labels that are numbers can be taken
        for quantities; the quantities of a packaged set are no labels.
    sites
        A column that says where each row was collected, which in a .csv or .parquet file may be text. It becomes
        `Dataset.sites` and is no input.
    seed
        Of the draws of "synthetic".

    Raises DataError: an unknown name, a file that is missing or holds something other than numbers, an unknown column.
    """
    name = str(source)
    if Path(name).suffix.lower() in SUFFIXES:
        return load_file(Path(name), target=target, task=task, sites=sites)
    known = name in NAMES or _SYNTHETIC.fullmatch(name) is not None
    if not known:
        files = ", ".join(SUFFIXES)
        if Path(name).exists():
            raise DataError(f"{name}: no such kind of file can be read; allowed: {files}")
        raise DataError(f"no data set {name!r}{suggest(name, NAMES)}; allowed: {', '.join(NAMES)}, or a {files} file")
    if target is not None:
        raise DataError(f"target {target!r} is for files; {name} brings its own")
    if name in COLUMNS:
        found = load_toy(name)
    elif name in OPENML_NAMES:
        found = load_images(name)
    else:
        found = _synthetic(name, seed)
    if task is not None:
        found = _for_task(found, checked_task(task))
    return found if sites is None else found.with_sites(sites)


def _for_task(found: Dataset, task: Task) -> Dataset:
    if task == "classification" and found.task == "regression":
        raise DataError(f"task {task!r}: the target of {found.name} is a quantity")
    test = None if found.test is None else _for_task(found.test, task)
    return found if task == found.task else replace(found, y=found.y.astype(np.float64), task=task, test=test)


def _synthetic(name: str, seed: int) -> Dataset:
    found = _SYNTHETIC.fullmatch(name)
    if found is None or found["alpha"] is None:
        return synthetic(iid=found is not None and found["iid"] is not None, seed=seed)
    try:
        alpha, beta = float(found["alpha"]), float(found["beta"])
    except ValueError:
        raise DataError(f"{name}: expected two numbers, as in synthetic(0.5, 0.5)") from None
    return synthetic(alpha, beta, seed=seed)
