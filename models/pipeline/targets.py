"""Questions about the target: its classes, and the columns class by class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..agreement.column_moments import NUMBERS, ColumnMoments
from ..agreement.questions import Answer, Question, Questions
from ..data.data import DataError
from ..moments import IncompatibleSites
from .answers import counts_of, is_value, list_of, vector_of
from .inputs import Inputs
from .step import Asked

MOST_CLASSES = 1000


class Joint(NamedTuple):
    """Moments of the columns and of the target behind them, and Σ (x - mean)(y - mean) of each column."""

    moments: ColumnMoments  # (columns + 1,)
    products: NDArray[np.float64]  # (columns,)


def class_counts() -> Questions[dict[Any, int]]:
    """Ask for the labels that the target has, and how often; they are returned sorted."""
    answers = yield {"part": "classes"}
    found: dict[Any, int] = {}
    for site, answer in answers.items():
        labels = list_of(site, answer, "classes")
        counts = counts_of(site, vector_of(site, answer, len(labels)), 1)
        if len(labels) > MOST_CLASSES or not all(is_value(label) and label is not None for label in labels):
            raise IncompatibleSites(f"site {site} has sent no list of at most {MOST_CLASSES} labels", site)
        for label, count in zip(labels, counts.tolist(), strict=True):
            found[label] = found.get(label, 0) + int(count)
    try:
        return {label: found[label] for label in sorted(found)}
    except TypeError:
        raise IncompatibleSites("some sites have text as targets, and others numbers") from None


def moments_by_class(classes: Sequence[Any], asked: Asked) -> Questions[list[ColumnMoments]]:
    """Ask for the moments of each column among the rows of each class."""
    answers = yield {"part": "moments by class", "classes": list(classes)}
    length = NUMBERS * asked.width
    merged: list[list[ColumnMoments]] = [[] for _ in classes]
    for site, answer in answers.items():
        vector = vector_of(site, answer, length * len(classes))
        for place, found in enumerate(merged):
            found.append(ColumnMoments.from_vector(site, vector[place * length : (place + 1) * length]))
    return [ColumnMoments.merged(found) for found in merged]


def sums_by_class(classes: Sequence[Any], asked: Asked) -> Questions[NDArray[np.float64]]:
    """Ask for the sum of each column among the rows of each class, shape (classes, columns)."""
    answers = yield {"part": "sums by class", "classes": list(classes)}
    total = np.zeros((len(classes), asked.width))
    for site, answer in answers.items():
        sums = vector_of(site, answer, total.size)
        if (sums < 0).any():
            raise IncompatibleSites(f"{asked.title}: site {site} has sent a sum below 0", site)
        total += sums.reshape(total.shape)
    return total


def joint_moments(asked: Asked) -> Questions[Joint]:
    """Ask for the moments of each column and of a target of numbers, and for their products."""
    answers = yield {"part": "joint"}
    whole: Joint | None = None
    for site, answer in answers.items():
        split = NUMBERS * (asked.width + 1)
        vector = vector_of(site, answer, split + asked.width)
        own = Joint(ColumnMoments.from_vector(site, vector[:split]), vector[split:])
        whole = own if whole is None else _merge(whole, own)
    if whole is None:
        raise IncompatibleSites("no site has answered")
    return whole


def _merge(one: Joint, other: Joint) -> Joint:
    """Return the joint moments of both (Chan, Golub & LeVeque 1979, for a product of two deviations)."""
    n, more = one.moments.n[-1], other.moments.n[-1]
    products = one.products + other.products
    if n and more:
        delta = other.moments.above(one.moments)
        products = products + delta[:-1] * delta[-1] * (n * (more / (n + more)))
    return Joint(one.moments.merge(other.moments), products)


def labels_of(inputs: Inputs) -> tuple[list[Any], NDArray[np.int64]]:
    """Return the different labels of this site's target, sorted, and the place of each row's label among them."""
    labels, places = np.unique(inputs.labels(), return_inverse=True)
    if len(labels) > MOST_CLASSES:
        raise DataError(f"{inputs.title} needs classes; the target has {len(labels)} different values")
    return labels.tolist(), places.ravel()


def tell_classes(_: Question, inputs: Inputs) -> Answer:
    labels, places = labels_of(inputs)
    return Answer({"classes": labels}, np.bincount(places, minlength=len(labels)).astype(np.float64))


def tell_moments_by_class(question: Question, inputs: Inputs) -> Answer:
    X, y = inputs.numbers(gaps=False), inputs.labels()
    return Answer({}, np.concatenate([ColumnMoments.of(X[y == label]).vector() for label in question["classes"]]))


def tell_sums_by_class(question: Question, inputs: Inputs) -> Answer:
    X, y = inputs.numbers(gaps=False), inputs.labels()
    if (X < 0).any():
        row, place = np.argwhere(X < 0)[0]
        raise DataError(f"{inputs.title}: row {row}, column {inputs.names[place]!r}: found a number below 0")
    return Answer({}, np.concatenate([X[y == label].sum(axis=0) for label in question["classes"]]))


def tell_joint(_: Question, inputs: Inputs) -> Answer:
    X, y = inputs.numbers(gaps=False), inputs.labels().astype(np.float64)
    both = np.column_stack([X, y])
    moments = ColumnMoments.of(both)
    centered = both - moments.mean - moments.rest
    return Answer({}, np.concatenate([moments.vector(), centered[:, :-1].T @ centered[:, -1]]))
