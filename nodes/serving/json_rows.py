"""The rows of a JSON body: ``{"X_test": [[…], …]}``, or ``{"X_test": [{…}, …]}`` with columns by name.

Rows that are what is expected are parsed and laid out by compiled code, a few thousand cells at a time: a long call
would keep all other threads, and so other requests, waiting. Only what does not fit is looked at value by value, for
the reason.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from nervenet.models.plugins import listed

from .number_parser import numbers_in_json
from .refusals import FIELD, Malformed, check_rows, kind_of

if TYPE_CHECKING:
    from nervenet.models.tables.schema import Schema
    from nervenet.models.tables.table import Table
    from numpy.typing import NDArray

SHORT_BYTES = 16_384  # bodies that are parsed in one call
CHUNK_BYTES = 65_536  # of a longer one, about so much


class _Lists(msgspec.Struct):
    X_test: list[list[float]]


class NumberRows:
    """Reads rows for a model of plain numbers."""

    def __init__(self, columns: tuple[str, ...]) -> None:
        self.columns = columns
        self._short = msgspec.json.Decoder(_Lists)
        self._flat = msgspec.json.Decoder(list[float])

    def read(self, body: bytes | bytearray, max_rows: int) -> NDArray[np.float64]:
        """Return the rows as an array of shape (rows, columns), float64, all finite; true and false are 1 and 0.
        Further names in an object are ignored.

        Raises
        ------
        Malformed
            With the row and the column of the first value that cannot be used.
        """
        if len(body) < SHORT_BYTES:
            try:
                rows = self._short.decode(body).X_test
                check_rows(len(rows), max_rows)
                found = self._laid_out(rows)
            except (msgspec.DecodeError, RecursionError):  # other rows, or none: see which
                found = None
            return found if found is not None else self._one_by_one(body, max_rows)
        regular = numbers_in_json(body, len(self.columns), max_rows)
        if regular is not None:
            return regular
        raw = _raw_rows(body, self._expected, max_rows)
        if raw is None:
            return self._one_by_one(body, max_rows)
        table = np.empty((len(raw), len(self.columns)))
        start = 0
        for chunk in _chunks(raw):
            found = self._chunk(chunk)
            if found is None:
                found = self._checked(_parsed(chunk), start)
            table[start : start + len(chunk)] = found
            start += len(chunk)
        return table

    def _chunk(self, raw: list[msgspec.Raw]) -> NDArray[np.float64] | None:
        """Return rows that are all lists of numbers, or all objects of numbers, as a table; None where they are not."""
        text = b",".join(raw)
        try:
            if text[:1] == b"{":
                decoder = self._records
                return None if decoder is None else self._laid_out(self._read(decoder, b"[" + text + b"]"))
            # One long list costs half of what many short ones do. A list within a row leaves a bracket, and no number.
            values = self._flat.decode(text.replace(b"],[", b","))
        except (msgspec.DecodeError, RecursionError):
            return None
        shape = (len(raw), len(self.columns))
        if len(values) != shape[0] * shape[1] or not _all_wide(text, *shape):
            return None
        return np.array(values, np.float64).reshape(shape)

    def _laid_out(self, rows: list[Any]) -> NDArray[np.float64] | None:
        """Return lists of floats, all finite since they come of JSON, as a table; None where one has another length."""
        shape = (len(rows), len(self.columns))
        if not rows:
            return np.empty(shape)
        try:
            table = np.array(rows, np.float64)
        except ValueError:
            return None
        if table.shape != shape:
            if table.size != shape[0] * shape[1] or table.ndim != 1 or shape[1] != 1:
                return None
            table = table.reshape(shape)
        return table

    @staticmethod
    def _read(decoder: msgspec.json.Decoder[list[Any]], text: bytes) -> list[Any]:
        rows = decoder.decode(text)
        return list(map(attrgetter(*rows[0].__struct_fields__), rows))

    @cached_property
    def _records(self) -> msgspec.json.Decoder[list[Any]] | None:
        fields = [(f"c{place}", float, msgspec.field(name=name)) for place, name in enumerate(self.columns)]
        try:
            return msgspec.json.Decoder(list[msgspec.defstruct("Row", fields)])  # type: ignore[misc]
        except ValueError:  # a name with quotes, which no field can have
            return None

    @property
    def _expected(self) -> str:
        return f"expected {len(self.columns)} numbers a row ({listed(self.columns)})"

    def _one_by_one(self, body: bytes | bytearray, max_rows: int) -> NDArray[np.float64]:
        return self._checked(rows_of(body, self._expected, max_rows), 0)

    def _checked(self, rows: list[Any], first: int) -> NDArray[np.float64]:
        """Return rows, of which the first has this number, as a table, or raise for the first that does not fit."""
        columns, expected = self.columns, self._expected
        table = np.empty((len(rows), len(columns)))
        for number, row in enumerate(rows, first):
            if isinstance(row, dict):
                row = _by_name(number, row, columns)
            if not isinstance(row, list):
                raise Malformed(f"{FIELD} row {number} is {kind_of(row)}; expected a list or an object, {expected}")
            if len(row) != len(columns):
                raise Malformed(f"{FIELD} row {number} has {len(row)} values; {expected}")
            # One fast check of the types; only a row that fails it is checked value by value.
            if not set(map(type, row)) <= {int, float, bool} or not all(map(_finite, row)):
                _refuse_value(number, row, columns)
            table[number - first] = row
        return table


class TableRows:
    """Reads rows for a model of tables: null, or a column that an object leaves out, is a gap."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema

    def read(self, body: bytes | bytearray, max_rows: int) -> Table:
        """Return the rows as a table of the agreed columns. Raises `Malformed` like `NumberRows.read`."""
        from nervenet.models.tables.rows import BadCell, table_of_rows

        names = self._schema.columns
        expected = f"expected {len(names)} values a row ({listed(names)}), or an object of them by name"
        raw = _raw_rows(body, expected, max_rows) if len(body) >= SHORT_BYTES else None
        rows = rows_of(body, expected, max_rows) if raw is None else _parsed(raw)
        try:
            return table_of_rows(rows, self._schema)
        except BadCell as error:
            raise Malformed(f"{FIELD} {error}") from None


def rows_of(body: bytes | bytearray, expected: str, max_rows: int) -> list[Any]:
    """Return the rows of a request as JSON has them. Raises `Malformed`."""
    try:
        request = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _not_json(error, body) from None
    if not isinstance(request, dict):
        raise Malformed(f"the body is {kind_of(request)}; expected an object with the field {FIELD}")
    if FIELD not in request:
        raise _missing(tuple(request), expected)
    rows = request[FIELD]
    if not isinstance(rows, list):
        raise Malformed(f"{FIELD} is {kind_of(rows)}; expected a list of rows, {expected}")
    check_rows(len(rows), max_rows)
    return rows


def _raw_rows(body: bytes | bytearray, expected: str, max_rows: int) -> list[msgspec.Raw] | None:
    """Return the rows of a request, not parsed yet; None where it is not an object with a list of them."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        if FIELD not in fields:
            raise _missing(tuple(fields), expected)
        rows = msgspec.json.decode(fields[FIELD], type=list[msgspec.Raw])
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, RecursionError) as error:
        raise _not_json(error, body) from None
    check_rows(len(rows), max_rows)
    return rows


def _all_wide(text: bytes, rows: int, width: int) -> bool:
    """Return whether each of so many lists, joined by commas, has `width` numbers, if all of them together have."""
    letters = np.frombuffer(text, np.uint8)
    commas = np.flatnonzero(letters == ord(","))
    between = commas[width - 1 :: width]
    return len(between) == rows - 1 and bool((letters[between - 1] == ord("]")).all())


def _parsed(rows: list[msgspec.Raw]) -> list[Any]:
    try:
        return [msgspec.json.decode(row) for row in rows]
    except (msgspec.DecodeError, RecursionError) as error:
        raise _not_json(error) from None


def _chunks(rows: list[msgspec.Raw]) -> Iterator[list[msgspec.Raw]]:
    if not rows:
        return
    count = max(1, CHUNK_BYTES // max(1, len(memoryview(rows[0]))))
    for start in range(0, len(rows), count):
        yield rows[start : start + count]


def _not_json(error: Exception, body: bytes | bytearray = b"") -> Malformed:
    hint = "; JSON has no NaN, a gap is null" if b"NaN" in body else ""  # as Python's json writes it
    return Malformed(f"the body is not JSON: {error}; expected {{{FIELD!r}: [[…], …]}}{hint}")


def _missing(fields: tuple[str, ...], expected: str) -> Malformed:
    found = listed(fields) if fields else "none"
    return Malformed(f"field {FIELD} is missing (fields received: {found}); {expected}")


def _by_name(number: int, row: Mapping[str, Any], columns: tuple[str, ...]) -> list[Any]:
    """Return the values of a row that is an object, in the order of the columns."""
    lacking = [column for column in columns if column not in row]
    if lacking:
        odd = [name for name in row if name not in columns]
        found = f" (it has {listed(odd)}, which the model does not know)" if odd else ""
        names = listed([repr(column) for column in lacking])
        raise Malformed(f"{FIELD} row {number} lacks {names}{found}; expected a number for each of {listed(columns)}")
    return [row[column] for column in columns]


def _refuse_value(number: int, row: list[Any], columns: tuple[str, ...]) -> None:
    for column, value in zip(columns, row, strict=True):
        if not isinstance(value, int | float) or not _finite(value):
            shown = kind_of(value) if value is None or isinstance(value, list | dict) else repr(value)[:60]
            raise Malformed(f"{FIELD} row {number}, column {column!r} is {shown}; expected a finite number")


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the range of floats
        return False
