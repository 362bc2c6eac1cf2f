"""Parts of pipelines that tolerate Byzantine clients: up to f of n, each as far as its theory goes.

What they do to vectors stands in `nervenet.models.robust`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from nervenet.models import robust
from nervenet.models.aggregate import combine
from nervenet.models.robust.coordinate_wise import mean_around_median

from .base import StrategyError, Vector
from .pipeline import AnyNumber


def tolerate(rule: str, clients: int, f: int) -> None:
    """Raise `StrategyError` where the theory of a rule excludes f of so many clients."""
    try:
        robust.check(rule, clients, f)
    except robust.RobustnessError as error:
        raise StrategyError(str(error)) from None


@dataclass(frozen=True)
class CoordinateMedian(AnyNumber):
    """Combines by the median of each coordinate; n >= 2f + 1 for any f, so any n will do for some f."""

    def __call__(self, vectors: Sequence[Vector], weights: Sequence[float], start: Vector | None) -> Vector:  # noqa: ARG002
        return robust.coordinate_median(vectors)


@dataclass(frozen=True)
class Trimmed:
    """Combines by the mean of each coordinate without its f largest and f smallest values; n >= 2f + 1."""

    f: int

    def check(self, clients: int) -> None:
        tolerate("trimmed mean", clients, self.f)

    def __call__(self, vectors: Sequence[Vector], weights: Sequence[float], start: Vector | None) -> Vector:  # noqa: ARG002
        return robust.trimmed_mean(vectors, self.f)


@dataclass(frozen=True)
class KrumSelection:
    """Selects the m vectors of the lowest Krum scores (None: n - f of them); n >= 2f + 3."""

    f: int
    m: int | None = None

    def check(self, clients: int) -> None:
        rule = "krum" if self.m == 1 else "multi-krum"
        tolerate(rule, clients, self.f)
        if self.m is not None and self.m > clients - self.f:
            raise StrategyError(
                f"{rule} cannot average m = {self.m} of n = {clients}: at most n - f = {clients - self.f} are honest"
            )

    def __call__(self, vectors: Sequence[Vector]) -> Sequence[int]:
        return robust.krum_order(vectors, self.f)[: self.m or len(vectors) - self.f]


@dataclass(frozen=True)
class BulyanSelection:
    """Selects n - 2f vectors, one after another by Krum; n >= 4f + 3. The first half of Bulyan."""

    f: int

    def check(self, clients: int) -> None:
        tolerate("bulyan", clients, self.f)

    def __call__(self, vectors: Sequence[Vector]) -> Sequence[int]:
        return robust.bulyan_selection(vectors, self.f)


@dataclass(frozen=True)
class MeanAroundMedian:
    """Combines by the mean of the values nearest to each coordinate's median, all but 2f. The second half of Bulyan."""

    f: int

    def check(self, clients: int) -> None:
        if clients <= 2 * self.f:
            raise StrategyError(f"a mean around the median without 2f = {2 * self.f} values needs more than {clients}")

    def __call__(self, vectors: Sequence[Vector], weights: Sequence[float], start: Vector | None) -> Vector:  # noqa: ARG002
        return mean_around_median(vectors, len(vectors) - 2 * self.f)


@dataclass(frozen=True)
class Weiszfeld(AnyNumber):
    """Combines by the geometric median; n >= 2f + 1 for any f, so any n will do for some f."""

    iterations: int = 50
    tolerance: float = 1e-6
    smoothing: float = 1e-6

    def __call__(self, vectors: Sequence[Vector], weights: Sequence[float], start: Vector | None) -> Vector:  # noqa: ARG002
        return robust.geometric_median(
            vectors, weights, iterations=self.iterations, tolerance=self.tolerance, smoothing=self.smoothing
        )


@dataclass(frozen=True)
class ClippedMean:
    """Combines by centered clipping from the present model on; n >= 2f + 1."""

    tau: float
    iterations: int = 1
    f: int = 0

    def check(self, clients: int) -> None:
        tolerate("centered clipping", clients, self.f)

    def __call__(self, vectors: Sequence[Vector], weights: Sequence[float], start: Vector | None) -> Vector:  # noqa: ARG002
        origin = np.zeros_like(vectors[0]) if start is None else start
        return robust.centered_clipping(vectors, origin, self.tau, self.iterations)


@dataclass(frozen=True)
class BoundedMean(AnyNumber):
    """Combines by the weighted mean of differences no longer than a bound.

    Returns ``s + sum_k w_k (x_k - s) min(1, bound / ||x_k - s||)``: the factors go into the weights of one sum.
    """

    bound: float

    def __call__(self, vectors: Sequence[Vector], weights: Sequence[float], start: Vector | None) -> Vector:
        factors = robust.clip_factors(vectors, self.bound, start)
        pulls = [weight * factor for weight, factor in zip(weights, factors.tolist(), strict=True)]
        if start is None:
            return combine(vectors, pulls)
        return combine([start, *vectors], [1 - sum(pulls), *pulls])
