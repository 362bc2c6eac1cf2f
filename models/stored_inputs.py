"""What a model sees of rows that stay on disk: prepared block by block, and put on disk again."""

from __future__ import annotations

from typing import Any

from .data.data import DataError
from .data.prepared import PreparedRows
from .registry import FAMILIES
from .table_preprocessing import AnyPreprocessing, TablePreprocessing
from .tables.stored_table import StoredTable


def stored_inputs(preprocessing: AnyPreprocessing, table: StoredTable, dtype: str) -> PreparedRows:
    """Return the prepared rows of a table, of `dtype`. Raises ValueError where `preprocessing.transform` does."""
    found = PreparedRows(preprocessing.n_features, dtype)
    for block in table.blocks():
        X: Any = block if isinstance(preprocessing, TablePreprocessing) else block.block(preprocessing.columns)
        found.append(preprocessing.transform(X, dtype))
    return found


def check_in_batches(model: object, what: str) -> None:
    """Raise DataError for a model that trains on all rows at once, where those of `what` stay on disk."""
    if getattr(model, "in_batches", False):
        return
    name = str(model.describe()["name"]).rpartition(".")[2]  # type: ignore[attr-defined]
    able = [known.rpartition(".")[2] for known, family in FAMILIES.items() if getattr(family, "in_batches", False)]
    raise DataError(
        f"model.name: {name} trains on all rows at once, and {what} is read in batches: take one of {', '.join(able)}, "
        "or a larger data.in_memory_mb"
    )
