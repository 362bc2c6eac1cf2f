"""The data sets of several sites side by side: the same columns in the same order, of the same kinds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.data import DataError, Dataset, Task, infer_task, is_whole
from ..data.written import merged
from .load import plain_numbers
from .table import Kind, Table, empty


def aligned(sites: Mapping[str, Dataset], task: Task | None = None) -> dict[str, Dataset]:
    """Return the sites' data with the columns in one order, all arrays or all tables, and targets of one task.

    A column that is empty at a site is of the kind that it has at the others. Raises DataError, which names the site:
    it lacks a column that most others have or has one beyond them, or its column or its targets are of another kind.
    """
    columns = _columns(sites)
    tables = {site: _table(found).select(columns) for site, found in sites.items()}
    kinds = tuple(_kind(tables, name) for name in columns)
    tables = {site: _of_kinds(table, kinds) for site, table in tables.items()}
    plain = {site: plain_numbers(table) for site, table in tables.items()}
    arrays = all(not isinstance(X, Table) for X in plain.values())
    targets, found = _targets(sites, task)
    return {
        site: replace(one, X=plain[site] if arrays else tables[site], y=targets[site], columns=columns, task=found)
        for site, one in sites.items()
    }


def stacked(sites: Sequence[Dataset], name: str) -> Dataset:
    """Return the rows of several sites that are aligned, one after another, as one data set."""
    first = sites[0]
    tables = [one.X for one in sites if isinstance(one.X, Table)]
    X: NDArray[Any] | Table
    if tables:
        arrays = [np.concatenate([table[column] for table in tables]) for column in first.columns]
        X = Table(first.columns, tables[0].kinds, tuple(arrays))
    else:
        X = np.concatenate([one.X for one in sites if isinstance(one.X, np.ndarray)])
    y = np.concatenate([one.y for one in sites])
    weight = None
    if any(one.weight is not None for one in sites):
        weight = np.concatenate([np.ones(len(one)) if one.weight is None else one.weight for one in sites])
    written = merged(one.written for one in sites)
    return Dataset(name, X, y, first.columns, first.task, written=written, weight=weight)


def _table(found: Dataset) -> Table:
    if isinstance(found.X, Table):
        return found.X
    arrays = tuple(np.ascontiguousarray(found.column(name), np.float64) for name in found.columns)
    kinds: tuple[Kind, ...] = tuple("number" for _ in arrays)
    return Table(found.columns, kinds, arrays)


def _columns(sites: Mapping[str, Dataset]) -> tuple[str, ...]:
    [(usual, _)] = Counter(frozenset(found.columns) for found in sites.values()).most_common(1)
    example = next(site for site, found in sites.items() if frozenset(found.columns) == usual)
    for site, found in sites.items():
        lacks = [name for name in sites[example].columns if name not in found.columns]
        adds = [name for name in found.columns if name not in usual]
        if lacks or adds:
            parts = [f"{verb} {', '.join(names)}" for verb, names in (("lacks", lacks), ("adds", adds)) if names]
            raise DataError(
                f"site {site} ({found.name}) {' and '.join(parts)}; {example} has {', '.join(sorted(usual))}"
            )
    return sites[example].columns


def _kind(tables: Mapping[str, Table], name: str) -> Kind:
    known = {site: table.kind(name) for site, table in tables.items() if not table.gaps(name).all()}
    if not known:
        return "number"
    [(usual, _)] = Counter(known.values()).most_common(1)
    for site, kind in known.items():
        if kind != usual:
            example = next(one for one in known if known[one] == usual)
            one, other = (tables[at][name][~tables[at].gaps(name)][0] for at in (site, example))
            raise DataError(
                f'column "{name}" is a {kind} at site {site} ({one}), and a {usual} at {example} ({other}): '
                f"--categorical {name} takes it as categories everywhere"
            )
    return usual


def _of_kinds(table: Table, kinds: tuple[Kind, ...]) -> Table:
    """Return a table whose empty columns have the kinds that the others know."""
    arrays = tuple(
        array if own == kind else empty(kind, len(table))
        for own, kind, array in zip(table.kinds, kinds, table.arrays, strict=True)
    )
    return Table(table.columns, kinds, arrays)


def _targets(sites: Mapping[str, Dataset], task: Task | None) -> tuple[dict[str, NDArray[Any]], Task]:
    texts = {site: found.y.dtype.kind == "U" for site, found in sites.items()}
    if len(set(texts.values())) == 2:
        usual = Counter(texts.values()).most_common(1)[0][0]
        odd = next(site for site, text in texts.items() if text != usual)
        example = next(site for site, text in texts.items() if text == usual)
        values = (str(sites[site].y[0]) for site in (odd, example))
        found, expected = (f"{'text' if texts[site] else 'numbers'} ({next(values)})" for site in (odd, example))
        raise DataError(f"site {odd} ({sites[odd].name}) has {found} as targets; {example} has {expected}")
    pooled = np.concatenate([found.y for found in sites.values()])
    known = task or infer_task(pooled)
    if known == "regression":
        pooled = pooled.astype(np.float64)
    elif pooled.dtype.kind == "f" and is_whole(pooled):
        pooled = pooled.astype(np.int64)
    edges = np.cumsum([len(found.y) for found in sites.values()])[:-1]
    return dict(zip(sites, np.split(pooled, edges), strict=True)), known
