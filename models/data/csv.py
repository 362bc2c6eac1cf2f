"""A CSV file as columns of text, which become numbers on demand, with line and column named where they cannot."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .data import EXACT, DataError


@dataclass(frozen=True)
class CsvTable:
    """The cells of a file, stripped, by column, and the line of the file on which each row ends."""

    path: Path
    columns: list[str]
    cells: dict[str, Sequence[str]]
    lines: list[int]

    def __len__(self) -> int:
        return len(self.lines)

    def numbers(self, column: str) -> NDArray[np.float64]:
        """Return a column of finite numbers."""
        try:
            values = np.array(list(map(float, self.cells[column])))
        except ValueError:
            row = next(row for row, cell in enumerate(self.cells[column]) if not _is_number(cell))
            raise self._refusal(row, column) from None
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise self._refusal(int(bad[0]), column)
        for row in np.flatnonzero(np.abs(values) >= EXACT).tolist():
            if _is_integer(self.cells[column][row]) and int(self.cells[column][row]) != int(values[row]):
                raise self._refusal(row, column, "a whole number of at most 2**53, beyond which they are confused")
        return values

    def labels(self, column: str, *, mixed: bool = False, text: bool = True) -> NDArray[Any]:
        """Return a column of integers, of numbers or of text.

        Whole numbers are integers however they are written. A column with numbers and text together is refused unless
        `mixed`, when all of it is text; text is refused altogether unless `text`.
        """
        cells = self.cells[column]
        numeric = [_is_number(cell) for cell in cells]
        if "" in cells:
            raise self._refusal(cells.index(""), column, "a value")
        if text and (not any(numeric) or (mixed and not all(numeric))):
            return np.array(cells, dtype=np.str_)
        if text and not all(numeric):
            odd = self._refusal(numeric.index(False), column, "a number as elsewhere in this column")
            raise DataError(
                f'{odd} (or say data.task = "classification", --task classification, to take all of them as labels)'
            )
        if text and all(map(_is_integer, cells)):  # exactly, whatever their size
            integers = np.array(list(map(int, cells)))
            if integers.dtype.kind == "i":
                return integers
        values = self.numbers(column)
        whole = (values == np.floor(values)).all() and (np.abs(values) < 2**53).all()
        return values.astype(np.int64) if whole else values

    def _refusal(self, row: int, column: str, expected: str = "a number") -> DataError:
        cell = self.cells[column][row]
        found = "an empty cell" if not cell else cell if _is_number(cell) else f'text "{cell[:40]}"'
        return DataError(f'{self.path}: line {self.lines[row]}, column "{column}": found {found}, expected {expected}')


def read_csv(path: Path, *, least_columns: int = 2) -> CsvTable:
    """Return the table of a file with a header line; empty lines are skipped.

    A file of one column is most often one whose cells are separated by something else than commas. Raises DataError
    when it is not UTF-8 text, the header is missing or has a name twice, or a line has cells too many
    or too few.
    """
    rows: list[list[str]] = []
    lines: list[int] = []
    columns: list[str] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, strict=True)
            columns = [cell.strip() for cell in next(reader, [])]
            _check_header(path, columns, least_columns)
            for row in reader:
                if not row:
                    continue
                if len(row) != len(columns):
                    raise DataError(
                        f"{path}: line {reader.line_num} has {len(row)} cells, the header names {len(columns)} columns"
                    )
                rows.append([cell.strip() for cell in row])
                lines.append(reader.line_num)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a readable .csv file ({error})") from error
    if not rows:
        raise DataError(f"{path}: no rows below the header")
    return CsvTable(path, columns, dict(zip(columns, zip(*rows, strict=True), strict=True)), lines)


def _check_header(path: Path, columns: list[str], least: int) -> None:
    if not any(columns):
        raise DataError(f"{path}: line 1 is empty, expected the names of the columns")
    if all(_is_number(name) for name in columns):
        raise DataError(f"{path}: line 1 holds numbers only, expected the names of the columns")
    for place, name in enumerate(columns, start=1):
        if not name:
            raise DataError(f"{path}: line 1: column {place} has no name")
        if columns.count(name) > 1:
            raise DataError(f"{path}: line 1: two columns are called {name!r}")
    if len(columns) < least:
        raise DataError(f"{path}: line 1: only one column ({columns[0][:60]!r}); cells are separated by commas")


def _is_integer(cell: str) -> bool:
    return cell.removeprefix("-").removeprefix("+").isdecimal()


def _is_number(cell: str) -> bool:
    """Whether Python reads it as a number; NaN and infinities count, so that they are reported as what they are."""
    try:
        float(cell)
    except ValueError:
        return False
    return True
