"""Models that learn without a target, such as clusters: nothing looks at one, and none leaves the site."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .data.data import Task
from .targets import Targets


def has_target(model: object) -> bool:
    """Whether a model learns to predict something; else its `has_target` is false."""
    return bool(getattr(model, "has_target", True))


def without_targets(
    model: object, X: Any, y: Any, task: str | None, test: tuple[Any, ...] | None
) -> tuple[Any, str | None, tuple[Any, ...] | None]:
    """Return targets, task and test set of a site as its model takes them: of one without a target zeros for each row,
    as quantities.
    """
    if has_target(model):
        return y, task, test
    quantities: Task = "regression"
    blank = None if X is None else np.zeros(_count(X))
    if test is None:
        return blank, quantities, None
    rows, _, *weight = (*test, None) if len(test) == 1 else test
    return blank, quantities, (rows, np.zeros(_count(rows)), *weight)


def decoded(model: object, preprocessing: Targets, found: NDArray[Any]) -> NDArray[Any]:
    """Return predictions as `preprocessing` has the targets; of a model without a target as they are."""
    return preprocessing.decode(found) if has_target(model) else found


def _count(X: Any) -> int:
    return int(X.shape[0]) if hasattr(X, "shape") else len(X)
