"""Columns of Apache Arrow - of Parquet and Feather files, and of tables in memory - as raw cells."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.data import DataError
from .kinds import category_name
from .raw import Cells, Words

ALLOWED = "numbers, text, truth values or dates"


def arrow_cells(where: str, column: Any) -> Cells:
    """Return a pyarrow ChunkedArray as raw cells; `where` begins the message of a DataError for any other type."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    category = pa.types.is_dictionary(kind)
    if category:
        kind = kind.value_type
        column = column.cast(kind) if not _is_text(pa, kind) else column
    if pa.types.is_decimal(kind):
        column = of_decimals(column)
        kind = column.type
    if _is_text(pa, kind):
        return _words(pc, column, category=category)
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        dates: NDArray[Any] = column.to_numpy()  # in UTC, where there is a zone
        return dates.astype("datetime64[s]")  # downwards: a cast of Arrow's own goes towards 1970
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise DataError(f"{where}: found {column.type}, expected {ALLOWED}")
    if not column.null_count:
        found: NDArray[Any] = column.to_numpy()
        found = found.astype(np.float64) if found.dtype.kind == "f" else found
    elif pa.types.is_integer(kind) and not _exact(pc, column):
        return _words(pc, column.cast(pa.string()), category=category)  # their digits, which float64 would change
    else:
        found = column.cast(pa.float64()).to_numpy()
    return (
        Words.of([None if value != value else category_name(value) for value in found.tolist()], category=True)
        if category
        else found
    )


def of_decimals(column: Any) -> Any:
    """Return decimals as whole numbers where their type has no fraction, or as digits beyond int64; else as floats."""
    import pyarrow as pa

    if column.type.scale != 0:
        return column.cast(pa.float64())
    if column.type.bit_width < 128:  # which pyarrow 26 casts to int64 by way of these alone
        column = column.cast(pa.decimal128(38, 0))
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        return column.cast(pa.string())


def _is_text(pa: Any, kind: Any) -> bool:
    views = getattr(pa.types, "is_string_view", lambda _: False)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or views(kind))


def _exact(pc: Any, column: Any) -> bool:
    limits = pc.min_max(column).as_py()
    return limits["min"] is None or (limits["max"] <= 2**53 and limits["min"] >= -(2**53))


def _words(pc: Any, column: Any, *, category: bool) -> Words:
    """Return a column of text; an empty cell is an empty text."""
    encoded = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    if not hasattr(encoded, "dictionary"):
        encoded = encoded.dictionary_encode()
    words = ["" if word is None else word for word in encoded.dictionary.to_pylist()]
    codes = encoded.indices
    if codes.null_count or "" in words:
        words = [*words, ""]
        codes = pc.fill_null(codes.cast("int64"), len(words) - 1)
    return Words.merged(words, codes.to_numpy(zero_copy_only=False).astype(np.intp), category=category)
