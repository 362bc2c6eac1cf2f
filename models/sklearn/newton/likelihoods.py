"""Losses of a linear predictor, row by row, with the derivatives that Newton's method needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


class RowDerivatives(NamedTuple):
    """Of each row, shape (rows,), at its linear predictor η."""

    loss: Vector
    gradient: Vector  # by η
    curvature: Vector  # the second derivative by η
    information: Vector  # the expectation of the curvature over the target (Fisher); never below 0
    pearson: Vector  # (y - μ)² / V(μ), of which the dispersion is the mean


class Likelihood(Protocol):
    """The loss of one linear predictor a row."""

    @property
    def convex(self) -> bool:
        """Whether the loss is convex in the linear predictor, whatever the target."""
        ...

    @property
    def canonical(self) -> bool:
        """Whether curvature and information are the same."""
        ...

    @property
    def has_dispersion(self) -> bool:
        """Whether the variance has a factor that is estimated."""
        ...

    def check_targets(self, y: Vector) -> None:
        """Raise ValueError for a target outside the loss's domain, naming it."""
        ...

    def start(self, mean: float) -> float:
        """Return the η at which the mean of the targets is predicted, or one that has a finite loss."""
        ...

    def at(self, predictor: Vector, y: Vector) -> RowDerivatives:
        """Return loss and derivatives; those of a row are not finite where it has no likelihood at its η."""
        ...


@dataclass(frozen=True)
class Binomial:
    """The log loss of two classes, 0 and 1, with the logit link."""

    convex = True
    canonical = True
    has_dispersion = False

    def check_targets(self, y: Vector) -> None:
        """Class indices were checked before."""

    def start(self, mean: float) -> float:  # noqa: ARG002
        return 0.0

    def at(self, predictor: Vector, y: Vector) -> RowDerivatives:
        from scipy.special import expit

        share = expit(predictor)
        loss = np.logaddexp(0, predictor) - predictor * y
        # 1 - share would have no digits left where the share is near 1.
        curvature = np.asarray(share * expit(-predictor))
        return RowDerivatives(loss, share - y, curvature, curvature, np.zeros(len(y)))


@dataclass(frozen=True)
class Tweedie:
    """Half the deviance of the Tweedie family, whose variance is φ μ^power.

    Power 0 is the normal, 1 the Poisson, 2 the gamma, 3 the inverse Gaussian distribution (Jørgensen 1987, Exponential
    dispersion models). Its least value is 0.

    Parameters
    ----------
    power
        p of the variance.
    logarithmic
        Whether η is log μ; else it is μ.
    name
        The estimator's, for messages.
    """

    power: float
    logarithmic: bool = True
    name: str = "TweedieRegressor"

    @property
    def convex(self) -> bool:
        return 1 <= self.power <= 2 if self.logarithmic else self.power in (0, 1)

    @property
    def canonical(self) -> bool:
        return self.power == 1 if self.logarithmic else self.power == 0

    @property
    def has_dispersion(self) -> bool:
        return self.power != 1

    @property
    def any_mean(self) -> bool:
        """Whether η may be any number."""
        return self.logarithmic or self.power == 0

    def check_targets(self, y: Vector) -> None:
        if self.power <= 0:
            return
        least, allowed = float(np.min(y)), "above 0" if self.power >= 2 else "at least 0"
        if least < 0 or (self.power >= 2 and least == 0):
            power = f" with power={self.power:g}" if self.name == "TweedieRegressor" else ""
            raise ValueError(f"{self.name}{power} needs targets {allowed}, found {least:g}")

    def start(self, mean: float) -> float:
        mean = mean if mean > 0 or (self.power == 0 and not self.logarithmic) else 1.0
        return float(np.log(mean)) if self.logarithmic else mean

    def at(self, predictor: Vector, y: Vector) -> RowDerivatives:
        p = self.power
        with np.errstate(all="ignore"):
            if self.logarithmic:
                mean = np.exp(predictor)
                one, two = np.exp((1 - p) * predictor), np.exp((2 - p) * predictor)  # μ^(1-p), μ^(2-p)
                gradient, curvature, information = two - y * one, (2 - p) * two - (1 - p) * y * one, two
            else:
                mean = predictor if self.any_mean else np.where(predictor > 0, predictor, np.nan)
                one, two, zero = mean ** (1 - p), mean ** (2 - p), mean**-p
                gradient, information = one - y * zero, zero
                curvature = (1 - p) * zero + p * y * zero / mean if p else zero
            return RowDerivatives(
                self._half_deviance(mean, y, one, two), gradient, curvature, information, (y - mean) ** 2 / mean**p
            )

    def _half_deviance(self, mean: Vector, y: Vector, one: Vector, two: Vector) -> Vector:
        from scipy.special import xlogy

        p = self.power
        loss: Any  # SciPy's types have xlogy return complex numbers, too
        if p == 0:
            loss = (y - mean) ** 2 / 2
        elif p == 1:
            loss = xlogy(y, y / mean) - (y - mean)
        elif p == 2:
            loss = y / mean - 1 - np.log(y / mean)
        else:
            loss = np.maximum(y, 0) ** (2 - p) / ((1 - p) * (2 - p)) - y * one / (1 - p) + two / (2 - p)
        return np.asarray(loss, np.float64)
