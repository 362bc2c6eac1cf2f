"""The Model protocol, what `fit` is asked to do and what it reports."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from math import isfinite, nan
from typing import Any, Literal, Protocol

import numpy as np

from .weights import Array, Layout, Vector

Dtype = Literal["float32", "float64"]

Capability = Literal["proximal", "correction", "fednova_normalizer", "sample_weight"]


MOST_NAMED = 8  # models in one message


def some_of(able: Sequence[str], near: str = "") -> str:
    """Return names of models for a message: all of a few, of many those like `near` and where all are listed."""
    if len(able) <= MOST_NAMED:
        return ", ".join(able)
    found = (get_close_matches(near, able, n=4, cutoff=0.5) if near else []) or list(able[:4])
    return f"{', '.join(found)} and {len(able) - len(found)} more (nervenet explain model.name)"


class _Refusal(TypeError):
    def __init__(self, message: str, able: Sequence[str]) -> None:
        self.able = tuple(able)
        super().__init__(f"{message}. Models that can: {some_of(able, message.partition(' ')[0])}" if able else message)


class CannotMerge(_Refusal):
    """Copies of a model cannot be averaged. `able` are the models whose copies can; the message names some of them."""

    def __init__(self, what: str, why: str, able: Sequence[str] = ()) -> None:
        super().__init__(f"{what} cannot be averaged: {why}", able)


class LocalUnsupported(_Refusal):
    """A model cannot train as a strategy asks. `able` are those that can; the message names some of them."""

    def __init__(self, what: str, why: str, able: Sequence[str] = ()) -> None:
        super().__init__(f"{what}: {why}", able)


@dataclass(frozen=True)
class LocalWork:
    """How much to train in one round."""

    epochs: int = 5  # passes over the node's rows; ignored where `local_steps` is given
    local_steps: int | None = None  # mini-batches instead of epochs
    batch_size: int = 16  # rows of a mini-batch; the last of an epoch may be smaller
    carry_optimizer: bool = False  # keep momentum or moments from the previous round instead of starting from zero
    # μ of FedProx (Li et al. 2020, arXiv 1812.06127, equation 2): the objective gains μ/2 ||w - w_start||², w_start the
    # weights at the start of the fit, and so every gradient μ (w - w_start).
    proximal: float = 0.0
    learning_rate: float | None = (
        None  # in place of the built-in network's own, above 0; other models have no use for it
    )

    def __post_init__(self) -> None:
        if self.epochs < 0 or self.batch_size < 1 or (self.local_steps is not None and self.local_steps < 0):
            raise ValueError(f"epochs and local_steps must not be negative, batch_size at least 1: {self}")
        if not (isfinite(self.proximal) and self.proximal >= 0):
            raise ValueError(f"proximal must be a number of at least 0, found {self.proximal}")
        if self.learning_rate is not None and not (isfinite(self.learning_rate) and self.learning_rate > 0):
            raise ValueError(f"learning_rate must be a number above 0, found {self.learning_rate}")

    def steps(self, rows: int) -> int:
        """Return the number of mini-batches that this is for a node with so many rows."""
        batch = min(self.batch_size, rows)
        return self.epochs * -(-rows // batch) if self.local_steps is None else self.local_steps


@dataclass(frozen=True)
class FitReport:
    """What one round of training did."""

    # Mean training loss, weighted as the rows are, over the last epoch as it ran, without the L2 term; NaN: no steps.
    loss: float
    examples: int  # rows that took part
    steps: int  # mini-batches done
    cancelled: bool  # `stop` ended it early
    # How far the steps reach, in units of `rate` (see `fednova`): a gradient g that stayed the same would move the
    # weights by -fednova_normalizer · rate · g. None where that is not so for any g, as for Adam.
    fednova_normalizer: float | None = None
    rate: float = nan  # the learning rate that belongs to it, the same on every node


class Model(Protocol):
    """A model whose copies merge by the mean of their weights. It sees scaled inputs, and classes as indices.

    `build` comes first and settles the layout; then `get_weights`, `set_weights`, `fit` and the rest may be called in
    any order. `base.FlatModel` supplies all of it but the arithmetic of one family.

    A model may also have `classifies`: True if it can only classify, False if it can only do regression. Without it,
    or with None, the targets decide. A summed one has what `is_summed` looks for.
    """

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What `fit` can do beyond plain training: `LocalWork.proximal`, `correction`, `FitReport.fednova_normalizer`,
        `sample_weight`.

        A model without this attribute can do none of them.
        """
        ...

    @property
    def dtype(self) -> Dtype:
        """Element type of the weights, and of the inputs that `fit` and `predict` take."""
        ...

    @property
    def layout(self) -> Layout:
        """Names, shapes and order of the arrays in the flat vector. Raises RuntimeError before `build`."""
        ...

    def build(self, n_features: int, n_classes: int | None, rng: np.random.Generator) -> Layout:
        """Make the weights for a task, drawing their first values from `rng`, and return their layout.

        `n_features` is the number of columns; `n_classes` the number of classes, None for regression. Raises
        ValueError for a task that the model cannot learn.
        """
        ...

    def get_weights(self) -> Vector:
        """Return a copy of the weights: a flat vector, shape (layout.size,), of `dtype`."""
        ...

    def set_weights(self, vector: Vector) -> None:
        """Copy a flat vector, shape (layout.size,), into the weights; it may be read-only.

        Raises IncompatibleWeights for another shape or dtype, and for values that are not finite.
        """
        ...

    def fit(
        self,
        X: Array,
        y: Array,
        work: LocalWork,
        rng: np.random.Generator,
        stop: Callable[[], bool],
        correction: Vector | None = None,
        sample_weight: Array | None = None,
    ) -> FitReport:
        """Train in place from the present weights, asking `stop` before each mini-batch.

        Parameters
        ----------
        X : (n, n_features) array of `dtype`
        y : (n,) array
            int64 class indices, or float targets in standardized units.
        work : LocalWork
        rng : numpy.random.Generator
            Orders the batches.
        stop : callable
            Returns true when training should end early.
        correction : (layout.size,) array of `dtype`, or None
            Added to the gradient of every step: c - c_i of SCAFFOLD (Karimireddy et al. 2020, arXiv 1910.06378,
            algorithm 1, line 10). Momentum and moments are of the corrected gradient.
        sample_weight : (n,) array of float64, or None
            How much each row counts, above 0 and 1 on average: the loss is Σ w_i l_i / Σ w_i. Given only where there
            are weights.

        Raises
        ------
        LocalUnsupported
            `work.proximal`, `correction` or `sample_weight` is asked of a model without that capability.
        """
        ...

    def predict(self, X: Array) -> Array:
        """Return class indices (int64) or targets in standardized units, shape (n,), for inputs (n, n_features)."""
        ...

    def probabilities(self, X: Array) -> Array | None:
        """Return class probabilities, shape (n, n_classes), or None for a model that has none."""
        ...

    def get_state(self, *, moments: bool = True) -> dict[str, Array]:
        """Return copies of what training carries from round to round, by name, for a checkpoint.

        Without `moments` only what is carried even where `LocalWork.carry_optimizer` is not set. The clock of a
        learning-rate schedule goes by the name ``t``: shape (1,), one more than the steps taken. It belongs to the
        weights: who receives them sets it, to a number that need not be whole.
        """
        ...

    def set_state(self, state: Mapping[str, Array]) -> None:
        """Put back what `get_state` returned, or some of it."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return ``{"name": ..., "parameters": {...}}``, JSON-able: `registry.rebuild` makes the same model of it."""
        ...


def is_summed(model: object) -> bool:
    """Whether a model's vector is what the rows of all sites add up to: it has `summed`, true; see `summed`."""
    return bool(getattr(model, "summed", False))


def in_one_round(model: object) -> bool:
    """Whether one exchange of a summed model's sums settles all: it has `one_round`, true."""
    return is_summed(model) and bool(getattr(model, "one_round", False))
