"""Large CSV files by pyarrow, many times faster: the same table as by the standard library, or none at all.

Whatever is unusual - another encoding, a line with cells too many, an infinity, a number that float64 would change - is
left to `csv_file`, which says where it stands.
"""

from __future__ import annotations

import csv
import io
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..data.data import EXACT, DataError
from .arrow_cells import arrow_cells
from .csv_file import Lines, dialect_of, header, read_csv, reader_of
from .kinds import number
from .options import TARGET_NAMES, USUAL_GAPS, ColumnOptions
from .raw import Cells, Places, RawTable, Words
from .slabs import SLAB, NoEnd, slabs
from .text_file import SAMPLE, SAMPLE_ROWS, Dialect, decoded, encodings, opened

LARGE = 8 * 2**20
"""Bytes of a file from which on pyarrow's import, half a second, is worth its while."""


def read_large_csv(path: Path, text: Collection[str], least: int = LARGE) -> RawTable:
    """Return a CSV file of at least so many bytes by pyarrow, if that is installed, and else by the standard library.

    Columns in `text` are not taken for numbers yet, whatever they look like; nor is what may be the target.
    """
    if path.stat().st_size < least:
        return read_csv(path)
    try:
        found = _read(path, text)
    except (DataError, UnicodeDecodeError, csv.Error, ImportError):
        found = None
    return read_csv(path) if found is None else found


def _read(path: Path, text: Collection[str]) -> RawTable | None:
    layout = layout_of(path, text)
    if layout is None:
        return None
    numeric = set(layout.numeric)
    while True:
        try:
            gathered = _Gathered(layout, numeric, matrix=numeric.issuperset(set(layout.columns) - layout.text))
            for block in typed_blocks(path, layout, numeric):
                gathered.add(block)
        except NotNumbers as error:
            numeric.discard(error.column)
            del gathered
        except NoEnd:
            return None
        else:
            return gathered.table(path)


@dataclass(frozen=True)
class Layout:
    """How a CSV file is written, and which of its columns look like numbers, as far as its first rows tell."""

    dialect: Dialect
    columns: tuple[str, ...]
    aside: Mapping[str, str]
    text: frozenset[str]  # columns that are not taken for numbers yet
    numeric: frozenset[str]


class NotNumbers(ValueError):
    """A cell of a column that was taken for numbers is none, or none that float64 holds."""

    def __init__(self, column: str) -> None:
        super().__init__(column)
        self.column = column


def layout_of(path: Path, text: Collection[str]) -> Layout | None:
    """Return the layout of a file; None where it is not written in UTF-8. Raises DataError for a bad header."""
    with opened(path) as stream:
        sample = stream.read(SAMPLE)
    encoding = encodings(sample)[0]
    if encoding not in ("utf-8", "utf-8-sig"):
        return None
    dialect = dialect_of(sample, encoding)
    if not dialect.plain:
        return None
    names, rows = _begin(sample, dialect)
    if rows[:1] == [names]:  # a second header
        return None
    columns, aside = header(path, names)
    last = next((name for wanted in TARGET_NAMES for name in columns if name.lower() == wanted), columns[-1])
    as_text = frozenset({*text, last})
    return Layout(dialect, tuple(columns), aside, as_text, frozenset(_numeric(columns, rows) - as_text))


def typed_blocks(
    path: Path, layout: Layout, numeric: Collection[str], wanted: Sequence[str] | None = None
) -> Iterator[dict[str, Cells]]:
    """Yield the columns of a CSV file, or the `wanted` ones, some thousand rows at a time.

    Those of `numeric` are float64, the others text. Raises NotNumbers: one of the former holds something else. Raises
    DataError, or NoEnd, where pyarrow cannot read the file.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    types = {name: pa.float64() if name in numeric else pa.string() for name in layout.columns}
    convert = arrow_csv.ConvertOptions(
        column_types=types,
        null_values=list(USUAL_GAPS),
        strings_can_be_null=False,
        include_columns=list(layout.columns if wanted is None else wanted),
    )
    skip = 1
    with opened(path) as stream:
        for slab in slabs(stream, SLAB):
            parse = arrow_csv.ParseOptions(delimiter=layout.dialect.separator, newlines_in_values=b'"' in slab)
            read = arrow_csv.ReadOptions(column_names=layout.columns, skip_rows_after_names=skip)
            try:
                table = arrow_csv.read_csv(pa.BufferReader(slab), read, parse, convert)
            except pa.ArrowInvalid as error:
                wrong = _column_of(str(error), layout.columns)
                if wrong is None or wrong not in numeric:
                    raise DataError(f"{path}: {error}") from error
                raise NotNumbers(wrong) from error
            skip = 0
            yield {name: _typed(name, column) for name, column in zip(table.column_names, table.columns, strict=True)}


def _typed(name: str, column: Any) -> Cells:
    cells = arrow_cells(name, column)
    if (
        not isinstance(cells, Words)
        and len(cells)
        and not np.abs(cells).max() < EXACT
        and (np.abs(cells) >= EXACT).any()
    ):
        raise NotNumbers(name)
    return cells


class _Gathered:
    """The columns of a file that is read block by block: numbers side by side as one array, or each by itself."""

    def __init__(self, layout: Layout, numeric: Collection[str], *, matrix: bool) -> None:
        self._layout = layout
        self._side_by_side = tuple(name for name in layout.columns if name in numeric) if matrix else ()
        self._matrix = np.empty((0, len(self._side_by_side)))
        self._parts: dict[str, list[NDArray[Any]]] = {
            name: [] for name in layout.columns if name not in self._side_by_side
        }
        self._words = {name: Places() for name in self._parts}
        self._rows = 0

    def add(self, block: Mapping[str, Cells]) -> None:
        rows = len(next(iter(block.values())))
        start, self._rows = self._rows, self._rows + rows
        if self._side_by_side:
            # In place where the system can: a table that is copied when it is complete takes its memory twice.
            self._matrix.resize((self._rows, len(self._side_by_side)), refcheck=False)
            for place, name in enumerate(self._side_by_side):
                self._matrix[start:, place] = cast(NDArray[Any], block[name])
        for name, parts in self._parts.items():
            cells = block[name]
            if isinstance(cells, Words):
                parts.append(self._words[name].codes(cells.words)[cells.codes].astype(np.int32))
            else:
                parts.append(cells)

    def table(self, path: Path) -> RawTable:
        columns = self._layout.columns
        known: dict[str, Cells] = {name: self._matrix[:, place] for place, name in enumerate(self._side_by_side)}

        def cells(name: str) -> Cells:
            if name not in known:
                whole = np.concatenate(self._parts.pop(name))
                words = self._words.pop(name)
                known[name] = Words(tuple(words), whole) if whole.dtype == np.int32 else whole
            return known[name]

        dialect = self._layout.dialect
        return RawTable(
            str(path),
            columns,
            self._rows,
            cells,
            LinesOf(path, dialect),
            str(dialect),
            self._matrix if self._side_by_side else None,
            self._side_by_side,
            aside=self._layout.aside,
        )


class LinesOf:
    """The lines of rows, counted when an error asks for the first."""

    def __init__(self, path: Path, dialect: Dialect) -> None:
        self._path, self._dialect = path, dialect
        self._lines: Lines | None = None

    def __call__(self, row: int) -> str:
        if self._lines is None:
            with decoded(self._path, self._dialect.encoding) as stream:
                reader = reader_of(stream, self._dialect)
                lines = array("q", (reader.line_num for cells in reader if cells))
            self._lines = Lines(np.frombuffer(lines, np.int64)[1:])
        return self._lines(row)


def _begin(sample: bytes, dialect: Dialect) -> tuple[list[str], list[list[str]]]:
    """Return the header and the first rows, stripped."""
    lines = io.StringIO(sample.decode(dialect.encoding, errors="ignore"), newline="")
    reader = csv.reader(lines, delimiter=dialect.separator)
    names = [cell.strip() for cell in next(reader, [])]
    rows = [[cell.strip() for cell in row] for row, _ in zip(reader, range(SAMPLE_ROWS), strict=False)]
    return names, [row for row in rows if len(row) == len(names)]


def _numeric(columns: list[str], rows: list[list[str]]) -> set[str]:
    gap_words, found = ColumnOptions().gap_words, set()
    for place, name in enumerate(columns):
        words = [row[place] for row in rows if row[place] not in gap_words]
        if words and all(number(word) is not None for word in words):
            found.add(name)
    return found


def _column_of(message: str, columns: Sequence[str]) -> str | None:
    """Return the column that an error of conversion names: "In CSV column #3: …"."""
    _, found, rest = message.partition("In CSV column #")
    place = rest.partition(":")[0]
    return columns[int(place)] if found and place.isdecimal() and int(place) < len(columns) else None
