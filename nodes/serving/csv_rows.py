"""The rows of a CSV body, with a header line: columns by their names, in any order; further ones are ignored."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from nervenet.models.data.data import DataError
from nervenet.models.tables.inputs import Inputs, read_inputs, read_numbers

from .number_parser import numbers_in_csv
from .refusals import Malformed, check_rows

if TYPE_CHECKING:
    from nervenet.models.data.written import WrittenColumns
    from nervenet.models.tables.schema import Schema
    from nervenet.models.tables.table import Table
    from numpy.typing import NDArray

THE_BODY = "the body"  # what messages call it


def numbers_of_csv(
    body: bytes | bytearray, columns: tuple[str, ...], written: WrittenColumns, max_rows: int
) -> NDArray[np.float64]:
    """Return the rows for a model of plain numbers, shape (rows, columns).

    Raises
    ------
    Malformed
        With the line and the column of the first cell that cannot be used.
    """
    _check_lines(body, max_rows)
    found = None if written else _plain(body, columns, max_rows)
    if found is None:
        found = _read(body, lambda path: read_numbers(path, columns, written)).X
    check_rows(len(found), max_rows)
    return found


def table_of_csv(body: bytes | bytearray, schema: Schema, max_rows: int) -> Table:
    """Return the rows for a model of tables: an empty cell is a gap. Raises `Malformed` like `numbers_of_csv`."""
    _check_lines(body, max_rows)
    table = _read(body, lambda path: read_inputs(path, schema.columns, schema.kinds, schema.written)).table
    check_rows(len(table), max_rows)
    return table


def in_utf8(body: bytes | bytearray, charset: str) -> bytes | bytearray:
    """Return a body in UTF-8. Raises `Malformed` where it is not in its charset."""
    if charset in ("utf-8", "utf-8-sig", "ascii"):
        return body
    try:
        return body.decode(charset).encode()
    except UnicodeError as error:
        at = getattr(error, "start", 0)
        raise Malformed(f"{THE_BODY} is not in {charset}, its charset: byte {at:,} is {body[at:][:1]!r}") from None


def _check_lines(body: bytes | bytearray, max_rows: int) -> None:
    """Refuse by their number, before they are parsed, lines that can be no so few rows."""
    if b'"' not in body:  # in quotes a line may end within a cell
        check_rows(body.rstrip().count(b"\n"), max_rows)


def _plain(body: bytes | bytearray, columns: tuple[str, ...], max_rows: int) -> NDArray[np.float64] | None:
    """Return a table that has the model's columns alone, and nothing but numbers; None where it is not so plain."""
    end = body.find(b"\n")
    try:
        head = body[: max(end, 0)].decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    names = [name.strip() for name in next(csv.reader([head]), [])]
    if sorted(names) != sorted(columns):
        return None
    table = numbers_in_csv(memoryview(body)[end + 1 :], len(columns), max_rows)
    if table is None:
        table = _by_numpy(body[end + 1 :])
    if table is None or table.shape[1] != len(columns) or not np.isfinite(table).all():
        return None
    return table if tuple(names) == columns else np.ascontiguousarray(table[:, [names.index(name) for name in columns]])


def _by_numpy(lines: bytes | bytearray) -> NDArray[np.float64] | None:
    try:
        text = lines.decode()
        return (
            np.loadtxt(io.StringIO(text), np.float64, comments=None, delimiter=",", ndmin=2) if text.strip() else None
        )
    except ValueError:  # to be named by line and column
        return None


def _read(body: bytes | bytearray, read: Callable[[Path], Inputs]) -> Inputs:
    """Return what the readers of files make of a body. Raises Malformed."""
    if not body.strip():
        raise Malformed(f"{THE_BODY} is empty; expected CSV with a header line, the names of the columns")
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:  # which nobody else can read, and which goes with this
        file.write(body)
        file.flush()
        try:
            return read(Path(file.name))
        except DataError as error:
            raise Malformed(_without(file.name, error)) from None


def _without(path: str, error: Any) -> str:
    return str(error).replace(path, THE_BODY).replace(Path(path).name, THE_BODY)
