"""PCA and TruncatedSVD by merging QR factors: a site tells its means and the R factor of its centered rows.

The R factor of stacked R factors is that of the stacked rows (TSQR: Demmel, Grigori, Hoemmen & Langou 2012), and the
shift between two means is one more row (Ross, Lim, Lin & Yang 2008, equation 7). The squares of the rows, which lose
half of the digits, are never formed. Whatever `svd_solver` or `algorithm` says, the result is that of the full SVD.
"""

from __future__ import annotations

from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..agreement.questions import Answer, Question, Questions
from ..moments import LARGEST, IncompatibleSites
from .answers import counts_of, vector_of
from .inputs import Inputs
from .step import Asked, ExactStep, State
from .values import numbers

Array = NDArray[np.float64]


MOST_COLUMNS = 4000
"""Of which a factor takes 64 MiB."""


class Factor(NamedTuple):
    """Rows, their means (columns,), and R (min(rows, columns), columns) with RᵀR = Σ (x - mean)(x - mean)ᵀ."""

    n: int
    mean: Array
    R: Array


class _Pca:
    def refusal(self, step: Any) -> None:
        return None

    def questions(self, step: Any, asked: Asked) -> Questions[State]:
        found = yield from factor(asked)
        most = min(found.n, asked.width)
        wanted = step.n_components
        if wanted is None:
            wanted = most - 1 if step.svd_solver == "arpack" else most
        elif wanted != "mle" and not 0 <= wanted <= most:
            raise IncompatibleSites(f"{asked.title}: n_components={wanted}; {found.n} rows of {asked.width} columns")
        singular, axes = _svd(found.R, most)
        return {"n": found.n, "mean": found.mean.tolist(), "singular": singular.tolist(), "axes": axes.tolist()} | {
            "components": _number(wanted, singular, found.n)
        }

    def restore(self, step: Any, state: State, width: int) -> Any:
        n, k = state["n"], state["components"]
        singular, axes = numbers(state["singular"]), numbers(state["axes"]).reshape(-1, width)
        variance = singular**2 / max(n - 1, 1)
        step._fit_svd_solver = "full"
        step.mean_ = numbers(state["mean"])
        step.components_ = axes[:k].copy()
        step.explained_variance_ = variance[:k].copy()
        step.explained_variance_ratio_ = (variance / variance.sum())[:k]
        step.singular_values_ = singular[:k].copy()
        step.noise_variance_ = variance[k:].mean() if k < min(n, width) else 0.0
        step.n_components_, step.n_samples_, step.n_features_in_ = k, n, width
        return step


class _TruncatedSvd:
    def refusal(self, step: Any) -> None:
        return None

    def questions(self, step: Any, asked: Asked) -> Questions[State]:
        found = yield from factor(asked)
        k = step.n_components
        if not 1 <= k <= min(found.n, asked.width):
            raise IncompatibleSites(f"{asked.title}: n_components={k}; {found.n} rows of {asked.width} columns")
        singular, axes = _svd(np.vstack([found.R, np.sqrt(found.n) * found.mean]), k)
        variance = ((found.R @ axes.T) ** 2).sum(axis=0) / found.n
        total = (found.R**2).sum() / found.n
        return {
            "axes": axes.tolist(),
            "singular": singular.tolist(),
            "variance": variance.tolist(),
            "ratio": (variance / total).tolist() if total else [None] * k,
        }

    def restore(self, step: Any, state: State, width: int) -> Any:
        step.components_ = numbers(state["axes"]).reshape(-1, width)
        step.singular_values_ = numbers(state["singular"])
        step.explained_variance_ = numbers(state["variance"])
        step.explained_variance_ratio_ = numbers(state["ratio"])
        step.n_features_in_ = width
        return step


def factor(asked: Asked) -> Questions[Factor]:
    """Ask for rows, means and R factors, and return those of all rows together."""
    if asked.width > MOST_COLUMNS:
        raise IncompatibleSites(f"{asked.title} has {asked.width} columns; factors are told of at most {MOST_COLUMNS}")
    answers = yield {"part": "factor"}
    found = [_told(site, answer, asked.width) for site, answer in answers.items()]
    whole = reduce(
        _merge, [one for one in found if one.n], Factor(0, np.zeros(asked.width), np.zeros((0, asked.width)))
    )
    if not whole.n:
        raise IncompatibleSites(f"{asked.title}: no site has rows")
    return whole


def tell_factor(_: Question, inputs: Inputs) -> Answer:
    """Return rows, means and the upper triangle of R, row by row."""
    X = inputs.numbers(gaps=False)
    if not len(X):
        return Answer({}, np.zeros(1 + X.shape[1]))
    first = X.mean(axis=0)
    mean = first + (X - first).mean(axis=0)
    R = _qr(X - mean)
    return Answer({}, np.concatenate([[float(len(X))], mean, R[np.triu_indices(len(R), m=X.shape[1])]]))


def _told(site: str, answer: Answer, width: int) -> Factor:
    if not len(answer.vector):
        raise IncompatibleSites(f"site {site} has sent no factor of its rows", site)
    n = int(counts_of(site, vector_of(site, answer, len(answer.vector))[:1])[0])
    rows = min(n, width)
    upper = np.triu_indices(rows, m=width)
    vector = vector_of(site, answer, 1 + width + len(upper[0]))
    if (np.abs(vector[1:]) > LARGEST).any():
        raise IncompatibleSites(f"site {site} has sent a mean or a factor beyond {LARGEST:g}", site)
    R = np.zeros((rows, width))
    R[upper] = vector[1 + width :]
    return Factor(n, vector[1 : 1 + width], R)


def _merge(one: Factor, other: Factor) -> Factor:
    if not one.n:
        return other
    n = one.n + other.n
    delta = other.mean - one.mean
    shift = np.sqrt(one.n * (other.n / n)) * delta
    R = _qr(np.vstack([one.R, other.R, shift]))
    return Factor(n, one.mean + delta * (other.n / n), R)


def _qr(rows: Array) -> Array:
    R: Any = np.linalg.qr(rows, mode="r")
    return np.asarray(R, np.float64)


def _svd(R: Array, most: int) -> tuple[Array, Array]:
    """Return singular values (most,) and axes (most, columns); the largest entry of each is positive, by convention."""
    from scipy.linalg import svd

    _, singular, axes = svd(R, full_matrices=len(R) < most)
    singular = np.concatenate([singular, np.zeros(max(0, most - len(singular)))])[:most]
    axes = axes[:most]
    largest = axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)]
    return singular, axes * np.where(largest < 0, -1.0, 1.0)[:, None]


def _number(wanted: Any, singular: Array, n: int) -> int:
    """Return how many components PCA keeps, for a number, a share of the variance, or "mle" (Minka 2000)."""
    variance = singular**2 / max(n - 1, 1)
    if wanted == "mle":
        from sklearn.decomposition._pca import _infer_dimension

        return int(_infer_dimension(variance, n))
    if 0 < wanted < 1:
        return int(np.searchsorted(np.cumsum(variance / variance.sum()), wanted, side="right")) + 1
    return int(wanted)


FAMILY: dict[str, ExactStep] = {"PCA": _Pca(), "TruncatedSVD": _TruncatedSvd()}
