"""The parts that strategies are composed of: screen -> clip -> select -> weigh -> combine -> step.

Each part is a pure function or a frozen record of its parameters, and every part may be left out. Vectors are handed on
in one frame: the clients' weights, with the present model as their `start`; or, where they came as such or clients
started from different models, their differences, which start at the origin. A rule must therefore commute with a shift
of all its inputs and the start, as means, medians and Krum do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite
from typing import Any, Protocol, TypeAlias

from nervenet.models.aggregate import weighted_mean

from .base import Contribution, Outcome, State, Stateless, StrategyError, Vector

Screen: TypeAlias = Callable[[Sequence[Contribution]], Mapping[str, str]]
"""Names the clients to leave out, each with the reason."""

Clip: TypeAlias = Callable[[Sequence[Vector], Vector | None], Sequence[Vector]]
"""Shortens differences to a start (None: the origin): takes vectors and start, returns the very ones that are
short enough and new ones for the rest."""

Weigh: TypeAlias = Callable[[Sequence[Contribution]], list[float]]
"""One weight a contribution, none negative, summing to one."""


class Part(Protocol):
    """What selects or combines vectors."""

    def check(self, clients: int) -> None:
        """Raise `StrategyError` for a number of vectors that its theory excludes."""
        ...


class Select(Part, Protocol):
    def __call__(self, vectors: Sequence[Vector]) -> Sequence[int]:
        """Return the places of those that go on; who is not chosen has done nothing wrong."""
        ...


class Combine(Part, Protocol):
    def __call__(self, vectors: Sequence[Vector], weights: Sequence[float], start: Vector | None) -> Vector: ...


class Step(Protocol):
    """From the present model and the combined updates to the next model."""

    def init(self, weights: Vector) -> State:
        """Return what is remembered before the first step."""
        ...

    def apply(self, state: State, weights: Vector, merged: Vector, *, relative: bool) -> tuple[Vector, State]:
        """Step from `weights` to, or where `relative` by, `merged`, which may be used up."""
        ...


class AnyNumber:
    """A part whose theory excludes no number of vectors."""

    def check(self, clients: int) -> None:
        """Do nothing."""


def by_examples(contributions: Sequence[Contribution]) -> list[float]:
    """Weigh by examples: ``n_k / n`` (McMahan et al. 2017, equation 2)."""
    total = sum(c.examples for c in contributions)
    return [c.examples / total for c in contributions]


def equally(contributions: Sequence[Contribution]) -> list[float]:
    """Weigh all alike, so that nobody gains by what they claim."""
    return [1 / len(contributions)] * len(contributions)


@dataclass(frozen=True)
class Mean(AnyNumber):
    """Combines by the weighted mean, ``sum_k w_k x_k``."""

    def __call__(self, vectors: Sequence[Vector], weights: Sequence[float], start: Vector | None) -> Vector:  # noqa: ARG002
        return weighted_mean(vectors, weights)


@dataclass(frozen=True)
class Replace:
    """No server optimizer: the combined updates are the next model."""

    def init(self, weights: Vector) -> State:  # noqa: ARG002
        return {}

    def apply(self, state: State, weights: Vector, merged: Vector, *, relative: bool) -> tuple[Vector, State]:
        return (weights + merged if relative else merged), state


@dataclass(frozen=True)
class Pipeline:
    """A composition of parts; federated averaging where none is given."""

    screen: Screen | None = None
    clip: Clip | None = None
    select: Select | None = None
    weigh: Weigh = by_examples
    combine: Combine = field(default_factory=Mean)
    step: Step = field(default_factory=Replace)

    def check(self, clients: int) -> None:
        """Raise `StrategyError` for a number of updates that the theory of selection or combination excludes."""
        (self.select or self.combine).check(clients)

    def apply(self, state: State, weights: Vector, contributions: Sequence[Contribution]) -> Outcome:
        rejected = dict(self.screen(contributions)) if self.screen else {}
        counted = without(contributions, rejected)
        self.check(len(counted))
        relative = all(c.relative for c in counted) or any(c.staleness for c in counted)
        start = None if relative else weights
        vectors: Sequence[Vector] = [c.delta() if relative else c.weights() for c in counted]
        if self.clip is not None:
            vectors = self.clip(vectors, start)
        metrics: dict[str, Any] = {}
        if self.select is not None:
            chosen = sorted(self.select(vectors))
            counted, vectors = [counted[i] for i in chosen], [vectors[i] for i in chosen]
            metrics["selected"] = [c.client for c in counted]
        merged = self.combine(vectors, self.weigh(counted), start)
        after, remembered = self.step.apply(state, weights, merged, relative=relative)
        return Outcome(after, remembered, metrics, rejected)


def without(contributions: Sequence[Contribution], rejected: Mapping[str, str]) -> list[Contribution]:
    """Leave out rejected clients. Raises `StrategyError`, which names them, if nobody is left."""
    counted = [c for c in contributions if c.client not in rejected]
    if not counted:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in sorted(rejected.items()))
        raise StrategyError(f"no update is left to combine; {reasons}")
    return counted


def misreported(
    metric: str, contributions: Sequence[Contribution], allowed: Callable[[float], bool], what: str
) -> dict[str, str]:
    """Return the clients that did not report a finite `metric` which is allowed, each with the reason."""
    reasons = {}
    for contribution in contributions:
        value = contribution.metrics.get(metric)
        if value is None:
            reasons[contribution.client] = f"{metric} must be reported, found none"
        elif not (isfinite(value) and allowed(value)):
            reasons[contribution.client] = f"{metric} must be {what}, found {value:g}"
    return reasons


class Composed(Stateless):
    """What a strategy inherits that is a pipeline and nothing else: it only says which."""

    @cached_property
    def pipeline(self) -> Pipeline:
        """The composition; federated averaging unless a strategy says otherwise."""
        return Pipeline()

    def check(self, clients: int) -> None:
        self.pipeline.check(clients)

    def init(self, weights: Vector, population: int) -> State:  # noqa: ARG002
        return self.pipeline.step.init(weights)

    def apply(self, state: State, weights: Vector, contributions: Sequence[Contribution]) -> Outcome:
        return self.pipeline.apply(state, weights, contributions)
