"""Which columns a part of a ColumnTransformer gets: by name, place, slice, mask, or kind."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..data.data import DataError
from ..plugins import suggest
from ..tables.table import Kind
from .step import NoExactMerge

_KINDS: dict[Kind, tuple[Any, ...]] = {
    "number": (np.float64, np.floating, np.number, float, "float", "float64", "floating", "number"),
    "category": (object, np.object_, str, "object", "O", "str", "string", "category"),
    "date": (np.datetime64, "datetime", "datetime64", "datetime64[s]"),
}
"""What data frames call the type of a column of each kind, as `pandas.DataFrame.select_dtypes` takes it."""


def resolved(columns: Any, names: Sequence[str], kinds: Sequence[Kind] | None, title: str) -> Any:
    """Return the columns that a part asks for as scikit-learn keeps them: a selector becomes a list of names.

    Raises NoExactMerge: a function that is no selector, or a selector after the first step, where there are no kinds.
    """
    if not callable(columns):
        return columns
    if type(columns).__name__ != "make_column_selector":
        raise NoExactMerge(f"{title} chooses columns by a function; name them, or take make_column_selector")
    if kinds is None:
        raise NoExactMerge(f"{title} chooses columns by a selector after another step; name their places")
    include, exclude = _specs(columns.dtype_include, title), _specs(columns.dtype_exclude, title)
    return [
        name
        for name, kind in zip(names, kinds, strict=True)
        if (not include or kind in include)
        and kind not in exclude
        and (columns.pattern is None or re.search(columns.pattern, name))
    ]


def places(columns: Any, names: Sequence[str], title: str) -> list[int]:
    """Return the places of columns that are given by name, place, slice or mask; one alone, or a list.

    Raises DataError: there is no column of this name or place.
    """
    if isinstance(columns, slice):
        start, stop = (
            names.index(_known(end, names, title)) if isinstance(end, str) else end
            for end in (columns.start, columns.stop)
        )
        after = stop + 1 if isinstance(columns.stop, str) else stop  # a slice by names includes the last
        return list(range(len(names))[slice(start, after, columns.step)])
    listed: list[Any] = [columns] if np.isscalar(columns) else list(columns)
    if listed and all(isinstance(one, bool | np.bool_) for one in listed):
        return np.flatnonzero(listed).tolist()
    found = []
    for one in listed:
        if isinstance(one, str):
            found.append(list(names).index(_known(one, names, title)))
        elif not -len(names) <= one < len(names):
            raise DataError(f"{title} asks for column {one}; there are {len(names)}")
        else:
            found.append(int(one) % len(names))
    return found


def _known(name: str, names: Sequence[str], title: str) -> str:
    if name not in names:
        raise DataError(f"{title} asks for column {name!r}{suggest(name, names)}; there are: {', '.join(names)}")
    return name


def _specs(given: Any, title: str) -> set[Kind]:
    """Return the kinds that a selector's types stand for."""
    if given is None:
        return set()
    found: set[Kind] = set()
    for one in given if isinstance(given, list | tuple) else [given]:
        if one in ("all", None):
            found |= set(_KINDS)
        found |= {kind for kind, types in _KINDS.items() if any(one is known or one == known for known in types)}
    if not found:
        raise NoExactMerge(f"{title} selects columns of type {given!r}; a table has numbers, text (object) and dates")
    return found
