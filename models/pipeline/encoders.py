"""OneHotEncoder and OrdinalEncoder: the union of all sites' categories, with the counts that make some infrequent."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np

from ..agreement.questions import Questions
from ..moments import IncompatibleSites
from .categories import Column, value_counts
from .step import Asked, ExactStep, State
from .values import categories, plain


class _Encoder:
    def refusal(self, step: Any) -> str | None:
        return _odd_unknown(step) if type(step).__name__ == "OrdinalEncoder" else None

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
            _check_codes(step)
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


def _odd_unknown(step: Any) -> str | None:
    """Return what is wrong with the code of unknown values, as scikit-learn's own fit has it; None: nothing."""
    code = step.unknown_value
    if step.handle_unknown != "use_encoded_value":
        return None if code is None else f"unknown_value={code!r} is for handle_unknown='use_encoded_value'"
    if code != code:
        real = np.dtype(step.dtype).kind == "f"
        return None if real else f"unknown_value=nan is no {np.dtype(step.dtype)}; take a float dtype"
    return None if isinstance(code, Integral) else f"unknown_value={code!r}; expected a whole number or nan"


def _check_codes(step: Any) -> None:
    """Raise ValueError where unknown values, or gaps, would be told by the code of a category."""
    grouped = step.infrequent_categories_ if step._infrequent_enabled else [None] * len(step.categories_)
    for place, (found, rare) in enumerate(zip(step.categories_, grouped, strict=True)):
        gaps = place in step._missing_indices
        codes = len(found) - gaps - (0 if rare is None else len(rare))
        said = {"unknown_value": step.unknown_value} if step.handle_unknown == "use_encoded_value" else {}
        for name, code in {**said, **({"encoded_missing_value": step.encoded_missing_value} if gaps else {})}.items():
            if 0 <= code < codes:
                raise ValueError(
                    f"{name}={code} is the code of a category; those of column {place + 1} are 0 to {codes - 1}"
                )
        if gaps and step.encoded_missing_value != step.encoded_missing_value and np.dtype(step.dtype).kind != "f":
            raise ValueError(f"encoded_missing_value=nan is no {np.dtype(step.dtype)}, and column {place + 1} has gaps")


def _counts(step: Any) -> bool:
    return step.min_frequency is not None or step.max_categories is not None


FAMILY: dict[str, ExactStep] = {"OneHotEncoder": _Encoder(), "OrdinalEncoder": _Encoder()}
