"""Scores of a model on prepared data: two of its own in NumPy, any of scikit-learn's by name."""

import difflib
from collections.abc import Iterator, Sequence
from inspect import signature
from typing import Any

import numpy as np

from .model import Model
from .moments import spread_of
from .weights import Array

ROWS = 1 << 16
"""Rows that are evaluated at a time."""


def evaluate(
    model: Model, X: Array, y: Array, scorers: Sequence[str] = (), sample_weight: Array | None = None
) -> dict[str, float]:
    """Return the scores of a model.

    Parameters
    ----------
    X, y : (n, n_features) and (n,) arrays
        As for `Model.fit`; float targets mean regression.
    scorers : sequence of str
        Names of scikit-learn scorers to add, such as ``"balanced_accuracy"``; scikit-learn is imported only for these.
    sample_weight : (n,) array, above 0, or None
        How much each row counts, as scikit-learn's ``score`` takes it; a scorer that takes none counts rows.

    Returns
    -------
    dict
        Classification: ``accuracy`` and ``loss``, the mean log loss (for a model without probabilities, such as an SGD
        hinge, the share of wrong answers). Regression: ``r2`` and ``loss``, the mean squared error. NaN where a figure
        is not finite or not defined on these rows, as r2 of fewer than two rows. A model without a target: ``loss``
        alone, the mean of its `row_losses`.

    Raises ValueError: no rows, or an unknown scorer.
    """
    if len(y) == 0:
        raise ValueError("there are no rows to evaluate on")
    losses = getattr(model, "row_losses", None)
    if losses is not None:
        loss = _mean(np.concatenate([losses(block) for _, block in _blocks(X)]), sample_weight)
        return {"loss": loss if np.isfinite(loss) else float("nan")}
    with np.errstate(all="ignore"):
        figures = (_regression if y.dtype.kind == "f" else _classification)(model, X, y, sample_weight)
        if scorers:
            figures |= _by_name(model, X, y, scorers, sample_weight)
    return {name: value if np.isfinite(value) else float("nan") for name, value in figures.items()}


def _classification(model: Model, X: Array, y: Array, weight: Array | None) -> dict[str, float]:
    judged = [_judged(model, block, y[start : start + len(block)]) for start, block in _blocks(X)]
    right = _mean(np.concatenate([hits for hits, _ in judged]), weight)
    if any(logarithms is None for _, logarithms in judged):
        return {"accuracy": right, "loss": 1 - right}
    loss = -_mean(np.concatenate([logarithms for _, logarithms in judged if logarithms is not None]), weight)
    # A diverged model's NaN would count as class 0 in an argmax.
    return {"accuracy": right if np.isfinite(loss) else float("nan"), "loss": loss}


def _judged(model: Model, X: Array, y: Array) -> tuple[Array, Array | None]:
    """Return where a classifier is right, and the logarithm of the probability that it gives to the truth, if any."""
    P = model.probabilities(X)
    if P is None:
        return model.predict(X) == y, None
    chosen = P[np.arange(len(y)), y].astype(np.float64)
    # Clipped as in training, so that one sure mistake does not make the loss infinite. NaN stays NaN.
    eps = np.finfo(P.dtype).eps
    found = P.argmax(axis=1)
    # Of classes that are alike in probability, by rounding, the model may still know which it predicts.
    alike = (P.max(axis=1, keepdims=True) == P).sum(axis=1) > 1
    if alike.any():
        found[alike] = model.predict(X[alike])
    return found == y, np.log(np.clip(chosen, eps, 1 - eps))


def _blocks(X: Array) -> Iterator[tuple[int, Array]]:
    """Yield rows, which may be on disk, some at a time, each time with the place of the first."""
    yield from ((start, X[start : start + ROWS]) for start in range(0, len(X), ROWS))


def _predicted(model: Model, X: Array) -> Array:
    return np.concatenate([model.predict(block) for _, block in _blocks(X)])


def _regression(model: Model, X: Array, y: Array, weight: Array | None) -> dict[str, float]:
    y = y.astype(np.float64)
    errors = np.square(_predicted(model, X) - y)
    whole, spread = float(errors.sum() if weight is None else weight @ errors), spread_of(y, weight)
    return {"r2": 1 - whole / spread if spread > 0 else np.nan, "loss": _mean(errors, weight)}


def _mean(values: Array, weight: Array | None) -> float:
    return float(np.mean(values) if weight is None else np.average(values, weights=weight))


def _by_name(model: Model, X: Array, y: Array, scorers: Sequence[str], weight: Array | None) -> dict[str, float]:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.metrics import get_scorer

    check_scorers(scorers)
    P = model.probabilities(X[:1]) if y.dtype.kind != "f" else None
    mixin: Any = RegressorMixin if y.dtype.kind == "f" else ClassifierMixin

    class Fitted(mixin, BaseEstimator):  # type: ignore[misc]
        """The model as scikit-learn's scorers want to see it."""

        classes_ = np.arange(P.shape[1]) if P is not None else np.unique(y)

        def predict(self, X: Array) -> Array:
            return _predicted(model, X)

        def __sklearn_is_fitted__(self) -> bool:
            return True

    class WithProbabilities(Fitted):
        def predict_proba(self, X: Array) -> Array | None:
            return np.concatenate([model.probabilities(block) for _, block in _blocks(X)])

    fitted = Fitted() if P is None else WithProbabilities()
    return {name: _score(get_scorer(name), fitted, X, y, weight) for name in scorers}


def _score(scorer: Any, fitted: Any, X: Array, y: Array, weight: Array | None) -> float:
    """Return a score; NaN where it is not defined on these rows, as an area under a curve without one class."""
    takes = weight is not None and "sample_weight" in signature(scorer._score_func).parameters  # noqa: SLF001
    try:
        return float(scorer(fitted, X, y, **({"sample_weight": weight} if takes else {})))
    except ValueError:
        return float("nan")


def check_scorers(names: Sequence[str]) -> None:
    """Raise ValueError for the first name that is no scorer of scikit-learn's, suggesting the near one."""
    if not names:
        return
    from sklearn.metrics import get_scorer_names

    known = get_scorer_names()
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            guess = f"did you mean {near[0]}?" if near else f"allowed are {', '.join(known)}"
            raise ValueError(f"unknown scorer {name!r}; {guess}")
