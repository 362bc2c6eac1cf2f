"""Which column of a raw table is the target, the id, the weight; and the arrays of those that are no inputs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.arrays import changed_by_float64
from ..data.data import EXACT, DataError
from ..data.row_weights import check_weights
from ..plugins import listed
from .kinds import CONFUSED, SHOWN, is_integer, number, number_with_comma, reading_of, recognized
from .options import TARGET_NAMES, ColumnOptions, ReadOptions
from .raw import RawTable, Words


@dataclass(frozen=True)
class Roles:
    """What each column is for."""

    inputs: tuple[str, ...]
    target: str
    id: str | None
    weight: str | None
    sites: str | None

    @property
    def all(self) -> tuple[str | None, ...]:
        return (*self.inputs, self.target, self.id, self.weight, self.sites)

    @classmethod
    def of(cls, raw: RawTable, options: ReadOptions) -> Roles:
        """Return the roles of a table's columns. Raises DataError: a name is wrong, or nothing is left for inputs."""
        if raw.target is not None and options.target is not None:
            raise DataError(
                f"{raw.name}: target {options.target!r} is for tables with named columns; in a "
                f"{Path(raw.name).suffix} file it is the array y"
            )
        options.check_names(raw.name, raw.columns)
        sites, weight = options.sites or raw.sites, options.weight or raw.weight
        own = (raw.sites, raw.weight)
        said = {name for name in (*own, sites, options.id, weight) if name is not None}
        wanted = {options.target, *said, *options.kinds}
        said.update(options.drop, (name for name in raw.aside if name not in wanted))
        eligible = [name for name in raw.columns if name not in said]
        target = options.target or raw.target
        if target is None:
            usual = [name for wanted in TARGET_NAMES for name in eligible if name.lower() == wanted]
            target = next(iter([*usual, *reversed(eligible)]), None)
        inputs = tuple(name for name in eligible if name != target)
        if target is None or not inputs:
            raise DataError(f"{raw.name}: no columns are left for the inputs; it has: {listed(raw.columns)}")
        return cls(inputs, target, options.id, weight, sites)


def targets_of(raw: RawTable, name: str, options: ReadOptions) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return a column as targets, and the rows that have one.

    Whole numbers are integers however they are written; fractions are float64; other text is labels. Raises DataError
    for rows without one, unless they are to be dropped, and for numbers and text together, unless the task is
    classification: then all of it is text.
    """
    cells, said = raw.cells(name), options.of(name)
    if isinstance(cells, Words):
        present = np.array([word not in said.gap_words for word in cells.words], np.bool_)[cells.codes]
    else:
        present = np.asarray(cells == cells)
    kept = np.flatnonzero(present)
    if not len(kept):
        raise DataError(f'{raw.name}: column "{name}" is the target, and empty in all rows')
    if len(kept) < raw.rows and options.missing_target == "refuse":
        raise _missing(raw, name, cells, np.flatnonzero(~present))
    if isinstance(cells, Words):
        return _of_words(raw, name, cells.take(kept), kept, options), kept
    return _of_array(raw, name, cells[kept], kept, options), kept


def has_decimal_commas(raw: RawTable, name: str, values: NDArray[Any], options: ReadOptions) -> bool:
    """Whether the values of a target or weight were read so."""
    cells, said = raw.cells(name), options.of(name)
    if values.dtype.kind == "U" or not isinstance(cells, Words):
        return False
    present = [word for word in cells.words if word not in said.gap_words]
    return reading_of(raw, name, present, said) is number_with_comma


def _missing(raw: RawTable, name: str, cells: Words | NDArray[Any], rows: NDArray[np.intp]) -> DataError:
    cell = cells.cell(int(rows[0])) if isinstance(cells, Words) else ""
    others = [raw.place(row) for row in rows[1:SHOWN].tolist()]
    others += [f"{len(rows) - SHOWN} more"] if len(rows) > SHOWN else []
    also = f" (also {', '.join(others)})" if others else ""
    found = f"found {cell or 'an empty cell'}, expected a value{also}"
    return raw.refusal(
        int(rows[0]),
        name,
        f'{found}; data.missing_target = "drop" (--set data.missing_target=drop) leaves such rows out',
    )


def _of_words(raw: RawTable, name: str, cells: Words, kept: NDArray[np.intp], options: ReadOptions) -> NDArray[Any]:
    said = options.of(name)
    used = np.zeros(len(cells.words), np.bool_)
    used[cells.codes] = True
    words = [word for word, there in zip(cells.words, used.tolist(), strict=True) if there]
    reading = reading_of(raw, name, words, said)
    values = [reading(word) for word in words]
    numeric = [value is not None for value in values]
    text = options.task != "regression" and said.kind != "number"
    if text and (
        said.kind == "category" or not any(numeric) or (not all(numeric) and options.task == "classification")
    ):
        return np.array(cells.words, np.str_)[cells.codes]

    def refusal(bad: str, expected: str, hint: str = "") -> DataError:
        row = int(kept[cells.rows_of(bad.__eq__)[0]])
        found = bad if number(bad) is not None else f'text "{bad[:40]}"'
        return raw.refusal(row, name, f"found {found}, expected {expected}{hint}")

    for word, value in zip(words, values, strict=True):
        if value is None and text:
            hint = ' (or say data.task = "classification", --task classification, to take all of them as labels)'
            raise refusal(word, "a number as elsewhere in this column", hint)
        if value is None or not np.isfinite(value):
            raise refusal(word, "a number")
    if text and all(map(is_integer, words)):  # exactly, whatever their size
        exact = dict(zip(words, map(int, words), strict=True))
        integers = np.array([exact.get(word, 0) for word in cells.words])
        if integers.dtype.kind == "i":
            return integers[cells.codes]
    for word, value in zip(words, values, strict=True):
        if value is not None and abs(value) >= EXACT and is_integer(word) and int(word) != int(value):
            raise refusal(word, CONFUSED)
    by_word = dict(zip(words, values, strict=True))
    floats = np.array([by_word.get(word) or 0.0 for word in cells.words])[cells.codes]
    whole = bool((floats == np.floor(floats)).all()) and bool((np.abs(floats) < EXACT).all())
    return floats.astype(np.int64) if whole else floats


def _of_array(
    raw: RawTable, name: str, values: NDArray[Any], kept: NDArray[np.intp], options: ReadOptions
) -> NDArray[Any]:
    if values.dtype.kind == "M":
        raise DataError(f'{raw.name}: column "{name}" is the target: found dates, expected labels or numbers')
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise raw.refusal(int(kept[row]), name, f"found {values[row]}, expected a number")
    if options.task == "regression" and (changed := changed_by_float64(values)).any():
        raise raw.refusal(
            int(kept[np.flatnonzero(changed)[0]]), name, f"found {values[changed][0]}, expected {CONFUSED}"
        )
    return values.astype(np.int64) if values.dtype.kind == "b" else values


def weights_of(raw: RawTable, name: str, options: ReadOptions) -> NDArray[np.float64]:
    """Return the column of weights. Raises DataError for one that is no number of at least 0, and where all are 0."""
    said = options.of(name)
    weights: NDArray[np.float64] = recognized(raw, name, ColumnOptions("number", said.format, said.gaps)).array
    check_weights(weights, lambda row, finding: raw.refusal(row, name, finding), f'{raw.name}: column "{name}"')
    return weights


def sites_of(raw: RawTable, name: str) -> NDArray[Any]:
    """Return the column that says where each row was collected: whole numbers, other numbers, or text."""
    cells = raw.cells(name)
    empty = cells.rows_of(lambda word: not word) if isinstance(cells, Words) else np.flatnonzero(cells != cells)
    if len(empty):
        raise raw.refusal(int(empty[0]), name, "found an empty cell, expected a value")
    rows = np.arange(raw.rows)
    options = ReadOptions(task="classification", columns={name: ColumnOptions(gaps=())})
    return (
        _of_words(raw, name, cells, rows, options)
        if isinstance(cells, Words)
        else _of_array(raw, name, cells, rows, options)
    )


def ids_of(raw: RawTable, name: str) -> NDArray[Any]:
    """Return the column that names the rows, as text."""
    cells = raw.cells(name)
    if isinstance(cells, Words):
        return np.array(cells.words, np.str_)[cells.codes]
    return cells.astype(np.str_)
