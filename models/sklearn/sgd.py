"""SGDClassifier and SGDRegressor, with the corrections of local training."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import sqrt
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from ..base import FitJob
from ..fednova import proximal_steps
from ..model import Capability, FitReport
from ..weights import Array
from .adapters import CHUNK, LinearAdapter
from .split_steps import SplitSteps

SCHEDULES = ("constant", "invscaling", "optimal")
"""Values of `learning_rate` whose rates depend on the step's number alone."""


MOST_RATES = 1 << 20
"""Learning rates that are summed at a time."""


class SGDAdapter(LinearAdapter):
    """SGDClassifier, and Perceptron, which is one of constant rate: every row is a step, and a mini-batch only counts
    rows.

    The step counter `t_` is not an optimizer's memory but the schedule's clock: it goes on from round to round whatever
    `carry_optimizer` says, or a decaying learning rate would start anew in every round.

    A proximal term and a correction are split off, see `split_steps`. That takes one `partial_fit` a mini-batch, whose
    overhead of about 0.25 ms a class is then most of the time: larger mini-batches train faster.
    """

    capabilities = frozenset(get_args(Capability))
    condition = "learning_rate constant, invscaling or optimal"
    unconditional = frozenset[Capability]({"sample_weight"})
    _split: SplitSteps | None = None

    def __init__(self, given: Any, path: str) -> None:
        super().__init__(given, path)
        if given.learning_rate not in SCHEDULES:  # the rates depend on the losses on the way
            self.capabilities = self.unconditional

    def prepare(self, n_features: int, rng: np.random.Generator) -> None:
        super().prepare(n_features, rng)
        self.working.t_ = 1.0

    def get_state(self, *, moments: bool = True) -> dict[str, Array]:  # noqa: ARG002
        return {"t": np.array([self.working.t_], np.float64)}

    def set_state(self, state: Mapping[str, Array]) -> None:
        if "t" in state:
            self.working.t_ = float(state["t"][0])

    def run(self, job: FitJob) -> FitReport:
        self._split = None
        if job.work.proximal or job.correction is not None:
            views = None if job.correction is None else self.layout.views(job.correction)
            self._split = SplitSteps(self.read(), views, job.work.proximal)
        begun = self.working.t_
        report = super().run(job)
        if "fednova_normalizer" not in self.capabilities:
            return report
        rate = float(self.rates(1.0, 1)[0])
        rows = round(self.working.t_ - begun)
        reached = self._split.reached if self._split else self._sum_of_rates(begun, rows)
        return replace(report, fednova_normalizer=reached / rate, rate=rate)

    def _sum_of_rates(self, begun: float, rows: int) -> float:
        """Return how far so many steps reach; some at a time, of a large table many times over."""
        starts = range(0, max(1, rows), MOST_RATES)
        return sum(proximal_steps(self.rates(begun + start, min(MOST_RATES, rows - start)), 0.0)[1] for start in starts)

    def chunks(self, n: int, batch: int, target: int, rng: np.random.Generator) -> Iterator[tuple[Array, int]]:
        """Yield epochs joined: with a step a row, `partial_fit` on two epochs' rows is two of them, for one overhead.

        With split steps to follow each, single mini-batches.
        """
        if self._split:
            for rows, _ in super().chunks(n, batch, target, rng):
                yield from ((rows[start : start + batch], 1) for start in range(0, len(rows), batch))
            return
        joined: list[Array] = []
        steps = 0
        for rows, count in super().chunks(n, batch, target, rng):
            joined.append(rows)
            steps += count
            if sum(map(len, joined)) + n > CHUNK:
                yield np.concatenate(joined), steps
                joined, steps = [], 0
        if joined:
            yield np.concatenate(joined), steps

    def advance(self, X: Array, y: Array, batch: int, **weights: Array) -> bool:
        begun = self.working.t_
        going = super().advance(X, y, batch, **weights)
        if going and self._split:
            self._split.follow(self.read(), self.rates(begun, len(X)))
        return going

    def rates(self, t: float, rows: int) -> NDArray[np.float64]:
        """Return the learning rates of that many steps from `t` on, as the estimator's documentation has them."""
        given, steps = self.given, t + np.arange(rows)
        match given.learning_rate:
            case "constant":
                return np.full(rows, given.eta0, np.float64)
            case "invscaling":
                return np.asarray(given.eta0 / steps**given.power_t)
        # Bottou's heuristic: the first rate is the size that weights have, √(1 / √α), whichever the loss.
        return np.asarray(1 / (given.alpha * (sqrt(sqrt(given.alpha)) / given.alpha + steps - 1)))

    def why_not(self, capability: Capability) -> str:
        """Return which schedule it is that lacks a capability, and why."""
        schedule = self.given.learning_rate
        return f"with learning_rate={schedule!r} it cannot take a {capability} term, which needs the rate of a step"


class SGDRegressorAdapter(SGDAdapter):
    """SGDRegressor."""

    classifies = False
