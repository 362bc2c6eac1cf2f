"""SGDClassifier and SGDRegressor behind the `Model` protocol, with the corrections of local training."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from ..local.fednova import flow
from ..model import Array, Capability, FitReport, LocalWork
from ..weights import Vector
from .adapters import CHUNK, LinearAdapter

SCHEDULES = ("constant", "invscaling", "optimal")
"""Values of `learning_rate` whose rates depend on the step's number alone."""


class SGDAdapter(LinearAdapter):
    """SGDClassifier and SGDRegressor: every row is a step, and a mini-batch only counts rows.

    The step counter `t_` is not an optimizer's memory but the schedule's clock: it goes on from round to round whatever
    `carry_optimizer` says, or a decaying learning rate would start anew in every round.

    A proximal term and a correction are split off (forward-backward splitting): after the rows of a mini-batch follow,
    at once, the steps that these two alone would have taken beside them, with the same rates, that of the proximal term
    implicit (see `normalize.flow`), as the rate of a schedule may begin far above 1. It differs from steps of the
    corrected gradient, row by row, by O(η²) a mini-batch. It takes one `partial_fit` a mini-batch, whose overhead of
    about 0.25 ms a class is then most of the time: larger mini-batches train faster.
    """

    _pull: "_Pull | None" = None

    @property
    def allows(self) -> frozenset[Capability]:
        """All, or nothing where the rates depend on the losses on the way."""
        if self._given.learning_rate not in SCHEDULES:
            return frozenset()
        return frozenset({"proximal", "correction", "normalizer"})

    def fit(
        self,
        X: Array,
        y: Array,
        work: LocalWork,
        rng: np.random.Generator,
        stop: Callable[[], bool],
        correction: Vector | None = None,
    ) -> FitReport:
        """Train in place through `partial_fit`. See `Model.fit`."""
        self._refuse(work, correction)
        self._pull = None
        if work.proximal or correction is not None:
            self._pull = _Pull(list(self._arrays().values()), self._parts(correction), work.proximal)
        begun = self._working.t_
        report = super().fit(X, y, work, rng, stop)
        if "normalizer" not in self.allows:
            return report
        rate = float(self._rates(1.0, 1)[0])
        rows = round(self._working.t_ - begun)
        reached = self._pull.reached if self._pull else flow(self._rates(begun, rows), 0.0)[1]
        return replace(report, normalizer=reached / rate, rate=rate)

    def carry(self, *, moments: bool = True) -> dict[str, Array]:  # noqa: ARG002
        """The schedule's clock."""
        return {"t": np.array([self._working.t_], np.float64)}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Put back what `carry` gave."""
        self._working.t_ = float(state["t"][0])

    def _prepare(self, n_features: int, rng: np.random.Generator) -> None:  # noqa: ARG002
        self._working.shuffle = False
        self._first_row(n_features)
        self._assign({name: np.zeros_like(array) for name, array in self._arrays().items()})
        self._working.t_ = 1.0

    def _chunks(self, n: int, batch: int, target: int, rng: np.random.Generator) -> Iterator[tuple[Array, int]]:
        """Epochs joined: with a step a row, partial_fit on two epochs' rows is two of them, and a call costs much.

        With a correction to follow each, single mini-batches.
        """
        if self._pull:
            for rows, _ in super()._chunks(n, batch, target, rng):
                yield from ((rows[start : start + batch], 1) for start in range(0, len(rows), batch))
            return
        joined: list[Array] = []
        steps = 0
        for rows, count in super()._chunks(n, batch, target, rng):
            joined.append(rows)
            steps += count
            if sum(map(len, joined)) + n > CHUNK:
                yield np.concatenate(joined), steps
                joined, steps = [], 0
        if joined:
            yield np.concatenate(joined), steps

    def _advance(self, X: Array, y: Array, batch: int) -> bool:
        begun = self._working.t_
        going = super()._advance(X, y, batch)
        if going and self._pull:
            self._pull(list(self._arrays().values()), self._rates(begun, len(X)))
        return going

    def _parts(self, correction: Vector | None) -> list[Array | None]:
        if correction is None:
            return [None, None]
        self.layout.check(correction)
        return list(self.layout.views(correction).values())

    def _rates(self, t: float, rows: int) -> NDArray[np.float64]:
        """The learning rates of that many steps from `t` on, as the estimator's documentation has them."""
        given, steps = self._given, t + np.arange(rows)
        match given.learning_rate:
            case "constant":
                return np.full(rows, given.eta0, np.float64)
            case "invscaling":
                return np.asarray(given.eta0 / steps**given.power_t)
        # Bottou's heuristic: the first rate is the size that weights have, √(1 / √α), whichever the loss.
        return np.asarray(1 / (given.alpha * (sqrt(sqrt(given.alpha)) / given.alpha + steps - 1)))

    def _why(self, name: str) -> str:
        return (
            f"with learning_rate={self._given.learning_rate!r} it cannot take a {name} term, which needs to know the "
            "rate of a step"
        )


class SGDRegressorAdapter(SGDAdapter):
    """SGDRegressor."""

    classifies = False


class _Pull:
    """The steps ``w <- w_start + (w - η c - w_start) / (1 + η μ)``, many at once.

    Attributes
    ----------
    reached
        How far a constant gradient would have moved the weights so far, per unit.
    """

    def __init__(self, arrays: list[Array], corrections: list[Array | None], proximal: float) -> None:
        self.start = [array.copy() for array in arrays]
        self.corrections = corrections
        self.proximal = proximal
        self.reached = 0.0

    def __call__(self, arrays: list[Array], rates: NDArray[np.float64]) -> None:
        kept, reached = flow(rates, self.proximal)
        self.reached = kept * self.reached + reached
        for array, start, correction in zip(arrays, self.start, self.corrections, strict=True):
            if self.proximal:
                array[...] = start + kept * (array - start)
            if correction is not None:
                array -= reached * correction
