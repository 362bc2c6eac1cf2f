"""TargetEncoder: the mean target of each category, shrunk to that of all rows (Micci-Barreca 2001, equations 3 to 7).

What is fitted is what ``fit`` learns from all rows. scikit-learn's ``fit_transform`` encodes each training row without
the rows of its own fold, which is drawn at random; here training rows are encoded as new ones are, for later steps too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..agreement.column_moments import NUMBERS, ColumnMoments
from ..agreement.questions import Answer, Question, Questions
from ..moments import IncompatibleSites
from .answers import counts_of
from .categories import agreed_dtypes, distinct, merged_column, tell_values, told_values
from .encoders import chosen, restore_categories
from .inputs import Inputs
from .step import Asked, ExactStep, State
from .targets import class_counts
from .values import numbers, plain

Array = NDArray[np.float64]


class _Target:
    def refusal(self, step: Any) -> None:
        return None

    def questions(self, step: Any, asked: Asked) -> Questions[State]:
        kind = step.target_type
        if kind == "auto":
            kind = "continuous" if asked.task == "regression" else "classes"
        if kind == "continuous":
            state, found, [whole] = yield from _by_category(step, asked, None)
            encodings = [[_encoding(step.smooth, column, whole)] for [column] in found]
            return state | _learned("continuous", None, [whole], encodings)
        labels = list((yield from class_counts()))
        if len(labels) < 2:
            raise IncompatibleSites(f"{asked.title} needs two classes; all sites together have {len(labels)}")
        positive = slice(1, None) if len(labels) == 2 else slice(None)
        state, found, whole_by_class = yield from _by_category(step, asked, labels)
        wholes = whole_by_class[positive]
        encodings = [
            [_encoding(step.smooth, one, whole) for one, whole in zip(column[positive], wholes, strict=True)]
            for column in found
        ]
        return state | _learned("binary" if len(labels) == 2 else "multiclass", labels, wholes, encodings)

    def restore(self, step: Any, state: State, width: int) -> Any:
        step._infrequent_enabled = False
        restore_categories(step, state, width)
        step.target_type_ = state["target_type"]
        step.classes_ = None if state["classes"] is None else np.array(state["classes"])
        mean = numbers(state["mean"])
        step.target_mean_ = mean if step.target_type_ == "multiclass" else mean[0]
        step.encodings_ = [numbers(encoding) for encoding in state["encodings"]]
        return step


def _learned(kind: str, labels: list[Any] | None, wholes: list[ColumnMoments], encodings: list[list[Array]]) -> State:
    return {
        "target_type": kind,
        "classes": labels,
        "mean": [float(whole.mean[0]) for whole in wholes],
        "encodings": [plain(one) for column in encodings for one in column],
    }


def _encoding(smooth: float | str, found: ColumnMoments, whole: ColumnMoments) -> Array:
    """Return the encoding of each category, from the moments of the target in each and among all rows."""
    mean = whole.mean[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        if smooth == "auto":
            weighted = whole.variance[0] * found.n
            share = weighted / (weighted + found.m2 / found.n)
            encoding = share * found.mean + (1 - share) * mean
        else:
            encoding = (float(smooth) * mean + found.n * found.mean) / (float(smooth) + found.n)
    encodings: Array = np.where(np.isnan(encoding), mean, encoding)
    return encodings


def _by_category(
    step: Any, asked: Asked, labels: list[Any] | None
) -> Questions[tuple[State, list[list[ColumnMoments]], list[ColumnMoments]]]:
    """Ask for the target by category: of each column, for each class or once, moments with an entry a category.

    Returns what is learned of the categories, those moments, and the moments of the target among all rows.
    """
    answers = yield {"part": "target by category", "classes": labels}
    dtypes = agreed_dtypes(answers, asked)
    told = {site: told_values(site, answer, dtypes) for site, answer in answers.items()}
    union: list[dict[Any, int]] = [{} for _ in asked.names]
    for _, of_site, _ in told.values():
        for merged, counts in zip(union, of_site, strict=True):
            for value, count in counts.items():
                merged[value] = merged.get(value, 0) + count
    every = [merged_column(*one) for one in zip(asked.names, union, dtypes, strict=True)]
    columns = chosen(step, every, asked, lenient=True)
    state = {"categories": [column.values for column in columns], "dtypes": dtypes}
    kinds = 1 if labels is None else len(labels)
    found: list[list[list[ColumnMoments]]] = [[[] for _ in range(kinds)] for _ in columns]
    whole: list[list[ColumnMoments]] = [[] for _ in range(kinds)]
    for site, (rows, own, rest) in told.items():
        parts = _Parts(site, rest, labels is not None)
        for kind, one in enumerate(parts.take([rows], kinds)):
            whole[kind].append(one)
        for place, column in enumerate(columns):
            for kind, one in enumerate(parts.take(list(own[place].values()), kinds)):
                found[place][kind].append(_spread(one, own[place], column.values))
        parts.end()
    merged_all = [[ColumnMoments.merged(sites) for sites in column] for column in found]
    return state, merged_all, [ColumnMoments.merged(sites) for sites in whole]


class _Parts:
    """Reads what follows the values in a site's vector: moments of the target, or counts of its classes."""

    def __init__(self, site: str, rest: Array, counted: bool) -> None:
        self._site, self._rest, self._counted = site, rest, counted

    def take(self, counts: list[int], kinds: int) -> list[ColumnMoments]:
        size = len(counts)
        length = size * (kinds if self._counted else NUMBERS)
        part, self._rest = self._rest[:length], self._rest[length:]
        if len(part) != length:
            self._refuse()
        if not self._counted:
            found = ColumnMoments.from_vector(self._site, part)
            if not np.array_equal(found.n, counts):
                self._refuse()
            return [found]
        table = counts_of(self._site, part).reshape(size, kinds)
        n = np.array(counts, np.float64)
        if not np.array_equal(table.sum(axis=1), n):
            self._refuse()
        share = table / np.maximum(n, 1.0)[:, None]
        squares = table * (1 - share) ** 2 + (n[:, None] - table) * share**2
        return [ColumnMoments(n, share[:, kind], squares[:, kind], np.zeros(size)) for kind in range(kinds)]

    def end(self) -> None:
        if len(self._rest):
            self._refuse()

    def _refuse(self) -> None:
        raise IncompatibleSites(f"site {self._site} has sent targets that do not fit its categories", self._site)


def _spread(found: ColumnMoments, own: Mapping[Any, int], values: list[Any]) -> ColumnMoments:
    """Return moments with an entry for each of `values`, from those of a site's own."""
    places = {value: place for place, value in enumerate(own)}
    known = np.array([value in places for value in values], np.bool_)
    source = np.array([places[value] for value in values if value in places], np.int64)
    parts = []
    for some in (found.n, found.mean, found.m2, found.rest):
        spread = np.zeros(len(values))
        spread[known] = some[source]
        parts.append(spread)
    return ColumnMoments(*parts)


def tell_target_by_category(question: Question, inputs: Inputs) -> Answer:
    """Return values and counts as `tell_values` does; then the target of all rows, and of each value's rows."""
    fields, values = tell_values(question, inputs)
    labels, y = question["classes"], inputs.labels()
    parts = [values, _told(y, np.zeros(len(y), np.int64), 1, labels)]
    for name, column in zip(inputs.names, inputs.cells(), strict=True):
        own, codes, gaps = distinct(column, inputs.title, name)
        parts.append(_told(y, codes, len(own) + (gaps > 0), labels))
    return Answer(fields, np.concatenate(parts))


def _told(y: NDArray[Any], codes: NDArray[np.int64], size: int, labels: list[Any] | None) -> Array:
    if labels is not None:
        return (
            np.concatenate([np.bincount(codes[y == label], minlength=size)[:, None] for label in labels], 1)
            .ravel()
            .astype(np.float64)
        )
    whole = ColumnMoments.of(y.astype(np.float64)[:, None])
    n = np.bincount(codes, minlength=size).astype(np.float64)
    centered = y - whole.mean[0]  # so that sums keep their digits
    shift = np.bincount(codes, centered, size) / np.maximum(n, 1.0)
    m2 = np.bincount(codes, (centered - shift[codes]) ** 2, size)
    return np.concatenate([n, np.where(n > 0, whole.mean[0] + shift, 0.0), m2, np.zeros(size)])


FAMILY: dict[str, ExactStep] = {"TargetEncoder": _Target()}
