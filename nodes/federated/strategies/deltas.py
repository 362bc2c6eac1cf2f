"""Steps from the present model along the clients' differences, in one pass over what came and without a copy of it."""

from __future__ import annotations

from collections.abc import Sequence

from nervenet.models.aggregate import combine
from nervenet.models.robust import distances_to

from .base import Contribution, Vector


def shifted(weights: Vector, contributions: Sequence[Contribution], coefficients: Sequence[float]) -> Vector:
    """Return ``x + sum_k c_k (y_k - b_k)``, (n,), a new vector in the dtype of the weights.

    x is the present model, y_k a client's weights, b_k those it started from; the coefficients, one for each of the
    contributions (at least one), may have any sign and sum.
    """
    vectors, factors = [weights], [1.0]
    places = {id(weights): 0}  # most start from the present model, and all that start from one share a term
    for contribution, coefficient in zip(contributions, coefficients, strict=True):
        vectors.append(contribution.first)
        factors.append(coefficient)
        if not contribution.relative:
            place = places.setdefault(id(contribution.base), len(vectors))
            if place == len(vectors):
                vectors.append(contribution.base)
                factors.append(0.0)
            factors[place] -= coefficient
    return combine(vectors, factors)


def lengths(contributions: Sequence[Contribution]) -> list[float]:
    """Return ``||y_k - b_k||`` for each."""
    found = [0.0] * len(contributions)
    groups: dict[int, list[int]] = {}
    for place, contribution in enumerate(contributions):
        groups.setdefault(0 if contribution.relative else id(contribution.base), []).append(place)
    for origin, places in groups.items():
        point = contributions[places[0]].base if origin else None
        distances = distances_to([contributions[place].first for place in places], point)
        for place, distance in zip(places, distances.tolist(), strict=True):
            found[place] = distance
    return found
