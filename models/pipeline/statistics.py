"""Questions that many steps ask about the columns of their input, and what a site answers.

Each is a generator that asks all sites and returns the merge; `TOLD` has the other half by the name of the part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..agreement.column_moments import NUMBERS, ColumnMoments
from ..agreement.order_statistics import Ordered, count, order_statistics
from ..agreement.questions import Answer, Question, Questions
from .answers import counts_of, vector_of
from .inputs import Inputs, missing_cells

Column = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Extremes:
    """Rows of all sites, and per column how many values it has and their limits; NaN where it has none."""

    rows: int
    n: Column
    low: Column
    high: Column


def rows() -> Questions[int]:
    """Ask how many rows there are."""
    answers = yield {"part": "rows"}
    return int(sum(counts_of(site, vector_of(site, answer, 1))[0] for site, answer in answers.items()))


def moments(width: int, missing: object = None) -> Questions[ColumnMoments]:
    """Ask for the moments of each column; cells that are `missing` (None: NaN) are left out."""
    answers = yield {"part": "moments", "missing": missing}
    return ColumnMoments.merged(
        ColumnMoments.from_vector(site, vector_of(site, answer, NUMBERS * width)) for site, answer in answers.items()
    )


def extremes(width: int) -> Questions[Extremes]:
    """Ask for the smallest and the largest value of each column."""
    answers = yield {"part": "extremes"}
    total, n, low, high = 0.0, np.zeros(width), np.full(width, np.inf), np.full(width, -np.inf)
    for site, answer in answers.items():
        vector = vector_of(site, answer, 1 + 3 * width)
        total += counts_of(site, vector[:1])[0]
        own, least, most = np.split(vector[1:], 3)
        n += counts_of(site, own)
        low = np.where(own > 0, np.minimum(low, least), low)
        high = np.where(own > 0, np.maximum(high, most), high)
    low, high = np.where(n > 0, low, np.nan), np.where(n > 0, high, np.nan)
    return Extremes(int(total), n, low, high)


def missing_counts(width: int, missing: object) -> Questions[tuple[int, Column]]:
    """Ask how many rows there are, and how many cells of each column are missing."""
    answers = yield {"part": "missing", "missing": missing}
    found = sum(counts_of(site, vector_of(site, answer, 1 + width)) for site, answer in answers.items())
    total = np.asarray(found, np.float64)
    return int(total[0]), total[1:]


def orders(width: int, ranks: Callable[[int], Sequence[int]], missing: object = None) -> Questions[tuple[Ordered, ...]]:
    """Ask for the values at some ranks of each column."""
    dialog = order_statistics(range(width), ranks)
    try:
        question = next(dialog)
        while True:
            question = dialog.send((yield {"part": "order", "order": question, "missing": missing}))
    except StopIteration as end:
        found: tuple[Ordered, ...] = end.value
        return found


def numbers_of(question: Question, inputs: Inputs) -> NDArray[np.float64]:
    numbers, missing = inputs.numbers(), question.get("missing")
    return numbers if missing is None else np.where(missing_cells(numbers, missing), np.nan, numbers)


def _tell_rows(_: Question, inputs: Inputs) -> Answer:
    return Answer({}, np.array([float(inputs.rows)]))


def _tell_moments(question: Question, inputs: Inputs) -> Answer:
    return Answer({}, ColumnMoments.of(numbers_of(question, inputs)).vector())


def _tell_extremes(_: Question, inputs: Inputs) -> Answer:
    numbers = inputs.numbers()
    there = ~np.isnan(numbers)
    n = np.count_nonzero(there, axis=0)
    low = np.where(n > 0, np.min(numbers, axis=0, initial=np.inf, where=there), 0.0)
    high = np.where(n > 0, np.max(numbers, axis=0, initial=-np.inf, where=there), 0.0)
    return Answer({}, np.concatenate([[float(inputs.rows)], n, low, high]))


def _tell_missing(question: Question, inputs: Inputs) -> Answer:
    counts = [float(missing_cells(cells, question["missing"]).sum()) for cells in inputs.cells()]
    return Answer({}, np.array([float(inputs.rows), *counts]))


def _tell_order(question: Question, inputs: Inputs) -> Answer:
    missing = question["missing"]

    def values(place: str | int) -> NDArray[np.float64]:
        numbers = inputs.column(int(place))
        return numbers if missing is None else np.where(missing_cells(numbers, missing), np.nan, numbers)

    return count(question["order"], values)


TOLD: dict[str, Callable[[Question, Inputs], Answer]] = {
    "rows": _tell_rows,
    "moments": _tell_moments,
    "extremes": _tell_extremes,
    "missing": _tell_missing,
    "order": _tell_order,
}
