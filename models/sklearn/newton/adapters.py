"""Adapters of linear models that take a Newton step a round."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from ...weights import Array, Layout
from ..statistics import Arrays, Block, Shapes, StatisticsAdapter
from .inference import Inference, inference
from .likelihoods import Binomial, Tweedie
from .linear_problem import LinearProblem
from .newton_steps import best_weights, in_original_units, judge, parameter_shapes, step

_ROUNDS = "every round takes a step, until one lowers the loss by no more than rounding"


class NewtonAdapter(StatisticsAdapter):
    """A linear model whose weights minimize a mean loss over the rows of all sites. A family defines `problem`.

    The first round measures the loss at the start, every further one takes a step; see `newton_steps`.
    """

    one_round = False
    idle: ClassVar[Mapping[str, str]] = {
        "max_iter": _ROUNDS,
        "tol": _ROUNDS,
        "warm_start": "a run starts where its initial weights are",
    }

    def __init__(self, given: Any, path: str) -> None:
        super().__init__(given, path)
        self.centered = bool(given.fit_intercept)

    def problem(self, n_features: int, n_classes: int | None) -> LinearProblem:
        """Return what is minimized."""
        raise NotImplementedError

    @property
    def own_problem(self) -> LinearProblem:
        return self.problem(self.n_features, self.n_classes)

    def build(self, n_features: int, n_classes: int | None, rng: np.random.Generator) -> Layout:
        self.set_task(n_features, n_classes)
        self.own_problem.check_size(self.name)
        return super().build(n_features, n_classes, rng)

    def parameter_shapes(self, n_features: int, n_classes: int | None) -> Shapes:
        return parameter_shapes(self.problem(n_features, n_classes))

    def statistic_shapes(self, n_features: int, n_classes: int | None) -> Shapes:
        return self.problem(n_features, n_classes).sum_shapes()

    def statistics(self, block: Block, parameters: Arrays) -> Arrays:
        return self.own_problem.statistics(block.X, block.y, block.weight, parameters["theta"])

    def step(self, parameters: Arrays, sums: Arrays) -> Arrays:
        return step(self.own_problem, parameters, sums)

    def finish(self, parameters: Arrays, sums: Arrays) -> None:
        problem = self.own_problem
        theta = best_weights(parameters, judge(problem, parameters, sums))
        coef, intercept = in_original_units(problem, theta, self.center)
        self.set_line(coef, intercept, round(float(parameters["steps"][0])))

    def set_line(self, coef: Any, intercept: Any, steps: int) -> None:
        """Set what `fit` would: coefficients (outputs, features), intercepts (outputs,) and the number of steps."""
        self.working.coef_, self.working.intercept_ = coef, intercept
        self.working.n_iter_ = np.array([steps], np.int32)

    def loss(self, sums: Arrays) -> float:
        return float("nan") if sums["impossible"][0] > 0 else float(sums["loss"][0] / sums["weight"][0])

    def inference(self) -> Inference | None:
        """Return how certain the coefficients are; None before there are sums at weights that were taken."""
        if not self.begun:
            return None
        problem, parameters, sums = self.own_problem, self.parameters(), self.sums()
        judged = judge(problem, parameters, sums)
        if not judged.accepted:
            return None
        theta = best_weights(parameters, judged)
        return inference(problem, theta, self.center, judged.pooled, float(sums["pearson"][0]))


class NewtonLogisticAdapter(NewtonAdapter):
    """LogisticRegression with ``solver="newton-cholesky"``; classes that a site lacks need no care in a sum."""

    idle: ClassVar[Mapping[str, str]] = {
        **NewtonAdapter.idle,
        **dict.fromkeys(("dual", "intercept_scaling", "random_state", "n_jobs"), "the solver has no use for it"),
    }

    def build(self, n_features: int, n_classes: int | None, rng: np.random.Generator) -> Layout:
        if (n_classes or 0) > 2 and not _multinomial():
            raise ValueError(
                "LogisticRegression with solver='newton-cholesky' fits each of three or more classes against the rest "
                "in this scikit-learn, which is no one objective; from 1.6 on it does not, nor does solver='lbfgs'"
            )
        return super().build(n_features, n_classes, rng)

    def problem(self, n_features: int, n_classes: int | None) -> LinearProblem:
        given, classes = self.given, n_classes or 0
        return LinearProblem(
            Binomial() if classes == 2 else None,
            n_features,
            outputs=1 if classes == 2 else classes,
            intercept=self.centered,
            inverse_c=0.0 if given.penalty is None else 1 / given.C,
        )


def _multinomial() -> bool:
    """Whether the installed scikit-learn fits three or more classes at once with this solver."""
    import sklearn

    return tuple(int(part) for part in sklearn.__version__.split(".")[:2]) >= (1, 6)


class TweedieAdapter(NewtonAdapter):
    """TweedieRegressor; and, as that of a power, PoissonRegressor and GammaRegressor. Both solvers find the same.

    Targets are taken as they are, as their zero has a meaning, and the intercept starts where their mean is predicted.
    """

    classifies = False
    idle: ClassVar[Mapping[str, str]] = {**NewtonAdapter.idle, "solver": "all of them have the same minimum"}

    @property
    def likelihood(self) -> Tweedie:
        given = self.given
        logarithmic = given.link == "log" or (given.link == "auto" and given.power > 0)
        return Tweedie(float(given.power), logarithmic, self.name)

    def refusal(self) -> tuple[str, str] | None:
        if not self.given.fit_intercept and not self.likelihood.any_mean:
            return "fit_intercept", "without an intercept it starts at means of 0, at which no row has a likelihood"
        return super().refusal()

    def check_targets(self, y: Array) -> None:
        """Raise ValueError for targets outside the domain, before a site takes part with them."""
        self.likelihood.check_targets(np.asarray(y, np.float64))

    def problem(self, n_features: int, n_classes: int | None) -> LinearProblem:  # noqa: ARG002
        return LinearProblem(self.likelihood, n_features, intercept=self.centered, alpha=float(self.given.alpha))

    def anchor(self, rows: float, center: ArrayLike, target_center: float) -> None:
        super().anchor(rows, center, 0.0)
        if self.centered:
            self.arrays["theta"][-1] = self.likelihood.start(target_center)

    def set_line(self, coef: Any, intercept: Any, steps: int) -> None:
        self.working.coef_, self.working.intercept_, self.working.n_iter_ = coef[0], float(intercept[0]), steps
        self.working._base_loss = self.working._get_loss()  # noqa: SLF001  (what its predict asks for the link)


class PoissonAdapter(TweedieAdapter):
    """PoissonRegressor."""

    @property
    def likelihood(self) -> Tweedie:
        return Tweedie(1.0, name=self.name)


class GammaAdapter(TweedieAdapter):
    """GammaRegressor."""

    @property
    def likelihood(self) -> Tweedie:
        return Tweedie(2.0, name=self.name)
