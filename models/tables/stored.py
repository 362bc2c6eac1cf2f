"""load_stored: a file that is larger than memory as a data set whose rows stay on disk."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.data import Dataset
from .array_files import open_npy
from .arrow_files import parquet_file
from .batched import StoredRaw, read_batched
from .csv_file import dialect_of, reader_of
from .kinds import DECIMAL_COMMA, Column, by_word, category_name, recognized
from .load import finished
from .options import ColumnOptions, ReadOptions
from .raw import RawTable, Words
from .read import decimal_commas, notes_of, written_of
from .roles import Roles, targets_of, weights_of
from .stored_table import StoredTable
from .suffixes import kind_of
from .text_file import SAMPLE, encodings, opened

KINDS = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet", ".npy")
"""Files that can be read in batches."""

MB = 1_000_000


def megabytes(path: Path) -> float:
    """Return what a file takes in memory, 8 bytes a cell, as far as its beginning tells; 0 where that is not known.

    Raises DataError: it is not what its ending says.
    """
    kind = kind_of(path)
    if kind not in KINDS or not path.is_file():
        return 0.0
    if kind == ".parquet":
        known = parquet_file(path).metadata
        return float(known.num_rows * known.num_columns * 8 / MB)
    if kind == ".npy":
        arrays = open_npy(path)
        return len(arrays) * len(next(iter(arrays.values()), ())) * 8 / MB
    with opened(path) as stream:
        sample = stream.read(SAMPLE)
    size = path.stat().st_size
    if path.suffix.lower() == ".gz":
        with path.open("rb") as packed:
            packed.seek(-4, 2)
            size = int.from_bytes(packed.read(4), "little") + (size >> 32 << 32)  # of a file below 4 GB what it was
    if size <= SAMPLE:
        return 0.0
    encoding = encodings(sample)[0]
    text = io.StringIO(sample.decode(encoding, errors="replace"), newline="")
    columns = len(next(reader_of(text, dialect_of(sample, encoding)), []))
    lines = max(1, sample.count(b"\n"))
    return size / (len(sample) / lines) * columns * 8 / MB


def load_stored(path: Path, options: ReadOptions) -> Dataset:
    """Return a file as a data set, as `load_file` does, whose X is a `StoredTable`."""
    stored = read_batched(path, kind_of(path), options)
    raw, store, forms = stored
    roles = Roles.of(raw, options)
    y, kept = targets_of(raw, roles.target, options)
    weight = None if roles.weight is None else weights_of(raw, roles.weight, options)[kept]
    columns = {name: _column(stored, name, options.of(name)) for name in roles.inputs}
    columns = {name: column._replace(form=column.form or forms.get(name, "")) for name, column in columns.items()}
    commas = {
        *(name for name, form in forms.items() if form == DECIMAL_COMMA),
        *decimal_commas(raw, columns, {roles.target: y, roles.weight: weight}, options),
    }
    notes = notes_of(raw, roles, len(kept), [name for name in raw.columns if name in commas])
    values = {name: column.array for name, column in columns.items() if len(column.array)}
    X = StoredTable(roles.inputs, tuple(column.kind for column in columns.values()), store, values, plain=False)
    X = (X.take(kept) if len(kept) < raw.rows else X).marked()
    written = written_of(columns, options)
    found = Dataset(path.name, X, y, roles.inputs, "regression", None, None, roles.target, notes, written, weight)
    return finished(raw, found, options)


def _column(stored: StoredRaw, name: str, options: ColumnOptions) -> Column:
    """Return the kind of a column, and the value of each of its words; no values where it is stored as it is."""
    raw, store, _ = stored
    cells = raw.cells(name)
    if not isinstance(cells, Words) and options.kind in ("category", "date") and cells.dtype.kind != "M":
        words = _as_words(cells)
        store.replace(name, words.words, words.codes)
        cells, options = words, ColumnOptions(options.kind, options.format)
    if isinstance(cells, Words):
        return by_word(raw, name, cells, options)
    known = RawTable(raw.name, (name,), raw.rows, lambda _: cells, raw.place)
    return recognized(known, name, options)._replace(array=np.empty(0))


def _as_words(values: NDArray[Any]) -> Words:
    """Return numbers or truth values as the text that they would be."""
    missing = values != values
    distinct, places = np.unique(values[~missing], return_inverse=True)
    codes = np.zeros(len(values), np.intp)
    codes[~missing] = places + 1
    return Words(("", *map(category_name, distinct.tolist())), codes)
