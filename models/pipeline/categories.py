"""Which values a column has at all sites together, and how often: categories, and most frequent values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..agreement.questions import Answer, Answers, Question, Questions
from ..data.data import DataError
from ..moments import IncompatibleSites
from .answers import counts_of, is_value, list_of, vector_of
from .inputs import Inputs
from .step import Asked
from .values import NUMBER_TYPES

MOST_VALUES = 10_000
"""A site that has more different values in a column does not tell them."""

MOST_TEXT = 400_000
"""Nor more characters than that: they go in the header of a message."""


class Column(NamedTuple):
    """The different values of one column, sorted, a gap (None) last; how often each occurs; the type of its array."""

    values: list[Any]
    counts: list[int]
    dtype: str


def value_counts(asked: Asked) -> Questions[tuple[int, list[Column]]]:
    """Ask for the rows, and for the different values of each column with their counts.

    Raises IncompatibleSites: sites hold numbers and text in a column, or an answer does not fit; it names the site.
    """
    answers = yield {"part": "values"}
    dtypes = agreed_dtypes(answers, asked)
    total = 0
    found: list[dict[Any, int]] = [{} for _ in asked.names]
    for site, answer in answers.items():
        rows, columns, rest = told_values(site, answer, dtypes)
        if len(rest):
            raise IncompatibleSites(f"site {site} has sent more than the values of each column", site)
        total += rows
        for merged, own in zip(found, columns, strict=True):
            for value, count in own.items():
                merged[value] = merged.get(value, 0) + count
    return total, [merged_column(*one) for one in zip(asked.names, found, dtypes, strict=True)]


def dtypes_of(asked: Asked) -> Questions[list[str]]:
    """Ask for the type of each column's array."""
    return agreed_dtypes((yield {"part": "dtypes"}), asked)


def agreed_dtypes(answers: Answers, asked: Asked) -> list[str]:
    """Return the type of each column, or raise IncompatibleSites naming a site that has another."""
    first: list[Any] | None = None
    for site, answer in answers.items():
        dtypes = list_of(site, answer, "dtypes", asked.width)
        first = first or dtypes
        for name, own, usual in zip(asked.names, dtypes, first, strict=True):
            if own != usual:
                raise IncompatibleSites(
                    f"{asked.title}: site {site} has {own} in column {name!r}, others have {usual}", site
                )
            if own != "object" and own not in NUMBER_TYPES:
                raise IncompatibleSites(
                    f"{asked.title}: site {site} has {own!r} in column {name!r}, which is neither numbers nor text",
                    site,
                )
    return first or []


def distinct(cells: NDArray[Any], title: str, name: str) -> tuple[list[Any], NDArray[np.int64], int]:
    """Return the different values of a column that are no gaps, sorted; the place of each cell's value in them, shape
    (rows,), a gap's behind the last; and the number of gaps.

    Raises DataError: values of several kinds in one column, or of another kind than numbers and text, such as dates, or
    more than MOST_VALUES.
    """
    if cells.dtype.kind not in "biufOU":
        kind = "dates" if cells.dtype.kind == "M" else str(cells.dtype)
        raise DataError(f"{title}: column {name!r} has {kind}, whose values are not counted; expected numbers or text")
    if cells.dtype != object:
        gaps = np.isnan(cells) if cells.dtype.kind == "f" else np.zeros(len(cells), np.bool_)
        values, places = np.unique(cells[~gaps], return_inverse=True)
        codes = np.full(len(cells), len(values), np.int64)
        codes[~gaps] = places.ravel()
        found = (values + 0).tolist() if cells.dtype.kind == "f" else values.tolist()
    else:
        plain = [None if value != value else value for value in cells.tolist()]
        try:
            found = sorted({value for value in plain if value is not None})
        except TypeError:
            raise DataError(f"{title}: column {name!r} has text and numbers; make them one kind") from None
        if odd := [value for value in found if not is_value(value)]:
            raise DataError(f"{title}: column {name!r} has {odd[0]!r}, which is neither a number nor a text")
        place = {value: number for number, value in enumerate(found)} | {None: len(found)}
        codes = np.array([place[value] for value in plain], np.int64)
    check_told(title, name, len(found))
    return found, codes, int((codes == len(found)).sum())


def check_told(title: str, name: str, values: int) -> None:
    """Raise DataError for a column with more different values than are told."""
    if values > MOST_VALUES:
        raise DataError(
            f"{title}: column {name!r} has {values} different values; at most {MOST_VALUES} are told. "
            f"Leave out what only identifies rows"
        )


def tell_dtypes(_: Question, inputs: Inputs) -> Answer:
    return Answer({"dtypes": dtypes(inputs.cells())}, np.empty(0))


def tell_values(_: Question, inputs: Inputs) -> Answer:
    """Return values and counts: numbers in the vector, text among the fields."""
    cells = inputs.cells()
    found: list[tuple[list[Any], list[int]]] = []
    for name, column in zip(inputs.names, cells, strict=True):
        values, codes, _gaps = distinct(column, inputs.title, name)
        found.append((values, np.bincount(codes, minlength=len(values) + 1).tolist()))
    return values_answer(inputs.title, inputs.rows, dtypes(cells), found)


def values_answer(title: str, rows: int, dtypes: list[str], found: Sequence[tuple[list[Any], list[int]]]) -> Answer:
    """Return the answer of so many rows: of each column its values, sorted, and how often each occurs, gaps last."""
    texts: list[list[Any]] = []
    vector: list[NDArray[np.float64]] = [np.array([float(rows)])]
    for (values, counts), dtype in zip(found, dtypes, strict=True):
        is_number = dtype != "object"
        texts.append([] if is_number else values)
        vector += [np.array([float(len(values))]), np.array(counts, np.float64)]
        vector.append(np.array(values if is_number else [], np.float64))
    if (told := sum(len(str(value)) for some in texts for value in some)) > MOST_TEXT:
        raise DataError(f"{title}: its categories are {told:,} characters; at most {MOST_TEXT:,} are told")
    return Answer({"dtypes": dtypes, "values": texts}, np.concatenate(vector))


def dtypes(cells: list[NDArray[Any]]) -> list[str]:
    return ["object" if column.dtype.kind in "OU" else str(column.dtype) for column in cells]


def told_values(
    site: str, answer: Answer, dtypes: list[str]
) -> tuple[int, list[Mapping[Any, int]], NDArray[np.float64]]:
    """Return a site's rows, each column's values with their counts, and what follows them in the vector.

    Raises IncompatibleSites naming the site: `tell_values` would not have told this.
    """
    texts = list_of(site, answer, "values", len(dtypes))
    vector = vector_of(site, answer, len(answer.vector))
    columns: list[Mapping[Any, int]] = []
    rest = vector[1:]
    for dtype, told in zip(dtypes, texts, strict=True):
        size = int(counts_of(site, rest[:1])[0]) if len(rest) else -1
        is_number = dtype != "object"
        length = 2 + size * (2 if is_number else 1)
        if not 0 <= size <= MOST_VALUES or len(rest) < length or not isinstance(told, list | tuple):
            raise IncompatibleSites(f"site {site} has not sent the values of each column", site)
        counts = counts_of(site, rest[1 : 2 + size]).astype(np.int64).tolist()
        values = rest[2 + size : length].astype(dtype).tolist() if is_number else list(told)
        rest = rest[length:]
        if len(values) != size or not all(is_value(value) and value is not None for value in values):
            raise IncompatibleSites(f"site {site} has sent values of a column that are neither numbers nor text", site)
        found = dict(zip(values, counts, strict=False))
        if len(found) != size or sum(counts) != vector[0] or (counts and min([*counts[:-1], 1]) < 1):
            raise IncompatibleSites(f"site {site} has sent counts of values that do not add up to its rows", site)
        columns.append(found | ({None: counts[-1]} if counts[-1] else {}))
    return int(vector[0]), columns, rest


def merged_column(name: str, found: Mapping[Any, int], dtype: str) -> Column:
    try:
        values = sorted(value for value in found if value is not None)
    except TypeError:
        raise IncompatibleSites(f"column {name!r} has text at one site and numbers at another") from None
    values += [None] if None in found else []
    return Column(values, [found[value] for value in values], dtype)
