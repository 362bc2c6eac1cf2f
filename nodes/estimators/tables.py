"""Raw rows of any form as a table: frames, arrays of numbers, and arrays of texts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from nervenet.models.data.data import EXACT
from nervenet.models.preprocessing import made_up
from nervenet.models.tables.frames import is_frame, raw_frame
from nervenet.models.tables.kinds import category_name, recognized
from nervenet.models.tables.options import ColumnOptions
from nervenet.models.tables.raw import RawTable, Words
from nervenet.models.tables.rows import table_of_numbers
from nervenet.models.tables.table import DATES, GAP, Kind, Table
from numpy.typing import NDArray


def as_table(X: Any, *, labels: bool = False) -> Table:
    """Return a data frame, or an array of numbers or of objects, as a table; columns without names are x1, x2, …

    Cells are those that scikit-learn sees: a text is a category, whatever it looks like, as nobody has read it from a
    file. With `labels` numbers may be categories, too. Raises ValueError for what would be another value in a table.
    """
    if is_frame(X):
        raw = raw_frame(X)
        columns = [_of_frame(X, raw, place, name) for place, name in enumerate(raw.columns)]
        return Table(raw.columns, tuple(kind for kind, _ in columns), tuple(array for _, array in columns))
    names = made_up(X.shape[1])
    if X.dtype.kind in "biuf":
        for name, cells in zip(names, X.T, strict=True) if labels and X.dtype.kind in "iu" else ():
            _check_apart(name, cells)
        return table_of_numbers(X, names)
    columns = [_column(cells) for cells in X.T]
    return Table(names, tuple(kind for kind, _ in columns), tuple(array for _, array in columns))


def _of_frame(frame: Any, raw: RawTable, place: int, name: str) -> tuple[Kind, NDArray[Any]]:
    if isinstance(raw.cells(name), Words):
        return _column(_objects(frame, place, name))
    found = recognized(raw, name, ColumnOptions())
    if found.kind == "date" and not (hasattr(frame, "iloc") and str(frame.dtypes.iloc[place]) == str(DATES)):
        raise ValueError(
            f"column {name!r} holds dates, which are counted in seconds here, and in another unit by scikit-learn: "
            "give them as datetime64[s] of pandas, or as numbers"
        )
    return found.kind, found.array


def _objects(frame: Any, place: int, name: str) -> NDArray[Any]:
    """Return a column of a frame as Python's objects, of which None is a gap."""
    if hasattr(frame, "iloc"):
        series = frame.iloc[:, place]
        found: NDArray[Any] = series.astype(object).to_numpy(object, copy=True)
        found[series.isna().to_numpy(bool)] = None
        return found
    series = frame[name]
    return np.array(series.to_pylist() if hasattr(series, "to_pylist") else series.to_list(), object)


def gaps_as_nan(X: Any) -> Any:
    """Return rows whose gaps are NaN among objects too, as those of a table are: None and NaN are one; X if they are.

    scikit-learn tells the two apart, so that None would be unknown to what has been fitted on tables.
    """
    if not is_frame(X):
        return _with_nan(X) if isinstance(X, np.ndarray) and X.dtype.kind == "O" else X
    if hasattr(X, "iloc"):
        for place in range(X.shape[1]):
            series = X.iloc[:, place]
            if getattr(series.dtype, "kind", "") == "O" and not hasattr(series.dtype, "categories"):
                cells = series.to_numpy(object)
                if (found := _with_nan(cells, series.isna().to_numpy(bool))) is not cells:
                    X = X.copy(deep=False)
                    X.isetitem(place, type(series)(found, index=series.index, dtype=object))
        return X
    if hasattr(X, "num_rows"):  # of Arrow, whose texts are null or texts
        gaps = (X.column(place).null_count and "string" in str(kind) for place, kind in enumerate(X.schema.types))
        return X.to_pandas() if any(gaps) else X
    return _of_narwhals(X)


def _of_narwhals(frame: Any) -> Any:
    import narwhals as nw

    known = nw.from_native(frame, eager_only=True)
    texts = [name for name, kind in known.schema.items() if kind in (nw.String, nw.Object, nw.Categorical, nw.Enum)]
    cells = {name: np.array(known[name].to_list(), object) for name in texts if known[name].null_count()}
    columns = [
        nw.new_series(name, _with_nan(some).tolist(), nw.Object, backend=known.implementation)
        for name, some in cells.items()
    ]
    return known.with_columns(*columns).to_native() if columns else frame


def _with_nan(cells: NDArray[Any], gaps: NDArray[np.bool_] | None = None) -> NDArray[Any]:
    """Return objects with NaN for None, and where there are gaps of another form; the very same if there are none."""
    odd = np.array([cell is None for cell in cells.ravel().tolist()], np.bool_).reshape(cells.shape)
    if gaps is not None:
        odd |= gaps & np.array([not isinstance(cell, float) for cell in cells.tolist()], np.bool_)
    if not odd.any():
        return cells
    found = cells.copy()
    found[odd] = math.nan
    return found


def _check_apart(name: str, cells: NDArray[Any]) -> None:
    """Raise ValueError where two whole numbers are one as float64."""
    distinct = np.unique(cells)
    if len(np.unique(distinct.astype(np.float64))) < len(distinct):
        raise ValueError(f"column {name!r} has whole numbers beyond 2**53, of which float64 confuses some; give texts")


def _column(cells: NDArray[Any]) -> tuple[Kind, NDArray[Any]]:
    """Return a column of an array of objects: numbers where all are, else categories."""
    missing = np.array([cell is None or cell != cell for cell in cells.tolist()], np.bool_)
    present = [cell for cell, gap in zip(cells.tolist(), missing.tolist(), strict=True) if not gap]
    if all(isinstance(cell, int | float) for cell in present):
        if any(isinstance(cell, int) and abs(cell) > EXACT for cell in present):
            raise ValueError(f"whole numbers beyond 2**53, such as {max(present, key=abs)}, are confused; give texts")
        found = np.full(len(cells), math.nan)
        found[~missing] = present
        return "number", found
    odd = next((cell for cell in present if not isinstance(cell, str | int | float)), None)
    if odd is not None:
        raise TypeError(f"a cell of X must be a string or a number, found {type(odd).__name__}")
    texts = np.full(len(cells), GAP, object)
    texts[~missing] = [category_name(cell) for cell in present]
    return "category", texts
