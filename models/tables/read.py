"""read_table: a site's file, with a target, as a table of numbers, categories and dates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.data import DataError
from .csv_file import only_one_column, read_csv
from .kinds import recognized
from .options import ColumnOptions, ReadOptions
from .raw import RawTable
from .roles import Roles, ids_of, targets_of, weights_of
from .table import Table
from .text_file import kind_of


@dataclass(frozen=True, eq=False)
class SiteTable:
    """The rows of one site, as one file or data frame has them.

    Parameters
    ----------
    name
        The file, for messages.
    table
        The inputs.
    target
        Shape (rows,): whole numbers, float64 or text.
    target_name
        The target's column.
    weight
        How much each row counts, float64 of shape (rows,), or None.
    ids
        What names each row, text of shape (rows,), or None.
    sites
        Where each row was collected, shape (rows,), or None.
    notes
        What its owner should know of how it was read, a line each.
    """

    name: str
    table: Table
    target: NDArray[Any]
    target_name: str
    weight: NDArray[np.float64] | None = None
    ids: NDArray[Any] | None = None
    sites: NDArray[Any] | None = None
    notes: tuple[str, ...] = ()


def read_table(path: str | Path, options: ReadOptions | None = None) -> SiteTable:
    """Return the table of a file. See `ReadOptions` for what can be said of it.

    Raises DataError: the file cannot be read, or something in it is not what was said or what its column looks like;
    the message names file, column, line, and what to do.
    """
    return site_table(read_raw(Path(path)), options or ReadOptions())


def read_raw(path: Path) -> RawTable:
    """Return the columns of a file as they stand. Raises DataError: it is not there, or of no kind that is known."""
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    kind = kind_of(path)
    if kind not in READERS:
        raise DataError(f"{path}: cannot read {kind or 'a file without ending'}; allowed: {', '.join(SUFFIXES)}")
    return READERS[kind](path)


def site_table(raw: RawTable, options: ReadOptions) -> SiteTable:
    """Return a raw table as the table of a site. Raises DataError, see `read_table`."""
    roles = Roles.of(raw, options)
    target, kept = targets_of(raw, roles.target, options)
    notes = []
    if len(kept) < raw.rows:
        missing = raw.rows - len(kept)
        rows = "row" if missing == 1 else "rows"
        notes.append(f"{Path(raw.name).name}: {missing} {rows} without a target ({roles.target}) left out")
    kinds, arrays = [], []
    commas = []
    for name in roles.inputs:
        column = recognized(raw, name, options.of(name))
        kinds.append(column.kind)
        arrays.append(column.array[kept] if len(kept) < raw.rows else column.array)
        commas += [name] if column.note else []
    written = [*filter(None, [raw.written]), *([f"decimal commas in {', '.join(commas)}"] if commas else [])]
    if written:
        notes.insert(0, f"{Path(raw.name).name}: {', '.join(written)}")
    return SiteTable(
        raw.name,
        Table(roles.inputs, tuple(kinds), tuple(arrays)),
        target,
        roles.target,
        None if roles.weight is None else weights_of(raw, roles.weight, options)[kept],
        None if roles.id is None else ids_of(raw, roles.id)[kept],
        None if roles.sites is None else targets_of(raw, roles.sites, ReadOptions(task="classification"))[0][kept],
        (*notes, *raw.notes),
    )


def _csv(path: Path) -> RawTable:
    raw = read_csv(path)
    if len(raw.columns) < 2:
        raise only_one_column(path, raw.columns[0])
    return raw


READERS: dict[str, Callable[[Path], RawTable]] = {".csv": _csv, ".csv.gz": _csv}

SUFFIXES = tuple(READERS)
"""The kinds of file that can be read."""

__all__ = ["ColumnOptions", "ReadOptions", "SiteTable", "read_raw", "read_table", "site_table"]
