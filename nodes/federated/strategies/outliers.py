"""Who is out of line: each client's difference by its length, and by its direction against the others'.

A report, and a screen for who wants to act on it. Neither is a defense: an attack that knows them stays within
(`robust` has rules with a theory); and with skewed data the client that is out of line may be the one that has
something new to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TypeAlias

import numpy as np
from nervenet.models.aggregate import combine
from nervenet.models.parallel import over_blocks
from numpy.typing import NDArray

from .base import Contribution, Vector
from .deltas import lengths, shifted

Figures: TypeAlias = NDArray[np.float64]

FEWEST = 4
"""With fewer updates nobody is flagged: who would be in line?"""

LIMIT = 3.5
"""Deviations from the median, in units of the scaled median absolute deviation (Iglewicz and Hoaglin 1993)."""

NORMAL = 1.4826
"""What a median absolute deviation is multiplied by to estimate a standard deviation."""

SMALL = 0.05
"""A deviation is not taken for smaller than this, of the median norm or in cosine: among equals anybody stands out."""

BLOCK = 8_192
"""Coordinates multiplied at a time: from 10,000 on OpenBLAS would start threads of its own for each product."""


@dataclass(frozen=True)
class Report:
    """What `outliers` finds, by client."""

    norms: Mapping[str, float]  # lengths of the differences to what the clients started from
    # Between those and the mean difference, to which each contributes no more than the median length, so that one long
    # update cannot decide what the direction is; 0 where either is zero.
    cosines: Mapping[str, float]
    flagged: Mapping[str, str]  # reasons; only of those who are out of line. Who sent NaN or infinity is here alone


def outliers(contributions: Sequence[Contribution], limit: float = LIMIT) -> Report:
    """Measure each update against the others.

    Parameters
    ----------
    contributions
        At least one; vectors of one length.
    limit
        Scaled median absolute deviations from the median beyond which a norm, above or below, or a cosine, below, is
        flagged.
    """
    measured = [(c, norm) for c, norm in zip(contributions, lengths(contributions), strict=True) if isfinite(norm)]
    finite = {c.client for c, _ in measured}
    flagged = {c.client: "its difference is not finite" for c in contributions if c.client not in finite}
    if not measured:
        return Report({}, {}, flagged)
    counted = [c for c, _ in measured]
    norms = np.array([norm for _, norm in measured])
    typical = float(np.median(norms))
    factors = typical / np.maximum(norms, typical) if typical else np.zeros(len(counted))
    mean = _mean_difference(counted, (factors / len(counted)).tolist())
    scale = norms * float(np.linalg.norm(mean))
    with np.errstate(over="ignore", invalid="ignore"):
        cosines = np.where(scale > 0, np.clip(_dots(counted, mean) / np.where(scale > 0, scale, 1), -1, 1), 0.0)
    if len(counted) >= FEWEST:
        far, aside = _deviations(norms, SMALL * typical), _deviations(cosines, SMALL)
        middle = float(np.median(cosines))
        for c, norm, cosine, length, direction in zip(counted, norms, cosines, far, aside, strict=True):
            if abs(length) > limit:
                flagged[c.client] = f"its difference has norm {norm:.4g}, and the median is {typical:.4g}"
            elif direction < -limit:
                flagged[c.client] = (
                    f"its difference has cosine {cosine:.2f} to the mean, and the median is {middle:.2f}"
                )
    names = [c.client for c in counted]
    by_norm, by_cosine = (dict(zip(names, values.tolist(), strict=True)) for values in (norms, cosines))
    return Report(by_norm, by_cosine, flagged)


@dataclass(frozen=True)
class OutOfLine:
    """A screen that leaves out whom `outliers` flags."""

    limit: float = LIMIT

    def __call__(self, contributions: Sequence[Contribution]) -> Mapping[str, str]:
        return outliers(contributions, self.limit).flagged


def _mean_difference(contributions: Sequence[Contribution], coefficients: Sequence[float]) -> Vector:
    if all(c.relative for c in contributions):
        return combine([c.first for c in contributions], coefficients)
    return shifted(np.zeros_like(contributions[0].base), contributions, coefficients)


def _dots(contributions: Sequence[Contribution], direction: Vector) -> Figures:
    """Scalar products of the differences with a direction, a block at a time; in float64, which huge values fit."""
    size, direction = direction.size, direction.astype(np.float64)
    sums = np.zeros((max(-(-size // BLOCK), 1), len(contributions)))

    def work(blocks: Iterable[slice]) -> None:
        room = np.empty(min(BLOCK, size))
        for part in blocks:
            values = room[: part.stop - part.start]
            for i, c in enumerate(contributions):
                np.subtract(c.first[part], 0 if c.relative else c.base[part], out=values, dtype=np.float64)
                sums[part.start // BLOCK, i] = np.dot(values, direction[part])

    over_blocks(work, size, BLOCK, size * len(contributions))
    dots: Figures = sums.sum(axis=0)
    return dots


def _deviations(values: Figures, least: float) -> Figures:
    around = values - np.median(values)
    deviation = max(NORMAL * float(np.median(np.abs(around))), least)
    deviations: Figures = around / deviation if deviation else around
    return deviations
