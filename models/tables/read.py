"""read_table: a site's file, with a target, as a table of numbers, categories and dates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.data import DataError
from ..data.written import Written, WrittenColumns
from .arff_file import read_arff
from .array_files import read_libsvm, read_npy, read_npz
from .arrow_csv import read_large_csv
from .arrow_files import read_arrow
from .csv_file import only_one_column, read_csv
from .kinds import DECIMAL_COMMA, Column, recognized
from .options import ColumnOptions, ReadOptions
from .raw import RawTable
from .roles import Roles, has_decimal_commas, ids_of, sites_of, targets_of, weights_of
from .suffixes import ALLOWED, kind_of, why_no_file
from .table import Table

READERS: dict[str, Callable[[Path], RawTable]] = {
    ".npz": read_npz,
    ".npy": read_npy,
    ".csv": read_csv,
    ".parquet": read_arrow,
    ".tsv": read_csv,
    ".csv.gz": read_csv,
    ".tsv.gz": read_csv,
    ".feather": read_arrow,
    ".arrow": read_arrow,
    ".arff": read_arff,
    ".arff.gz": read_arff,
    ".svm": read_libsvm,
    ".libsvm": read_libsvm,
    ".svm.gz": read_libsvm,
    ".libsvm.gz": read_libsvm,
}

__all__ = ["ColumnOptions", "ReadOptions", "SiteTable", "read_raw", "read_table", "site_table"]


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
    written
        Which of the inputs need a format or gap words to be read.
    """

    name: str
    table: Table
    target: NDArray[Any]
    target_name: str
    weight: NDArray[np.float64] | None = None
    ids: NDArray[Any] | None = None
    sites: NDArray[Any] | None = None
    notes: tuple[str, ...] = ()
    written: WrittenColumns = field(default_factory=dict)


def read_table(path: str | Path, options: ReadOptions | None = None) -> SiteTable:
    """Return the table of a file. See `ReadOptions` for what can be said of it.

    Raises DataError: the file cannot be read, or something in it is not what was said or what its column looks like;
    the message names file, column, line, and what to do.
    """
    options = options or ReadOptions()
    return site_table(read_raw(Path(path), options=options), options)


def read_raw(path: Path, least_columns: int = 2, options: ReadOptions | None = None) -> RawTable:
    """Return the columns of a file as they stand.

    A text file with fewer than `least_columns` is most often one whose cells are separated by something else than what
    is known. With the `options` that the columns are read by, a large one is read by pyarrow where that is installed.
    Raises DataError: the file is not there, or of no kind that is known.
    """
    if why := why_no_file(path):
        raise DataError(f"{path}: {why}")
    kind = kind_of(path)
    if kind not in READERS:
        raise DataError(f"{path}: cannot read {kind or 'a file without ending'}; allowed: {ALLOWED}")
    if READERS[kind] is read_csv and options is not None:
        raw = read_large_csv(path, options.as_text())
    else:
        raw = READERS[kind](path)
    if READERS[kind] is read_csv and len(raw.columns) < least_columns:
        raise only_one_column(path, raw.columns[0])
    return raw


def site_table(raw: RawTable, options: ReadOptions) -> SiteTable:
    """Return a raw table as the table of a site. Raises DataError, see `read_table`."""
    roles = Roles.of(raw, options)
    target, kept = targets_of(raw, roles.target, options)
    columns = {name: recognized(raw, name, options.of(name)) for name in roles.inputs}
    missing = raw.rows - len(kept)
    weight = None if roles.weight is None else weights_of(raw, roles.weight, options)[kept]
    commas = decimal_commas(raw, columns, {roles.target: target, roles.weight: weight}, options)
    notes = notes_of(raw, roles, len(kept), tuple(commas))
    arrays = tuple(column.array[kept] if missing else column.array for column in columns.values())
    return SiteTable(
        raw.name,
        Table(roles.inputs, tuple(column.kind for column in columns.values()), arrays),
        target,
        roles.target,
        weight,
        None if roles.id is None else ids_of(raw, roles.id)[kept],
        None if roles.sites is None else sites_of(raw, roles.sites)[kept],
        notes,
        written_of(columns, options),
    )


def written_of(columns: Mapping[str, Column], options: ReadOptions) -> dict[str, Written]:
    """Return what the cells of columns need beside their kinds."""
    return {name: said for name, column in columns.items() if (said := _written(column, options.of(name)))}


def _written(column: Column, options: ColumnOptions) -> Written:
    return Written((column.form,) if column.form else (), options.gaps)


def notes_of(raw: RawTable, roles: Roles, kept: int, commas: Sequence[str] = ()) -> tuple[str, ...]:
    """Return what the owner of a file should know of how it was read, of whose rows so many have a target."""
    short = Path(raw.name).name
    with_commas = f"decimal commas in {', '.join(commas)}" if commas else ""
    written = ", ".join(filter(None, [raw.written, with_commas]))
    notes = [f"{short}: {written}"] if written else []
    if missing := raw.rows - kept:
        rows = "row" if missing == 1 else "rows"
        notes.append(f"{short}: {missing} {rows} without a target ({roles.target}) left out")
    return *notes, *(note for name, note in raw.aside.items() if name not in roles.all)


def decimal_commas(
    raw: RawTable,
    inputs: Mapping[str, Column],
    others: Mapping[str | None, NDArray[Any] | None],
    options: ReadOptions,
) -> Iterator[str]:
    """Yield the columns that were read so, in the order of the file."""
    for name in raw.columns:
        values = others.get(name)
        if name in inputs:
            found = inputs[name].form == DECIMAL_COMMA
        else:
            found = values is not None and has_decimal_commas(raw, name, values, options)
        if found:
            yield name
