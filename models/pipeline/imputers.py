"""SimpleImputer and MissingIndicator, fitted by scikit-learn itself on two rows that stand for all."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..agreement.quantiles import median, middle
from ..agreement.questions import Questions
from ..agreement.together import together
from .categories import Column, dtypes_of, value_counts
from .statistics import missing_counts, moments, orders
from .step import Asked, ExactStep, State
from .values import dtype_of, plain


class _Imputer:
    def refusal(self, step: Any) -> str | None:
        if callable(step.strategy):
            return "a function as strategy has no exact merge; take mean, median, most_frequent or constant"
        return _odd_marker(step)

    def questions(self, step: Any, asked: Asked) -> Questions[State]:
        missing = _marker(step)
        ask = {"mean": _means, "median": _medians, "most_frequent": _modes, "constant": _nothing}[step.strategy]
        [(total, gaps), (dtype, found)] = yield from together(
            [missing_counts(asked.width, missing), ask(asked, missing)]
        )
        return {"rows": total, "missing": plain(gaps), "statistics": found, "dtype": dtype}

    def restore(self, step: Any, state: State, width: int) -> Any:
        dtype = dtype_of(state["dtype"])
        filled, empty = _marked(step, state, dtype, width)
        for place, value in enumerate(state["statistics"]):
            if value is not None:
                filled[:, place] = value
        filled[empty] = step.missing_values
        step.fit(filled)
        return step


class _Indicator:
    def refusal(self, step: Any) -> str | None:
        return _odd_marker(step)

    def questions(self, step: Any, asked: Asked) -> Questions[State]:
        [(total, gaps), (dtype, _)] = yield from together(
            [missing_counts(asked.width, _marker(step)), _nothing(asked, _marker(step))]
        )
        return {"rows": total, "missing": plain(gaps), "dtype": dtype}

    def restore(self, step: Any, state: State, width: int) -> Any:
        filled, empty = _marked(step, state, dtype_of(state["dtype"]), width)
        filled[empty] = step.missing_values
        step.fit(filled)
        return step


def _marked(step: Any, state: State, dtype: np.dtype[Any], width: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return two rows of cells that are not missing, and which are to be: one where a column has such, two if only."""
    other = "" if step.missing_values != "" else "x"
    filled = np.full((2, width), other if dtype.kind == "O" else float(step.missing_values == 0), dtype)
    missing = np.array(state["missing"])
    return filled, np.array([missing == state["rows"], missing > 0])


def _means(asked: Asked, missing: object) -> Questions[tuple[str, list[Any]]]:
    found = yield from moments(asked.width, missing)
    return "float64", plain(np.where(found.n > 0, found.mean, np.nan))


def _medians(asked: Asked, missing: object) -> Questions[tuple[str, list[Any]]]:
    found = yield from orders(asked.width, middle, missing)
    return "float64", plain([median(column) for column in found])


def _modes(asked: Asked, missing: object) -> Questions[tuple[str, list[Any]]]:
    _, found = yield from value_counts(asked)
    return _joint([column.dtype for column in found]), [_mode(column, missing) for column in found]


def _nothing(asked: Asked, _: object) -> Questions[tuple[str, list[Any]]]:
    dtypes = yield from dtypes_of(asked)
    return _joint(dtypes), [None] * asked.width


def _joint(dtypes: list[str]) -> str:
    """Return the type of an array that holds columns of these types."""
    return "object" if "object" in dtypes else str(np.result_type(*dtypes))


def _mode(column: Column, missing: object) -> Any:
    """Return the most frequent value, the smallest of several, as scikit-learn does; None where there is none."""
    told = zip(column.values, column.counts, strict=True)
    counts = {value: n for value, n in told if value is not None and value != missing}
    return min((value for value, n in counts.items() if n == max(counts.values())), default=None)


def _odd_marker(step: Any) -> str | None:
    marker = step.missing_values
    if not isinstance(marker, int | float | str | np.number):
        return f"missing_values={marker!r} is not told to sites; take numpy.nan, a number or a text"
    return None


def _marker(step: Any) -> Any:
    marker = step.missing_values.item() if isinstance(step.missing_values, np.generic) else step.missing_values
    return None if marker != marker else marker


FAMILY: dict[str, ExactStep] = {"SimpleImputer": _Imputer(), "MissingIndicator": _Indicator()}
