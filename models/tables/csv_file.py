"""A CSV file as a raw table, by the standard library: every refusal names the line."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from ..data.data import DataError
from .kinds import number
from .raw import Places, RawTable, Words, check_columns
from .suffixes import kind_of
from .text_file import SAMPLE, SEPARATORS, Dialect, decoded, dialect_of_text, encodings, opened

BLOCK = 10_000  # rows whose text is held at a time
UNNAMED = "Unnamed: 0"  # what pandas calls a first column without a name


def read_csv(path: Path) -> RawTable:
    """Return the cells of a file with a header line; empty lines are skipped.

    Encoding and separator are recognized. Raises DataError when it is not text, the header is missing or has a name
    twice, or a line has cells too many or too few.
    """
    with opened(path) as stream:
        sample = stream.read(SAMPLE)
    for encoding in encodings(sample):
        dialect = dialect_of(sample, encoding)
        try:
            return _read(path, dialect)
        except UnicodeDecodeError as error:
            last = error
    raise DataError(f"{path}: not a readable {kind_of(path)} file ({last})") from last


def dialect_of(sample: bytes, encoding: str) -> Dialect:
    """Return how a file that begins so is written: judged by its whole lines."""
    text = sample.decode(encoding, errors="replace")
    if len(sample) >= SAMPLE and "\n" in text:
        text = text[: text.rindex("\n") + 1]
    return dialect_of_text(text, encoding)


def _read(path: Path, dialect: Dialect) -> RawTable:
    columns, aside = columns_of(path, dialect)
    known = [Places() for _ in columns]
    codes: list[list[NDArray[np.intp]]] = [[] for _ in columns]
    lines: list[int] = []
    for rows, numbers in blocks_of(path, dialect, columns):
        _take(rows, known, codes)
        lines += numbers
    parts = zip(columns, known, codes, strict=True)
    cells = {name: Words.merged(words, np.concatenate(places)) for name, words, places in parts}
    return RawTable(
        str(path), tuple(columns), len(lines), cells.__getitem__, Lines(np.array(lines)), str(dialect), aside=aside
    )


def columns_of(path: Path, dialect: Dialect) -> tuple[list[str], dict[str, str]]:
    """Return the `header` of a file."""
    with decoded(path, dialect.encoding) as stream:
        reader = reader_of(stream, dialect)
        try:
            return header(path, names_in(next(reader, []), dialect))
        except csv.Error as error:
            raise _unreadable(path, reader.line_num, error) from error


def blocks_of(path: Path, dialect: Dialect, columns: list[str]) -> Iterator[tuple[list[list[str]], list[int]]]:
    """Yield the cells of some thousand rows at a time, and the lines on which these end.

    Raises DataError for a line with cells too many or too few, and where there are no rows.
    """
    rows: list[list[str]] = []
    lines: list[int] = []
    known = False
    with decoded(path, dialect.encoding) as stream:
        reader = reader_of(stream, dialect)
        try:
            names = names_in(next(reader, []), dialect)
            for row in reader:
                if not row:
                    continue
                if len(row) != len(columns):
                    raise DataError(_ragged(path, reader.line_num, row, columns))
                if not known and not rows and names == [cell.strip() for cell in row]:
                    raise DataError(f"{path}: line {reader.line_num} is the header once more: delete it")
                rows.append(row)
                lines.append(reader.line_num)
                if len(rows) == BLOCK:
                    yield rows, lines
                    rows, lines, known = [], [], True
        except csv.Error as error:
            raise _unreadable(path, reader.line_num, error) from error
    if rows:
        yield rows, lines
    elif not known:
        raise DataError(f"{path}: no rows below the header")


def reader_of(stream: TextIO, dialect: Dialect) -> Any:
    """Return a reader of the cells of lines, which counts these."""
    return csv.reader(stream, delimiter=dialect.separator, quotechar=dialect.quote, strict=True)


def names_in(cells: list[str], dialect: Dialect) -> list[str]:
    """Return the names of a header, the first of them empty where the rows have one cell more, their own names."""
    return [*([""] if dialect.row_names else []), *(cell.strip() for cell in cells)]


def _unreadable(path: Path, line: int, error: csv.Error) -> DataError:
    return DataError(f"{path}: not a readable {kind_of(path)} file (line {line}: {error})")


def _take(block: list[list[str]], known: list[Places], codes: list[list[NDArray[np.intp]]]) -> None:
    """Add a block of rows to the columns: many at a time, since a step for each cell costs most of the reading."""
    for cells, words, places in zip(zip(*block, strict=True), known, codes, strict=bool(block)):
        places.append(words.codes(cells))


@dataclass(frozen=True, eq=False)
class Lines:
    """The places of rows in a file of lines: on which each ends, counted from 1."""

    _lines: NDArray[np.intp]

    def __call__(self, row: int) -> str:
        return f"line {self._lines[row]}"


def header(path: Path, cells: list[str]) -> tuple[list[str], dict[str, str]]:
    """Return the names of the columns, and which are set aside, each with a note: a first one without a name.

    R and pandas write the number or name of each row there. Raises DataError where other names are missing.
    """
    if len(cells) > 1 and not cells[0]:
        check_header(path, cells[1:], first=2)
        names = (UNNAMED, *(f"{UNNAMED}.{count}" for count in range(1, len(cells))))  # a file written and read again
        own = next(name for name in names if name not in cells)
        note = f"{path.name}: the first column has no name and is left out, as the names of rows"
        return [own, *cells[1:]], {own: note}
    check_header(path, cells)
    return cells, {}


def check_header(path: Path, columns: list[str], first: int = 1) -> None:
    """Raise DataError unless these are the names of columns."""
    if not any(columns):
        raise DataError(f"{path}: line 1 is empty, expected the names of the columns")
    if all(number(name) is not None for name in columns):
        raise DataError(f"{path}: line 1 holds numbers only, expected the names of the columns")
    check_columns(str(path), columns, "line 1", first)


def _ragged(path: Path, line: int, row: list[str], columns: list[str]) -> str:
    return f"{path}: line {line} has {len(row)} cells, the header names {len(columns)} columns"


def only_one_column(path: Path, column: str) -> DataError:
    """Return what to say of a file whose cells nothing separates."""
    *marks, last = SEPARATORS.values()
    return DataError(
        f"{path}: line 1: only one column ({column[:60]!r}); cells are separated by {', '.join(marks)} or {last}"
    )
