"""Strategies that tolerate Byzantine clients: up to f of n, each as far as its theory goes.

All but `NormBound` weigh everybody alike: with weights by examples, whoever claims more of them would gain by it. Each
takes the place of the mean, so a server optimizer can follow: parts compose (`pipeline`, `robust_parts`). Updates of
clients whose data differ much are far apart without any attack, and a rule that leaves out the outlying ones then
leaves out honest ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from ...config.ranges import Count, Natural, NotNegative, Positive
from . import robust_parts as parts
from .pipeline import Composed, Pipeline, equally


@dataclass(frozen=True)
class Median(Composed):
    """Median of each coordinate (Yin et al. 2018, arXiv 1803.01498).

    Tolerates any minority: n >= 2f + 1. Slower than the mean on skewed data, where the median client is not the mean.
    """

    by_coordinate: ClassVar[bool] = True

    @cached_property
    def pipeline(self) -> Pipeline:
        return Pipeline(weigh=equally, combine=parts.CoordinateMedian())


@dataclass(frozen=True)
class TrimmedMean(Composed):
    """Mean of each coordinate without its f smallest and f largest values (Yin et al. 2018, arXiv 1803.01498).

    Needs n >= 2f + 1 updates in every round that counts.
    """

    by_coordinate: ClassVar[bool] = True
    f: Natural = 1

    @cached_property
    def pipeline(self) -> Pipeline:
        return Pipeline(weigh=equally, combine=parts.Trimmed(self.f))


@dataclass(frozen=True)
class Krum(Composed):
    """The one update that is nearest to its n - f - 2 nearest others (Blanchard et al. 2017, NeurIPS 30).

    Needs n >= 2f + 3. It learns from one client a round: for skewed data that is little. ``selected`` names it.
    """

    f: Natural = 1

    @cached_property
    def pipeline(self) -> Pipeline:
        return Pipeline(select=parts.KrumSelection(self.f, 1), weigh=equally)


@dataclass(frozen=True)
class MultiKrum(Composed):
    """Mean of the m updates with the best Krum scores (Blanchard et al. 2017, NeurIPS 30).

    Needs n >= 2f + 3 and m <= n - f, which is what m is if it is left out. ``selected`` names them.
    """

    f: Natural = 1
    m: Count | None = None

    @cached_property
    def pipeline(self) -> Pipeline:
        return Pipeline(select=parts.KrumSelection(self.f, self.m), weigh=equally)


@dataclass(frozen=True)
class Bulyan(Composed):
    """Krum's n - 2f best, then in each coordinate the mean around the median (El Mhamdi et al. 2018, arXiv 1802.07927).

    Needs n >= 4f + 3: against attacks that hide a large change of one coordinate in a small distance. ``selected``
    names whose values were considered.
    """

    f: Natural = 1

    @cached_property
    def pipeline(self) -> Pipeline:
        return Pipeline(select=parts.BulyanSelection(self.f), weigh=equally, combine=parts.MeanAroundMedian(self.f))


@dataclass(frozen=True)
class GeometricMedian(Composed):
    """Point nearest to all updates: smoothed Weiszfeld algorithm (Pillutla et al. 2022, arXiv 1912.13445).

    Tolerates any minority: n >= 2f + 1. `smoothing` is a distance, in the unit of the weights.
    """

    iterations: Count = 50
    tolerance: NotNegative = 1e-6
    smoothing: Positive = 1e-6

    @cached_property
    def pipeline(self) -> Pipeline:
        return Pipeline(weigh=equally, combine=parts.Weiszfeld(self.iterations, self.tolerance, self.smoothing))


@dataclass(frozen=True)
class CenteredClipping(Composed):
    """Mean of differences to the present model, none longer than tau (Karimireddy et al. 2021, arXiv 2012.10333).

    Needs n >= 2f + 1; f serves this check alone. `tau` is a norm in the unit of the weights: about as long as an honest
    update, which the outlier report measures. Further iterations measure from where the last one ended.
    """

    tau: Positive = 1.0
    iterations: Count = 1
    f: Natural = 1

    @cached_property
    def pipeline(self) -> Pipeline:
        return Pipeline(weigh=equally, combine=parts.ClippedMean(self.tau, self.iterations, self.f))


@dataclass(frozen=True)
class NormBound(Composed):
    """Weighted mean of differences to the present model, none longer than a bound (Sun et al. 2019, arXiv 1911.07963).

    Any n. It limits what one client can do in one round and refuses nobody; by examples as federated averaging, so that
    a client pulls by its share of them times `bound` at most. By itself it stops no attack.
    """

    bound: Positive = 1.0

    @cached_property
    def pipeline(self) -> Pipeline:
        return Pipeline(combine=parts.BoundedMean(self.bound))
