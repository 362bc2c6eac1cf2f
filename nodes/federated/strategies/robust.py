"""Strategies that tolerate Byzantine clients: up to f of n, each as far as its theory goes.

All but `NormBound` weigh everybody alike: with weights by examples, whoever claims more of them would gain by it. Each
takes the place of the mean, so a server optimizer can follow: parts compose (`pipeline`). What they do to vectors
stands in `nervenet.models.robust`. Updates of clients whose data differ much are far apart without any attack, and a
rule that leaves out the outlying ones then leaves out honest ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from nervenet.models import robust
from nervenet.models.aggregate import combine
from nervenet.models.robust.coordinate_wise import mean_around_median

from ...config.ranges import Count, Natural, NotNegative, Positive
from .base import StrategyError, Vector
from .pipeline import Composed, Pipeline, equally


def tolerate(rule: str, clients: int, f: int) -> None:
    """Ask the theory of a rule; its `RobustnessError` in the words that a round fails by."""
    try:
        robust.check(rule, clients, f)
    except robust.RobustnessError as error:
        raise StrategyError(str(error)) from None


# -------------------------------------------------------------------------------------------------------------- parts


@dataclass(frozen=True)
class Middle:
    """Combines by the median of each coordinate; n >= 2f + 1 for any f, so any n will do for some f."""

    def check(self, clients: int) -> None:
        """Any number will do."""

    def __call__(self, vectors: Sequence[Vector], weights: Sequence[float], start: Vector | None) -> Vector:  # noqa: ARG002
        """Give the coordinate-wise median."""
        return robust.coordinate_median(vectors)


@dataclass(frozen=True)
class Trimmed:
    """Combines by the mean of each coordinate without its f largest and f smallest values; n >= 2f + 1."""

    f: int

    def check(self, clients: int) -> None:
        """Ask the theory."""
        tolerate("trimmed mean", clients, self.f)

    def __call__(self, vectors: Sequence[Vector], weights: Sequence[float], start: Vector | None) -> Vector:  # noqa: ARG002
        """Give the trimmed mean."""
        return robust.trimmed_mean(vectors, self.f)


@dataclass(frozen=True)
class Nearest:
    """Selects the m vectors of the lowest Krum scores (None: n - f of them); n >= 2f + 3."""

    f: int
    m: int | None = None

    def check(self, clients: int) -> None:
        """Ask the theory, and whether so many can be honest."""
        rule = "krum" if self.m == 1 else "multi-krum"
        tolerate(rule, clients, self.f)
        if self.m is not None and self.m > clients - self.f:
            raise StrategyError(
                f"{rule} cannot average m = {self.m} of n = {clients}: at most n - f = {clients - self.f} are honest"
            )

    def __call__(self, vectors: Sequence[Vector]) -> Sequence[int]:
        """Rank and choose."""
        return robust.krum_order(vectors, self.f)[: self.m or len(vectors) - self.f]


@dataclass(frozen=True)
class Shortlist:
    """Selects n - 2f vectors, one after another by Krum; n >= 4f + 3. The first half of Bulyan."""

    f: int

    def check(self, clients: int) -> None:
        """Ask the theory."""
        tolerate("bulyan", clients, self.f)

    def __call__(self, vectors: Sequence[Vector]) -> Sequence[int]:
        """Choose."""
        return robust.bulyan_selection(vectors, self.f)


@dataclass(frozen=True)
class AroundMedian:
    """Combines by the mean of the values nearest to each coordinate's median, all but 2f. The second half of Bulyan."""

    f: int

    def check(self, clients: int) -> None:
        """One value at least must be left."""
        if clients <= 2 * self.f:
            raise StrategyError(f"a mean around the median without 2f = {2 * self.f} values needs more than {clients}")

    def __call__(self, vectors: Sequence[Vector], weights: Sequence[float], start: Vector | None) -> Vector:  # noqa: ARG002
        """Give the mean around the median."""
        return mean_around_median(vectors, len(vectors) - 2 * self.f)


@dataclass(frozen=True)
class Weiszfeld:
    """Combines by the geometric median; n >= 2f + 1 for any f, so any n will do for some f."""

    iterations: int = 50
    tolerance: float = 1e-6
    smoothing: float = 1e-6

    def check(self, clients: int) -> None:
        """Any number will do."""

    def __call__(self, vectors: Sequence[Vector], weights: Sequence[float], start: Vector | None) -> Vector:  # noqa: ARG002
        """Give the geometric median."""
        return robust.geometric_median(
            vectors, weights, iterations=self.iterations, tolerance=self.tolerance, smoothing=self.smoothing
        )


@dataclass(frozen=True)
class Clipped:
    """Combines by centered clipping from the present model on; n >= 2f + 1."""

    tau: float
    iterations: int = 1
    f: int = 0

    def check(self, clients: int) -> None:
        """Ask the theory."""
        tolerate("centered clipping", clients, self.f)

    def __call__(self, vectors: Sequence[Vector], weights: Sequence[float], start: Vector | None) -> Vector:  # noqa: ARG002
        """Move from the start by clipped means."""
        origin = np.zeros_like(vectors[0]) if start is None else start
        return robust.centered_clipping(vectors, origin, self.tau, self.iterations)


@dataclass(frozen=True)
class Bounded:
    """Combines by the weighted mean of differences no longer than a bound."""

    bound: float

    def check(self, clients: int) -> None:
        """Any number will do."""

    def __call__(self, vectors: Sequence[Vector], weights: Sequence[float], start: Vector | None) -> Vector:
        """Give ``s + sum_k w_k (x_k - s) min(1, bound / ||x_k - s||)``: the factors go into the weights of one sum."""
        factors = robust.clip_factors(vectors, self.bound, start)
        pulls = [weight * factor for weight, factor in zip(weights, factors.tolist(), strict=True)]
        if start is None:
            return combine(vectors, pulls)
        return combine([start, *vectors], [1 - sum(pulls), *pulls])


# --------------------------------------------------------------------------------------------------------- strategies


@dataclass(frozen=True)
class Median(Composed):
    """Median of each coordinate (Yin et al. 2018, arXiv 1803.01498).

    Bears any minority: n >= 2f + 1. Slower than the mean on skewed data, where the median client is not the mean one.
    """

    @cached_property
    def pipeline(self) -> Pipeline:
        """Median."""
        return Pipeline(weigh=equally, combine=Middle())


@dataclass(frozen=True)
class TrimmedMean(Composed):
    """Mean of each coordinate without its f smallest and f largest values (Yin et al. 2018, arXiv 1803.01498).

    Needs n >= 2f + 1 updates in every round that counts.
    """

    f: Natural = 1

    @cached_property
    def pipeline(self) -> Pipeline:
        """Trimmed mean."""
        return Pipeline(weigh=equally, combine=Trimmed(self.f))


@dataclass(frozen=True)
class Krum(Composed):
    """The one update that is nearest to its n - f - 2 nearest others (Blanchard et al. 2017, NeurIPS 30).

    Needs n >= 2f + 3. It learns from one client a round: for skewed data that is little. ``selected`` names it.
    """

    f: Natural = 1

    @cached_property
    def pipeline(self) -> Pipeline:
        """One is chosen."""
        return Pipeline(select=Nearest(self.f, 1), weigh=equally)


@dataclass(frozen=True)
class MultiKrum(Composed):
    """Mean of the m updates with the best Krum scores (Blanchard et al. 2017, NeurIPS 30).

    Needs n >= 2f + 3 and m <= n - f, which is what m is if it is left out. ``selected`` names them.
    """

    f: Natural = 1
    m: Count | None = None

    @cached_property
    def pipeline(self) -> Pipeline:
        """Some are chosen and averaged."""
        return Pipeline(select=Nearest(self.f, self.m), weigh=equally)


@dataclass(frozen=True)
class Bulyan(Composed):
    """Krum's n - 2f best, then in each coordinate the mean around the median (El Mhamdi et al. 2018, arXiv 1802.07927).

    Needs n >= 4f + 3: against attacks that hide a large change of one coordinate in a small distance. ``selected``
    names whose values were considered.
    """

    f: Natural = 1

    @cached_property
    def pipeline(self) -> Pipeline:
        """Choose, then average within each coordinate."""
        return Pipeline(select=Shortlist(self.f), weigh=equally, combine=AroundMedian(self.f))


@dataclass(frozen=True)
class GeometricMedian(Composed):
    """Point nearest to all updates: smoothed Weiszfeld algorithm (Pillutla et al. 2022, arXiv 1912.13445).

    Bears any minority: n >= 2f + 1. `smoothing` is a distance, in the unit of the weights.
    """

    iterations: Count = 50
    tolerance: NotNegative = 1e-6
    smoothing: Positive = 1e-6

    @cached_property
    def pipeline(self) -> Pipeline:
        """Geometric median."""
        return Pipeline(weigh=equally, combine=Weiszfeld(self.iterations, self.tolerance, self.smoothing))


@dataclass(frozen=True)
class CenteredClipping(Composed):
    """Mean of differences to the present model, none longer than tau (Karimireddy et al. 2021, arXiv 2012.10333).

    Needs n >= 2f + 1; f serves this check alone. `tau` is a norm in the unit of the weights: about as long as an honest
    update, which the outlier report tells. Further iterations measure from where the last one ended.
    """

    tau: Positive = 1.0
    iterations: Count = 1
    f: Natural = 1

    @cached_property
    def pipeline(self) -> Pipeline:
        """Clip and average, from the present model on."""
        return Pipeline(weigh=equally, combine=Clipped(self.tau, self.iterations, self.f))


@dataclass(frozen=True)
class NormBound(Composed):
    """Weighted mean of differences to the present model, none longer than a bound (Sun et al. 2019, arXiv 1911.07963).

    Any n. It limits what one client can do in one round and refuses nobody; by examples as federated averaging, so that
    a client pulls by its share of them times `bound` at most. By itself it stops no attack.
    """

    bound: Positive = 1.0

    @cached_property
    def pipeline(self) -> Pipeline:
        """Clip and average."""
        return Pipeline(combine=Bounded(self.bound))
