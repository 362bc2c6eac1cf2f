"""Class weights of all sites: given by label, or such that the classes balance over the rows of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .agreement.questions import Answer, Question, Questions
from .data.row_weights import LARGEST, Weights
from .moments import IncompatibleSites
from .plugins import listed, suggest
from .targets import Label, checked_classes, class_indices

ClassWeight: TypeAlias = Literal["balanced"] | Mapping[str, float] | None
"""What a user says: "balanced", or a weight by label, written as text; a label that is left out has weight 1."""

ASK = "class counts"
"""What a question of round 0 asks: how many training rows of each class a site has."""


def balanced(counts: Sequence[float] | NDArray[Any]) -> tuple[float, ...]:
    """Return n / (classes x n_c) for each count n_c, n their sum: those of scikit-learn's ``class_weight="balanced"``.

    Of rows with weights the counts are sums of these, as `sklearn.utils.class_weight.compute_class_weight` has it from
    1.7 on. A class without rows, which only a hold-out has, weighs 1 and is none of the classes that are balanced.
    """
    known: NDArray[np.float64] = np.asarray(counts, np.float64)
    there = known > 0
    weights = np.ones(len(known))
    weights[there] = known.sum() / (np.count_nonzero(there) * known[there])
    return tuple(weights.tolist())


def by_label(weights: Mapping[str, float], classes: Sequence[Label]) -> tuple[float, ...]:
    """Return the weight of each class. Raises IncompatibleSites for a label that is none of them."""
    texts = [str(label) for label in classes]
    for label in weights:
        if label not in texts:
            hint, there = suggest(label, texts), listed(texts)
            raise IncompatibleSites(f"training.class_weight: no site has the class {label!r}{hint}; there are {there}")
    return tuple(float(weights.get(text, 1.0)) for text in texts)


def class_weight_questions(
    wanted: ClassWeight, classes: Sequence[Label] | None, rows: Mapping[str, int]
) -> Questions[tuple[float, ...] | None]:
    """Settle the weight of each class that was agreed on; None where no weights are `wanted`.

    `rows` are the most that each site counts for, by its name. Raises IncompatibleSites: the targets are quantities
    (`classes` None), a label is unknown, or a site has answered something else.
    """
    if wanted is None:
        return None
    if classes is None:
        raise IncompatibleSites("training.class_weight is for classification; the targets of all sites are quantities")
    if not isinstance(wanted, str):
        return by_label(wanted, classes)
    answers = yield {"ask": ASK, "classes": list(classes)}
    total: NDArray[np.float64] = np.zeros(len(classes))
    for site, answer in answers.items():
        total += _counted(site, answer, len(classes), rows.get(site))
    return balanced(total)


def count_classes(question: Question, y: NDArray[Any], weight: Weights | None) -> Answer:
    """Return a site's answer: how many of its rows each class has, and the sums of their weights if they have some."""
    classes = checked_classes(question.get("classes"))
    try:
        places = class_indices(y, classes)
    except ValueError as error:
        raise IncompatibleSites(f"this site has targets that were not agreed: {error}") from error
    counts = [np.bincount(places, of, len(classes)) for of in ((None,) if weight is None else (None, weight))]
    return Answer({}, np.concatenate(counts).astype(np.float64))


def _counted(site: str, answer: Answer, classes: int, most: int | None) -> NDArray[np.float64]:
    """Return the checked counts of a site, or sums of weights, as if it had `most` rows at most."""
    vector = answer.vector
    if vector.shape not in ((classes,), (2 * classes,)) or not ((vector >= 0) & (vector <= LARGEST * 2**53)).all():
        raise IncompatibleSites(f"site {site} has sent no count of rows for each of {classes} classes", site)
    counts, last = vector[:classes], vector[-classes:]
    rows = float(counts.sum())
    if not rows or not last.sum() or (counts != np.floor(counts)).any() or ((counts > 0) != (last > 0)).any():
        raise IncompatibleSites(f"site {site} has sent counts of classes that are none", site)
    found: NDArray[np.float64] = last * min(1.0, most / rows) if most is not None and rows > most else last
    return found
