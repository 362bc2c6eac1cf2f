"""`load`: every data set by its name or path."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from .data.data import DataError, Dataset, Task, checked_task
from .data.images import OPENML_NAMES, load_images
from .data.synthetic import synthetic
from .data.toys import COLUMNS, load_toy
from .plugins import suggest
from .tables.options import ReadOptions
from .tables.suffixes import ALLOWED, SUFFIXES, kind_of

NAMES = (*COLUMNS, "synthetic", *OPENML_NAMES)
"""The names that `load` knows."""

_SYNTHETIC = re.compile(r"synthetic(?:\((?:(?P<iid>iid)|(?P<alpha>[^,()]+),(?P<beta>[^,()]+))\))?")


def load(
    source: str | Path,
    *,
    target: str | None = None,
    task: str | None = None,
    sites: str | None = None,
    seed: int = 0,
    options: ReadOptions | None = None,
    in_memory_mb: float | None = None,
) -> Dataset:
    """Return a data set by its name, or from a file.

    Parameters
    ----------
    source
        One of `NAMES`; "synthetic(0.5, 0.5)" (α, β; plain "synthetic" is (0, 0)) or "synthetic(iid)"; or the path of a
        file (`SUFFIXES`).
    target
        For a table: the column to predict. By default a column called target, y, label or class, else the last one.
    task
        "classification" or "regression", where the targets alone would be misread. Labels that are numbers can be taken
        for quantities; the quantities of a packaged set are no labels.
    sites
        A column that says where each row was collected. It becomes `Dataset.sites` and is no input.
    seed
        Of the draws of "synthetic".
    options
        What else is said of a file's columns.
    in_memory_mb
        The rows of a .csv, .parquet or .npy file that would take more than so many megabytes, at 8 bytes a cell, stay
        on disk: X is a `StoredTable`. None: all rows are read.

    Raises DataError: an unknown name, a file that is missing or cannot be read as it is said to be, an unknown column.
    """
    name = str(source)
    if kind_of(Path(name)) in SUFFIXES:
        from .tables.load import load_file
        from .tables.stored import load_stored

        told = None if task is None else checked_task(task)
        said = options or ReadOptions()
        said = replace(said, target=target or said.target, sites=sites or said.sites, task=told or said.task)
        return load_stored(Path(name), said) if stored(name, in_memory_mb) else load_file(Path(name), said)
    known = name in NAMES or _SYNTHETIC.fullmatch(name) is not None
    if not known:
        if Path(name).exists():
            raise DataError(f"{name}: no such kind of file can be read; allowed: {ALLOWED}")
        hint = suggest(name, NAMES)
        raise DataError(f"no data set {name!r}{hint}; allowed: {', '.join(NAMES)}, or a file: {ALLOWED}")
    if (said_target := target or (options and options.target)) is not None:
        raise DataError(f"target {said_target!r} is for files; {name} brings its own")
    if options is not None and (keys := options.of_columns()):
        raise DataError(f"{keys[0]} is for files; {name} brings its own columns")
    if name in COLUMNS:
        found = load_toy(name)
    elif name in OPENML_NAMES:
        found = load_images(name)
    else:
        found = _synthetic(name, seed)
    if task is not None:
        found = _for_task(found, checked_task(task))
    return found if sites is None else found.with_sites(sites)


def stored(source: str | Path, in_memory_mb: float | None) -> bool:
    """Whether `load` leaves the rows of a source on disk. Raises DataError: a file is not what its ending says."""
    if in_memory_mb is None or kind_of(Path(source)) not in SUFFIXES:
        return False
    from .tables.stored import megabytes

    return megabytes(Path(source)) > in_memory_mb


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
