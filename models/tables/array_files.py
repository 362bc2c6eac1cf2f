"""Files of arrays as raw tables: .npz, and the sparse lines of LIBSVM."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.data import DataError
from .raw import Cells, RawTable, Words, in_rows
from .text_file import opened

WEIGHT = "sample_weight"
"""The array of a .npz file that says how much each row counts, by scikit-learn's name."""


def read_arrays(path: Path, *needed: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of a .npz file, of which X holds numbers. DataError where one of `needed` is missing."""
    try:
        # Opened here, because numpy leaves its own handle open when the archive is damaged.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a .npz file of plain arrays ({error})") from error
    for name in needed:
        if name not in arrays:
            raise DataError(f"{path}: no array {name}; it has: {', '.join(sorted(arrays)) or 'none'}")
    X = arrays["X"]
    if X.ndim != 2 or X.dtype.kind not in "biuf":
        raise DataError(f"{path}: X must be a table of numbers, found {X.ndim} dimensions of {X.dtype}")
    return arrays


def read_npz(path: Path) -> RawTable:
    """Return a .npz file: arrays X (rows, columns) and y (rows,); if they are there columns (names), and sites and
    sample_weight (rows,).

    Raises DataError: an array is missing or has another shape, or is pickled.
    """
    arrays = read_arrays(path, "X", "y")
    X, y = arrays["X"], arrays["y"]
    if y.ndim != 1 or y.dtype.kind not in "biufU":
        raise DataError(f"{path}: y must be one row of numbers or text, found {y.ndim} dimensions of {y.dtype}")
    if "columns" in arrays:
        columns = tuple(str(name) for name in arrays["columns"].ravel().tolist())
    else:
        columns = tuple(f"x{place}" for place in range(1, X.shape[1] + 1))
    further = {"y": y} | {name: arrays[name] for name in ("sites", WEIGHT) if name in arrays}
    if WEIGHT in arrays and (arrays[WEIGHT].ndim != 1 or arrays[WEIGHT].dtype.kind not in "biuf"):
        found = f"{arrays[WEIGHT].ndim} dimensions of {arrays[WEIGHT].dtype}"
        raise DataError(f"{path}: {WEIGHT} must be one row of numbers, found {found}")
    return of_arrays(str(path), X, columns, further)


def open_npy(path: Path) -> dict[str, NDArray[Any]]:
    """Return the columns of a .npy file, views of its memory map.

    They are the fields of an array of records; or those of a table of numbers, X (rows, columns), called x1, x2, …,
    with the array y of the file beside it that is called so: X.npy and y.npy, X_north.npy and y_north.npy. Raises
    DataError for any other array, and where the two do not fit.
    """
    X = _mapped(path)
    if X.dtype.names is not None:
        if X.ndim != 1:
            raise DataError(f"{path}: found {X.ndim} dimensions of records, expected one")
        return {str(name): X[name] for name in X.dtype.names}
    if X.ndim != 2 or X.dtype.kind not in "biuf":
        raise DataError(
            f"{path}: found {X.ndim} dimensions of {X.dtype}, expected an array of records or a table of numbers"
        )
    found = {f"x{place}": X[:, place - 1] for place in range(1, X.shape[1] + 1)}
    beside = path.with_name("y" + path.name[1:])
    if not path.name.startswith("X") or not beside.is_file():
        return found
    y = _mapped(beside)
    if y.ndim != 1 or y.dtype.kind not in "biufU" or len(y) != len(X):
        raise DataError(
            f"{beside}: found shape {y.shape} of {y.dtype}, expected a number or text for each of {len(X)} rows"
        )
    return found | {"y": y}


def _mapped(path: Path) -> NDArray[Any]:
    try:
        found: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: not a .npy file of a plain array ({error})") from error
    return found


def npy_cells(values: NDArray[Any]) -> Cells:
    """Return some cells of a column of a .npy file."""
    if values.dtype.kind in "US":
        text = values if values.dtype.kind == "U" else np.char.decode(values, "utf-8")
        return Words.of(text.tolist())
    return values.astype(np.float64) if values.dtype.kind == "f" else np.ascontiguousarray(values)


def read_npy(path: Path) -> RawTable:
    """Return a .npy file, see `open_npy`."""
    arrays = open_npy(path)
    rows = len(next(iter(arrays.values()), ()))
    return RawTable(str(path), tuple(arrays), rows, lambda name: npy_cells(arrays[name]), in_rows)


def of_arrays(name: str, X: NDArray[Any], columns: tuple[str, ...], further: dict[str, NDArray[Any]]) -> RawTable:
    """Return a raw table of the columns of X, and of the arrays y and, if they are known, sites and sample_weight."""
    if len(columns) != X.shape[1]:
        raise DataError(f"{name}: {len(columns)} column names for {X.shape[1]} columns")
    for what, values in further.items():
        if len(values) != len(X):
            raise DataError(f"{name}: X has {len(X)} rows, {what} has {len(values)}")
    names = {what: what if what not in columns else f"the array {what}" for what in further}
    own = {names[what]: values for what, values in further.items()}
    places = {column: place for place, column in enumerate(columns)}

    def cells(column: str) -> Cells:
        if column in places:
            return np.ascontiguousarray(X[:, places[column]])
        values = own[column]
        return Words.of(values.tolist()) if values.dtype.kind in "UO" else values

    target, sites, weight = (names.get(what) for what in ("y", "sites", WEIGHT))
    return RawTable(
        name,
        (*columns, *own),
        len(X),
        cells,
        in_rows,
        matrix=X,
        side_by_side=columns,
        target=target,
        sites=sites,
        weight=weight,
    )


def read_libsvm(path: Path) -> RawTable:
    """Return a file of lines "label index:value …", indices from 1 on as LIBSVM writes them, as columns x1, x2, …

    Raises DataError for any other line, and for an index of 0: from a file alone nobody can tell whether indices begin
    with 0, and a site without that column would have all others shifted.
    """
    from sklearn.datasets import load_svmlight_file

    try:
        with opened(path) as stream:
            X, y = load_svmlight_file(stream, zero_based=False)
    except (ValueError, IndexError, OverflowError) as error:
        hint = "" if "index 0" not in str(error) else "; indices begin with 1 (dump_svmlight_file(…, zero_based=False))"
        raise DataError(f"{path}: not a readable LIBSVM file ({error}{hint})") from error
    columns = tuple(f"x{place}" for place in range(1, X.shape[1] + 1))
    if not columns:
        raise DataError(f"{path}: no rows with an input")
    return of_arrays(str(path), X.toarray(), columns, {"y": y})
