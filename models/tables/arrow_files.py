"""Parquet, Arrow and Feather files as raw tables, through pyarrow."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..data.data import DataError
from ..extras import how_to_install
from .arrow_cells import arrow_cells
from .raw import RawTable, in_rows
from .suffixes import kind_of

INT96_UNIT = "us"
"""Of dates as Spark, Hive and Impala have written them. By default it is ns, in which 9999-12-31 comes out in 1816."""


def read_arrow(path: Path) -> RawTable:
    """Return the columns of a .parquet, .feather or .arrow file.

    Raises DataError: pyarrow is not installed, or the file is damaged.
    """
    kind = kind_of(path)
    with arrow_errors(path):
        from pyarrow import feather, parquet

        if kind == ".parquet":
            table = parquet.read_table(path, coerce_int96_timestamp_unit=INT96_UNIT)
        else:
            table = feather.read_table(path)
    return arrow_table(str(path), table, path.name)


@contextmanager
def arrow_errors(path: Path) -> Iterator[None]:
    """Raise DataError for what pyarrow cannot read, and where it is not installed."""
    kind = kind_of(path)
    try:
        import pyarrow as pa
    except ImportError as error:
        raise DataError(f"{path}: reading {kind} needs pyarrow; {how_to_install('pyarrow')}") from error
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: not a readable {kind} file ({error})") from error


def arrow_table(name: str, table: Any, short: str = "", place: Callable[[int], str] = in_rows) -> RawTable:
    """Return a pyarrow.Table as a raw table. What pandas wrote as the index of a frame is set aside, with a word."""
    names: list[str] = table.column_names
    return RawTable(
        name,
        tuple(names),
        int(table.num_rows),
        lambda column: arrow_cells(f'{name}: column "{column}"', table.column(column)),
        place,
        aside=index_notes(short or name, table.schema.metadata, names),
    )


def index_notes(name: str, metadata: Mapping[bytes, bytes] | None, columns: Sequence[str]) -> dict[str, str]:
    """Return the columns that are left out, each with the note that says so."""
    index = [column for column in pandas_index(metadata or {}) if column in columns]
    return {column: f"{name}: column {column!r} is left out: pandas wrote it as the index" for column in index}


def pandas_index(metadata: Mapping[bytes, bytes]) -> list[str]:
    """Return the columns that a file's pandas metadata name as the index of the frame that was written."""
    try:
        named = json.loads(metadata[b"pandas"])["index_columns"]
    except (KeyError, ValueError, TypeError):
        return []
    return [name for name in named if isinstance(name, str)] if isinstance(named, list) else []


def parquet_file(path: Path) -> Any:
    """Return a Parquet file of which parts are read. Raises DataError: pyarrow is not installed, or it is damaged."""
    with arrow_errors(path):
        from pyarrow import parquet

        return parquet.ParquetFile(path, coerce_int96_timestamp_unit=INT96_UNIT)
