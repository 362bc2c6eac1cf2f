"""read_columns: a file of which every column counts, as federated statistics take it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from .kinds import DECIMAL_COMMA, recognized
from .options import ReadOptions
from .read import read_raw
from .table import Table


def read_columns(path: str | Path, options: ReadOptions | None = None) -> tuple[Table, tuple[str, ...]]:
    """Return the table of a file without a target, and what its owner should know of how it was read.

    Of the options it takes `drop`, what says the kinds of columns, and `id`, which is left out, too. Raises DataError
    as `read_table` does.
    """
    options = options or ReadOptions()
    raw = read_raw(Path(path), least_columns=1)
    replace(options, target=None, weight=None, sites=None).check_names(raw.name, raw.columns)
    aside = {name: note for name, note in raw.aside.items() if name not in (*options.kinds, *options.drop, options.id)}
    names = tuple(name for name in raw.columns if name not in (*options.drop, options.id, *aside))
    columns = [recognized(raw, name, options.of(name)) for name in names]
    short = Path(raw.name).name
    commas = ", ".join(name for name, column in zip(names, columns, strict=True) if column.form == DECIMAL_COMMA)
    written = ", ".join(filter(None, [raw.written, commas and f"decimal commas in {commas}"]))
    notes = (*([f"{short}: {written}"] if written else []), *aside.values())
    return Table(names, tuple(column.kind for column in columns), tuple(column.array for column in columns)), notes
