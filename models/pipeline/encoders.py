"""OneHotEncoder and OrdinalEncoder: the union of all sites' categories, with the counts that make some infrequent."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..agreement.questions import Questions
from ..moments import IncompatibleSites
from .categories import Column, value_counts
from .step import Asked, ExactStep, State
from .values import categories, plain


class _Encoder:
    def refusal(self, step: Any) -> None:
        return None

    def questions(self, step: Any, asked: Asked) -> Questions[State]:
        total, found = yield from value_counts(asked)
        columns = chosen(step, found, asked)
        return {
            "rows": total,
            "categories": [column.values for column in columns],
            "dtypes": [column.dtype for column in columns],
            "counts": [column.counts for column in columns] if _counts(step) else None,
        }

    def restore(self, step: Any, state: State, width: int) -> Any:
        restore_categories(step, state, width)
        step._check_infrequent_enabled()
        ordinal = type(step).__name__ == "OrdinalEncoder"
        # A gap is a category of its own for OneHotEncoder, and never an infrequent one for OrdinalEncoder.
        last = {place: len(cats) - 1 for place, cats in enumerate(state["categories"]) if cats and cats[-1] is None}
        if step._infrequent_enabled:
            counts = [np.array(some) for some in state["counts"]]
            step._fit_infrequent_category_mapping(state["rows"], counts, last if ordinal else {})
        if ordinal:
            step._missing_indices = last
        else:
            step._set_drop_idx()
            step._n_features_outs = step._compute_n_features_outs()
        return step


def restore_categories(step: Any, state: State, width: int) -> None:
    """Set what scikit-learn's encoders have in common."""
    step.categories_ = [categories(*one) for one in zip(state["categories"], state["dtypes"], strict=True)]
    step.n_features_in_ = width


def chosen(step: Any, found: list[Column], asked: Asked, lenient: bool = False) -> list[Column]:
    """Return the columns with the categories that a step's user listed, or those found where `categories` is "auto".

    Raises IncompatibleSites: a value that is not listed, where the step takes no unknown ones and `lenient` is not set.
    """
    if isinstance(step.categories, str):
        return found
    if len(step.categories) != asked.width:
        raise IncompatibleSites(f"{asked.title} lists categories of {len(step.categories)} columns, has {asked.width}")
    columns = []
    for name, column, listed in zip(asked.names, found, step.categories, strict=True):
        values = plain(categories(list(listed), column.dtype))
        unknown = [value for value in column.values if value not in values]
        if unknown and not lenient and step.handle_unknown == "error":
            raise IncompatibleSites(
                f"{asked.title}: column {name!r} has {unknown[0]!r}, which is not among its categories"
            )
        counts = dict(zip(column.values, column.counts, strict=True))
        columns.append(Column(values, [counts.get(value, 0) for value in values], column.dtype))
    return columns


def _counts(step: Any) -> bool:
    return step.min_frequency is not None or step.max_categories is not None


FAMILY: dict[str, ExactStep] = {"OneHotEncoder": _Encoder(), "OrdinalEncoder": _Encoder()}
