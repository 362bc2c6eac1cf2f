"""Large CSV files by pyarrow, many times faster: the same table as by the standard library, or none at all.

Whatever is unusual - another encoding, a line with cells too many, an infinity, a number that float64 would change - is
left to `csv_file`, which says where it stands.
"""

from __future__ import annotations

import csv
import io
import mmap
from collections.abc import Collection
from pathlib import Path

import numpy as np

from ..data.data import EXACT, DataError
from .arrow_cells import arrow_cells
from .csv_file import Lines, dialect_of, header, read_csv
from .kinds import number
from .options import TARGET_NAMES, USUAL_GAPS, ColumnOptions
from .raw import Cells, RawTable
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
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

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
    numeric = {name for name in _numeric(columns, rows) if name not in text and name != last}
    parse = arrow_csv.ParseOptions(delimiter=dialect.separator, newlines_in_values=_has_quotes(path))
    while True:
        types = {name: pa.float64() if name in numeric else pa.string() for name in columns}
        convert = arrow_csv.ConvertOptions(
            column_types=types, null_values=list(USUAL_GAPS), strings_can_be_null=False, include_columns=columns
        )
        read = arrow_csv.ReadOptions(column_names=columns, skip_rows_after_names=1)
        try:
            with opened(path) as stream:
                table = arrow_csv.read_csv(stream, read_options=read, parse_options=parse, convert_options=convert)
            break
        except pa.ArrowInvalid as error:
            wrong = _column_of(str(error), columns)
            if wrong not in numeric:
                return None
            numeric.discard(wrong)
    parts = {name: table.column(name) for name in columns}
    count = int(table.num_rows)
    del table  # each column goes as soon as it has become an array
    known: dict[str, Cells] = {}
    for name in numeric:
        values = parts.pop(name).to_numpy()
        if (np.abs(values) >= EXACT).any():
            return None
        known[name] = values

    def cells(name: str) -> Cells:
        if name not in known:
            known[name] = arrow_cells(name, parts.pop(name))
        return known[name]

    return RawTable(str(path), tuple(columns), count, cells, _Places(path, dialect), str(dialect), aside=aside)


class _Places:
    """The lines of rows, counted when an error asks for the first."""

    def __init__(self, path: Path, dialect: Dialect) -> None:
        self._path, self._dialect = path, dialect
        self._lines: Lines | None = None

    def __call__(self, row: int) -> str:
        if self._lines is None:
            with decoded(self._path, self._dialect.encoding) as stream:
                reader = csv.reader(stream, delimiter=self._dialect.separator, strict=True)
                lines = [reader.line_num for cells in reader if cells]
            self._lines = Lines(np.array(lines[1:]))
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


def _has_quotes(path: Path) -> bool:
    """Whether a cell may span lines; of a packed file nobody looks."""
    if path.suffix.lower() == ".gz":
        return True
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(b'"') >= 0


def _column_of(message: str, columns: list[str]) -> str | None:
    """Return the column that an error of conversion names: "In CSV column #3: …"."""
    _, found, rest = message.partition("In CSV column #")
    place = rest.partition(":")[0]
    return columns[int(place)] if found and place.isdecimal() and int(place) < len(columns) else None
