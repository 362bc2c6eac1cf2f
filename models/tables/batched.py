"""Files that are larger than memory, read a block of rows at a time into a `ColumnStore`: CSV, Parquet and .npy."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.data import EXACT, DataError
from .array_files import npy_cells, open_npy
from .arrow_cells import arrow_cells, of_decimals
from .arrow_csv import Layout, LinesOf, NotNumbers, layout_of, typed_blocks
from .arrow_files import arrow_errors, index_notes, parquet_file
from .column_store import ColumnStore, TooManyWords
from .csv_file import blocks_of, columns_of, dialect_of
from .dates import looks_like_date, parse_dates, read_dates
from .kinds import CONFUSED, FORMS, is_integer, reading_of
from .options import ColumnOptions, ReadOptions
from .raw import Cells, RawTable, Words, in_rows
from .slabs import NoEnd
from .suffixes import kind_of
from .table import DATES
from .text_file import SAMPLE, encodings, opened

BLOCK_BYTES = 16 * 2**20
"""Of the cells that are read together, as numbers."""

Block = tuple[Mapping[str, Cells], Mapping[str, NDArray[np.bool_]]]
"""Some rows: the cells of each column, and the empty ones of whole numbers and truth values."""


class StoredRaw(NamedTuple):
    """A file whose columns are on disk, each of which is read back when it is asked for."""

    raw: RawTable
    store: ColumnStore
    forms: Mapping[str, str]  # of the cells of columns that are no text any more, where they need one


class Conversion(NamedTuple):
    """How a column of text is read cell by cell: words, and the number of the first row, to values."""

    read: Callable[[Words, int], NDArray[Any]]
    form: str = ""


def read_batched(path: Path, kind: str, options: ReadOptions) -> StoredRaw:
    """Read a .csv, .parquet or .npy file into a store; columns that are dropped, or name the rows, are left there.

    Raises DataError as `read_raw` does, and where a column of text has too many different ones.
    """
    source: Any = _Npy(path) if kind == ".npy" else _Parquet(path) if kind == ".parquet" else _Csv(path, options)
    options.check_names(path, source.columns)
    named = {options.target, options.weight, options.sites, *options.kinds}
    unread = {*options.drop, options.id, *(name for name in source.aside if name not in named)}
    wanted = [name for name in source.columns if name not in unread]
    typed: dict[str, Conversion] = {}
    while True:
        store = ColumnStore(str(path), wanted)
        try:
            for cells, gaps in source.blocks(wanted):
                start = store.rows
                store.add({name: _converted(name, cells[name], typed, start) for name in wanted}, gaps)
            break
        except NotNumbers as error:
            source.as_text(error.column)
        except NoEnd:
            source.without_arrow()
        except UnicodeDecodeError as error:
            source.other_encoding(error)
        except TooManyWords as error:
            typed[error.column] = _conversion(source, error, options.of(error.column), options)
        store.close()
    raw = RawTable(
        str(path), tuple(source.columns), store.rows, store.cells, source.place, source.written, aside=source.aside
    )
    return StoredRaw(raw, store, {name: conversion.form for name, conversion in typed.items() if conversion.form})


def _converted(name: str, cells: Cells, typed: Mapping[str, Conversion], start: int) -> Cells:
    return typed[name].read(cells, start) if name in typed and isinstance(cells, Words) else cells


def _conversion(source: Any, found: TooManyWords, said: ColumnOptions, options: ReadOptions) -> Conversion:
    """Return how a column of text with very many different ones is read cell by cell: as numbers, or as dates."""
    name, probe = found.column, RawTable(source.name, (found.column,), 1, lambda _: Words.of([]), source.place)
    gap_words = said.gap_words
    present = [
        (word, int(n)) for word, n in zip(found.words, found.counts.tolist(), strict=True) if word not in gap_words
    ]
    words = [word for word, _ in present]
    total = sum(n for _, n in present)
    reading = reading_of(probe, name, words, said)
    numeric = sum(n for word, n in present if reading(word) is not None)
    if said.kind == "number" or (said.kind is None and numeric * 2 >= total and name not in said_text(options)):
        return Conversion(
            lambda cells, start: _numbers(probe, name, cells, start, reading, gap_words), FORMS.get(reading, "")
        )
    dates = sum(n for word, n in present if looks_like_date(word))
    if said.kind == "date" or (said.kind is None and dates * 2 >= total):
        try:
            form = read_dates(words, said.format)[1] or None
        except ValueError as error:
            raise _ambiguous(source.name, name, error) from None
        return Conversion(lambda cells, start: _dates(probe, name, cells, start, form, gap_words), form or "")
    raise DataError(
        f'{source.name}: column "{name}": more than {found.most:,} different texts, which rows that are read '
        f"in batches cannot have: --id {name} if it names the rows, --drop {name} leaves it out, or "
        "data.in_memory_mb says that the file fits into memory"
    )


def said_text(options: ReadOptions) -> Collection[str]:
    return (options.target,) if options.target and options.task == "classification" else ()


def _numbers(
    raw: RawTable, name: str, cells: Words, start: int, reading: Callable[[str], float | None], gaps: Collection[str]
) -> NDArray[Any]:
    values = np.full(len(cells.words), np.nan)
    for place, word in enumerate(cells.words):
        if word in gaps:
            continue
        value = reading(word)
        row = _row(cells, place, start) if value is None or abs(value) >= EXACT else 0
        if value is None:
            raise raw.refusal(row, name, f'found text "{word[:40]}", expected a number')
        if np.isinf(value):
            raise raw.refusal(row, name, f"found {word}, expected a finite number")
        if abs(value) >= EXACT and is_integer(word) and int(word) != int(value):
            raise raw.refusal(row, name, f"found {word}, expected {CONFUSED}")
        values[place] = value
    return values[cells.codes]


def _dates(raw: RawTable, name: str, cells: Words, start: int, form: str | None, gaps: Collection[str]) -> NDArray[Any]:
    values = np.full(len(cells.words), "NaT", DATES)
    present = [place for place, word in enumerate(cells.words) if word not in gaps]
    try:
        found = parse_dates([cells.words[place] for place in present], form)
    except ValueError as error:
        raise _ambiguous(raw.name, name, error) from None
    for place, value in zip(present, found, strict=True):
        if value is None:
            finding = f'found text "{cells.words[place][:40]}", expected a date, as in 2026-01-31'
            raise raw.refusal(_row(cells, place, start), name, finding)
        values[place] = value
    return values[cells.codes]


def _ambiguous(file: str, name: str, error: ValueError) -> DataError:
    return DataError(
        f'{file}: column "{name}": {error}: say which, --set data.columns.{name}.format="%d/%m/%Y" or "%m/%d/%Y" (with '
        "the marks of the file)"
    )


def _row(cells: Words, word: int, start: int) -> int:
    return start + int(np.flatnonzero(cells.codes == word)[0])


class _Csv:
    """By pyarrow where it is installed, and where the file is written in UTF-8; else by the standard library."""

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self.name, self._path = str(path), path
        self._text: set[str] = set()
        with opened(path) as stream:
            self._sample = stream.read(SAMPLE)
        self._encodings = encodings(self._sample)
        self._layout: Layout | None = None
        with suppress(ImportError, UnicodeDecodeError):
            import pyarrow as pa  # noqa: F401

            self._layout = layout_of(path, options.as_text())
        self._begin()

    def _begin(self) -> None:
        encoding = self._encodings.pop(0)
        self._dialect = dialect_of(self._sample, encoding)
        try:
            names, self.aside = columns_of(self._path, self._dialect)
        except UnicodeDecodeError as error:
            self.other_encoding(error)
            return
        self.columns = tuple(names)
        self.written = str(self._dialect)
        self.place = LinesOf(self._path, self._dialect)

    def as_text(self, column: str) -> None:
        self._text.add(column)

    def without_arrow(self) -> None:
        self._layout = None

    def other_encoding(self, error: UnicodeDecodeError) -> None:
        if not self._encodings:
            raise DataError(f"{self._path}: not a readable {kind_of(self._path)} file ({error})") from error
        self._layout = None
        self._begin()

    def blocks(self, wanted: Sequence[str]) -> Iterator[Block]:
        if self._layout is None:
            yield from self._by_library(wanted)
            return
        try:
            for cells in typed_blocks(self._path, self._layout, self._layout.numeric - self._text, wanted):
                yield cells, {}
        except DataError:
            for _ in blocks_of(self._path, self._dialect, list(self.columns)):
                pass  # it says what is wrong, and in which line
            raise NoEnd from None

    def _by_library(self, wanted: Sequence[str]) -> Iterator[Block]:
        places = [self.columns.index(name) for name in wanted]
        for rows, _ in blocks_of(self._path, self._dialect, list(self.columns)):
            columns = list(zip(*rows, strict=True))
            yield {name: Words.of(columns[place]) for name, place in zip(wanted, places, strict=True)}, {}


class _Parquet:
    written = ""

    def __init__(self, path: Path) -> None:
        self.name, self._path = str(path), path
        schema = parquet_file(path).schema_arrow
        self.columns = tuple(schema.names)
        self.aside = index_notes(path.name, schema.metadata, self.columns)
        self.place = in_rows

    def blocks(self, wanted: Sequence[str]) -> Iterator[Block]:
        size = max(1, BLOCK_BYTES // (8 * max(1, len(wanted))))
        with arrow_errors(self._path):
            for batch in parquet_file(self._path).iter_batches(size, columns=list(wanted)):
                yield self._block(batch)

    def _block(self, batch: Any) -> Block:
        import pyarrow as pa
        import pyarrow.compute as pc

        cells: dict[str, Cells] = {}
        gaps: dict[str, NDArray[np.bool_]] = {}
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            where = f'{self._path}: column "{name}"'
            if pa.types.is_decimal(column.type):
                found = of_decimals(column)
                if pa.types.is_string(found.type):  # of this block: of the last one they were numbers
                    raise DataError(f"{where}: found whole numbers beyond int64, expected {CONFUSED}")
                column = found
            whole = pa.types.is_integer(column.type) or pa.types.is_boolean(column.type)
            if whole and column.null_count:
                gaps[name] = column.is_null().to_numpy(zero_copy_only=False)
                column = pc.fill_null(column, False if pa.types.is_boolean(column.type) else 0)
            cells[name] = arrow_cells(where, pa.chunked_array([column]))
        return cells, gaps


class _Npy:
    """An array on disk: a table of numbers with its targets beside it, or an array of records."""

    written, aside = "", dict[str, str]()

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._arrays = open_npy(path)
        self.columns = tuple(self._arrays)
        self.place = in_rows

    def blocks(self, wanted: Sequence[str]) -> Iterator[Block]:
        rows = len(next(iter(self._arrays.values())))
        size = max(1, BLOCK_BYTES // (8 * max(1, len(wanted))))
        for start in range(0, rows, size):
            yield {name: npy_cells(self._arrays[name][start : start + size]) for name in wanted}, {}
