"""Data frames as tables: pandas, polars and whatever else narwhals knows, and pyarrow's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.data import EXACT, DataError
from ..data.written import WrittenColumns
from ..plugins import suggest
from .agreed import agreed_column
from .arrow_cells import ALLOWED
from .arrow_files import arrow_table
from .kinds import category_name, recognized
from .options import ColumnOptions
from .raw import Cells, RawTable, Words
from .table import Kind, Table


def is_frame(X: object) -> bool:
    """Whether this has named columns, of which each may have a type of its own."""
    return isinstance(getattr(X, "column_names", None), list) or (
        hasattr(X, "columns") and (hasattr(X, "dtypes") or hasattr(X, "schema"))
    )


def table_of(
    frame: Any,
    kinds: Mapping[str, Kind] | None = None,
    *,
    written: WrittenColumns | None = None,
    what: str = "X",
) -> Table:
    """Return a data frame as a table, whose columns are of the kinds that their types, or else their values, say.

    Parameters
    ----------
    frame
        A pandas or polars DataFrame, a pyarrow.Table, or another frame that narwhals knows where that is installed.
    kinds
        What columns are known to be, by name; further names are none of the frame's business.
    written
        How the sites' files write the texts of such columns.
    what
        What messages call it.

    Raises DataError: a column is nothing that a table can hold, or not of its kind.
    """
    raw = raw_frame(frame, what)
    kinds, written = kinds or {}, written or {}
    columns = [
        agreed_column(raw, name, kinds[name], written.get(name))
        if name in kinds
        else recognized(raw, name, ColumnOptions())
        for name in raw.columns
    ]
    return Table(raw.columns, tuple(column.kind for column in columns), tuple(column.array for column in columns))


def raw_frame(frame: Any, what: str = "X") -> RawTable:
    """Return a data frame as a raw table. Raises DataError for anything else."""
    if isinstance(getattr(frame, "column_names", None), list) and hasattr(frame, "num_rows"):
        return replace(arrow_table(what, frame, place=_place), options=False)
    if not is_frame(frame):
        raise DataError(f"{what} is a {type(frame).__name__}; expected a data frame")
    if hasattr(frame, "iloc"):
        names, series = [str(name) for name in frame.columns], [frame.iloc[:, place] for place in range(frame.shape[1])]
        cells = dict(zip(names, series, strict=True))
        return _raw(what, names, len(frame), lambda name: _pandas(f'{what}: column "{name}"', cells[name]))
    try:
        import narwhals as nw
    except ImportError as error:
        raise DataError(
            f"{what} is a {type(frame).__module__}.{type(frame).__name__}; only frames of pandas and pyarrow are read "
            "without narwhals: pip install narwhals"
        ) from error
    try:
        known = nw.from_native(frame, eager_only=True)
    except TypeError as error:
        raise DataError(f"{what} is a {type(frame).__name__}; expected a data frame ({error})") from error
    return _raw(what, known.columns, len(known), lambda name: _narwhals(nw, f'{what}: column "{name}"', known[name]))


def _raw(what: str, names: Sequence[str], rows: int, cells: Any) -> RawTable:
    return RawTable(what, tuple(names), rows, cells, _place, options=False)


def _place(row: int) -> str:
    return f"row {row}"  # as Python counts


def _pandas(where: str, series: Any) -> Cells:
    """Return a pandas Series as raw cells, whichever of its many types it has."""
    kind, missing = series.dtype, series.isna().to_numpy(bool)
    if hasattr(kind, "categories"):
        return Words.of(_texts(series.astype(object), missing), category=True)
    if str(kind).startswith("datetime64"):
        utc = series.dt.tz_convert("UTC").dt.tz_localize(None) if getattr(kind, "tz", None) is not None else series
        dates: NDArray[Any] = utc.to_numpy("datetime64[s]")
        return dates
    if getattr(kind, "kind", "O") in "biuf":
        return _numbers(series, missing, getattr(kind, "kind", "f"))
    return _objects(where, series.to_numpy(object), missing)


def _narwhals(nw: Any, where: str, series: Any) -> Cells:
    kind, missing = series.dtype, series.is_null().to_numpy().astype(bool)
    if isinstance(kind, nw.Categorical | nw.Enum):
        return Words.of(_texts(series.cast(nw.String), missing), category=True)
    if isinstance(kind, nw.Date | nw.Datetime):
        plain = series.cast(nw.Datetime("us"))
        if getattr(kind, "time_zone", None) is not None:
            plain = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        dates: NDArray[Any] = np.asarray(plain.to_numpy(), "datetime64[s]")
        return dates
    if isinstance(kind, nw.Unknown) and missing.all():  # a column of gaps alone has no type of its own
        return np.full(len(series), np.nan)
    if isinstance(kind, nw.Decimal | nw.Int128 | nw.UInt128):  # NumPy has no such types
        floats = series.cast(nw.Float64).to_numpy().astype(np.float64)
        large = (np.abs(floats) >= EXACT).any()
        return _objects(where, np.array(series.to_list(), object), missing) if large else floats
    if kind.is_numeric() or isinstance(kind, nw.Boolean):
        return _numbers(series, missing, "b" if isinstance(kind, nw.Boolean) else "i" if kind.is_integer() else "f")
    if not isinstance(kind, nw.String | nw.Object):
        raise DataError(f"{where}: found {kind}, expected {ALLOWED}")
    return _objects(where, np.array(series.to_list(), object), missing)


def _numbers(series: Any, missing: NDArray[np.bool_], kind: str) -> Cells:
    if not missing.any():
        values = np.asarray(series.to_numpy())
        types = {"b": np.bool_, "f": np.float64}
        return values.astype(types.get(kind, values.dtype if values.dtype.kind in "iu" else np.int64))
    present = np.array(series.to_list(), object)
    present[missing] = np.nan
    if kind in "iu" and any(abs(value) > 2**53 for value in present[~missing]):
        return Words.of(None if gap else str(value) for value, gap in zip(present, missing, strict=True))
    return present.astype(np.float64)


def _objects(where: str, values: NDArray[Any], missing: NDArray[np.bool_]) -> Cells:
    """Return cells of Python objects: text, numbers or dates, all of one kind."""
    present = values[~missing].tolist()
    if all(isinstance(value, str) for value in present):
        return Words.of(None if gap else value for value, gap in zip(values.tolist(), missing.tolist(), strict=True))
    if all(isinstance(value, bool | int | float | Decimal | np.number | np.bool_) for value in present):
        return _of_numbers(values, missing)
    if all(hasattr(value, "year") and hasattr(value, "isoformat") for value in present):
        dates = np.full(len(values), "NaT", "datetime64[s]")
        dates[~missing] = np.array([_plain(value).isoformat() for value in present], "datetime64[s]")
        return dates
    row = next(row for row, value in enumerate(values.tolist()) if not (missing[row] or isinstance(value, str)))
    raise DataError(f"{where}, row {row}: found {values[row]!r}, expected {ALLOWED}, all of one kind")


def _of_numbers(values: NDArray[Any], missing: NDArray[np.bool_]) -> Cells:
    """Return Python's numbers: as text where float64 would change a whole one, as a file has it."""
    cells = values.tolist()
    if any(_is_large(value) for value, gap in zip(cells, missing.tolist(), strict=True) if not gap):
        digits = (str(int(value)) if _is_large(value) else str(value) for value in cells)
        return Words.of(None if gap else word for word, gap in zip(digits, missing.tolist(), strict=True))
    plain = [float(value) if isinstance(value, Decimal) else value for value in cells]
    if not missing.any():
        return np.array(plain)
    filled = np.array(plain, object)
    filled[missing] = np.nan
    return filled.astype(np.float64)


def _is_large(value: Any) -> bool:
    if isinstance(value, Decimal):
        return value.is_finite() and abs(value) > EXACT and value == value.to_integral_value()
    return isinstance(value, int | np.integer) and abs(int(value)) > EXACT


def _plain(value: Any) -> Any:
    """Return a date or time without its zone, in UTC."""
    return value.astimezone(UTC).replace(tzinfo=None) if getattr(value, "tzinfo", None) is not None else value


def _texts(series: Any, missing: NDArray[np.bool_]) -> list[str | None]:
    cells = zip(series.to_list(), missing.tolist(), strict=True)
    return [None if gap else category_name(value) for value, gap in cells]


def missing_column(what: str, name: str, columns: Sequence[str], wanted: Sequence[str]) -> DataError:
    """Return what to say of a column that a model needs and a table does not have."""
    return DataError(f"{what}: no column {name!r}{suggest(name, columns)}; the model expects {', '.join(wanted)}")
