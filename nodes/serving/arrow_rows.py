"""The rows of a body that is a stream of Apache Arrow record batches: columns by their names.

What it may take is known before anything is unpacked: batches that are packed themselves are refused, because a few
kilobytes of them can be gigabytes, and so are more rows than a request may have.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
from nervenet.models.data.data import DataError
from nervenet.models.plugins import listed
from nervenet.models.preprocessing import by_place
from nervenet.models.tables.frames import missing_column, table_of
from nervenet.models.tables.rows import conform
from nervenet.models.weights import is_finite

from .refusals import FIELD, Malformed, check_rows

if TYPE_CHECKING:
    from nervenet.models.tables.schema import Schema
    from nervenet.models.tables.table import Table
    from numpy.typing import NDArray

THE_BODY = "the body"


def numbers_of_arrow(body: bytes | bytearray, columns: tuple[str, ...], max_rows: int) -> NDArray[np.float64]:
    """Return the rows for a model of plain numbers, shape (rows, columns); further columns are ignored.

    Raises
    ------
    Malformed
        With the column, and the row, of what cannot be used.
    """
    import pyarrow as pa

    table = _table(body, max_rows)
    names = table.column_names
    wanted = tuple(names) if by_place(names, columns) else columns
    # Column by column, as they come: what prepares them goes by blocks of rows, and turns those.
    kinds = {str(field.type) for field in table.schema}
    turned = np.empty((len(columns), table.num_rows), np.float32 if kinds == {"float"} else np.float64)
    for place, name in enumerate(wanted):
        if names.count(name) != 1:
            raise Malformed(_lacking(names, name, columns))
        column = table.column(name)
        if pa.types.is_decimal(column.type):
            column = column.cast(pa.float64())
        kind = column.type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
            raise Malformed(f"{THE_BODY}: column {name!r} is of type {kind}; expected numbers")
        if column.null_count:
            row = column.is_null().to_pylist().index(True)
            raise Malformed(f"{FIELD} row {row}, column {name!r} is null; expected a finite number")
        turned[place] = column.to_numpy()
        if not is_finite(turned[place]):
            row = int(np.argmin(np.isfinite(turned[place])))
            found = turned[place, row]
            raise Malformed(f"{FIELD} row {row}, column {name!r} is {found}; expected a finite number")
    return turned.T


def table_of_arrow(body: bytes | bytearray, schema: Schema, max_rows: int) -> Table:
    """Return the rows for a model of tables: null is a gap. Raises `Malformed` like `numbers_of_arrow`."""
    table = _table(body, max_rows)
    names = table.column_names
    for name in schema.columns:
        if names.count(name) != 1:
            raise Malformed(_lacking(names, name, schema.columns))
    kinds = dict(zip(schema.columns, schema.kinds, strict=True))
    try:
        if not table.num_rows:
            from nervenet.models.tables.rows import table_of_rows

            return table_of_rows([], schema)
        return conform(
            table_of(table.select(list(schema.columns)), kinds, written=schema.written, what=THE_BODY), schema
        )
    except (DataError, ValueError) as error:
        raise Malformed(str(error)) from None


def _lacking(names: list[str], name: str, columns: tuple[str, ...]) -> str:
    if name in names:
        return f"{THE_BODY} has two columns called {name!r}; expected {listed(columns)}"
    return str(missing_column(THE_BODY, name, names, columns))


def _table(body: bytes | bytearray, max_rows: int) -> Any:
    """Return the table of a stream, whose columns are plain. Raises Malformed."""
    import pyarrow as pa

    data = pa.py_buffer(body)
    try:
        _check_messages(pa, data, max_rows)
        with pa.ipc.open_stream(data) as reader:
            _check_types(pa, reader.schema)
            table = reader.read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, struct.error) as error:
        if isinstance(error, Malformed):
            raise
        what = str(error).partition("\n")[0] or type(error).__name__
        raise Malformed(f"{THE_BODY} is no stream of Arrow record batches: {what}") from None
    check_rows(table.num_rows, max_rows)
    return table


def _check_types(pa: Any, schema: Any) -> None:
    for field in schema:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        # Run-end encoded columns count as nested: a few bytes of them are as many rows as one likes.
        if pa.types.is_nested(kind) or pa.types.is_dictionary(kind) or isinstance(kind, pa.BaseExtensionType):
            expected = "numbers, text, truth values or dates"
            raise Malformed(f"{THE_BODY}: column {field.name!r} is of type {field.type}; expected {expected}")


# The metadata of a message is a FlatBuffer (format/Message.fbs): Message.header is field 2, of type field 1;
# RecordBatch.length is field 0, .compression field 3; DictionaryBatch.data is field 1.
_DICTIONARY, _BATCH = 2, 3


def _check_messages(pa: Any, data: Any, max_rows: int) -> None:
    """Raise Malformed for messages that are packed, or claim more rows than may be, before they are unpacked."""
    rows = 0
    for message in pa.ipc.MessageReader.open_stream(data):
        buffer = memoryview(message.metadata)
        root = struct.unpack_from("<I", buffer, 0)[0]
        kind_at, header_at = _field(buffer, root, 1), _field(buffer, root, 2)
        kind = buffer[kind_at] if kind_at else 0
        if kind not in (_DICTIONARY, _BATCH) or not header_at:
            continue
        batch = _pointed(buffer, header_at)
        if kind == _DICTIONARY:
            at = _field(buffer, batch, 1)
            batch = _pointed(buffer, at) if at else 0
        if batch and _field(buffer, batch, 3):
            raise Malformed(f"{THE_BODY} has packed record batches; expected a stream without compression")
        length_at = _field(buffer, batch, 0) if batch else 0
        length = struct.unpack_from("<q", buffer, length_at)[0] if length_at else 0
        rows += length if kind == _BATCH else 0
        check_rows(max(rows, length if kind == _DICTIONARY else 0), max_rows)


def _field(buffer: memoryview, table: int, number: int) -> int:
    """Return where a field of a FlatBuffers table is, 0 where it has its default."""
    vtable = table - struct.unpack_from("<i", buffer, table)[0]
    size = struct.unpack_from("<H", buffer, vtable)[0]
    place = 4 + 2 * number
    offset = struct.unpack_from("<H", buffer, vtable + place)[0] if place + 2 <= size else 0
    return table + offset if offset else 0


def _pointed(buffer: memoryview, at: int) -> int:
    return int(at + struct.unpack_from("<I", buffer, at)[0])
