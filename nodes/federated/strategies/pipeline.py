"""The parts that strategies are composed of, and their composition: screen -> clip -> weigh -> combine -> step.

Each part is a pure function or a frozen record of its parameters. Vectors are handed on in one frame: the clients'
weights, or their differences to what they started from where a part needs those (a clip) or all came as such; every
rule that combines must therefore commute with a shift of all its inputs, as means, medians and Krum do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, TypeAlias

from nervenet.models.aggregate import weighted_mean

from .contract import Contribution, Demands, Outcome, State, Vector

Screen: TypeAlias = Callable[[Sequence[Contribution]], Mapping[str, str]]
"""Names the clients to leave out, each with the reason."""

Clip: TypeAlias = Callable[[Vector], Vector]
"""Shortens a difference; may give back what it was given."""

Weigh: TypeAlias = Callable[[Sequence[Contribution]], list[float]]
"""One weight a contribution, none negative, summing to one."""


class Combine(Protocol):
    """From many vectors to one."""

    def check(self, clients: int) -> None:
        """Raise `StrategyError` for a number of vectors that its theory excludes."""
        ...

    def __call__(self, vectors: Sequence[Vector], weights: Sequence[float]) -> Vector:
        """Combine vectors of one frame; a new vector."""
        ...


class Step(Protocol):
    """From the present model and the combined updates to the next model."""

    def init(self, weights: Vector) -> State:
        """Give what is remembered before the first step."""
        ...

    def apply(self, state: State, weights: Vector, merged: Vector, *, relative: bool) -> tuple[Vector, State]:
        """Step from `weights` to, or where `relative` by, `merged`, which may be used up."""
        ...


def by_examples(contributions: Sequence[Contribution]) -> list[float]:
    """Weigh by examples: ``n_k / n`` (McMahan et al. 2017, equation 2)."""
    total = sum(c.examples for c in contributions)
    return [c.examples / total for c in contributions]


def equally(contributions: Sequence[Contribution]) -> list[float]:
    """Weigh all alike, so that nobody gains by what they claim."""
    return [1 / len(contributions)] * len(contributions)


@dataclass(frozen=True)
class Mean:
    """The weighted mean."""

    def check(self, clients: int) -> None:
        """Any number will do."""

    def __call__(self, vectors: Sequence[Vector], weights: Sequence[float]) -> Vector:
        """Give ``sum_k w_k x_k``."""
        return weighted_mean(vectors, weights)


@dataclass(frozen=True)
class Replace:
    """No server optimiser: the combined updates are the next model."""

    def init(self, weights: Vector) -> State:  # noqa: ARG002
        """Nothing to remember."""
        return {}

    def apply(self, state: State, weights: Vector, merged: Vector, *, relative: bool) -> tuple[Vector, State]:
        """Give the merged model."""
        return (weights + merged if relative else merged), state


@dataclass(frozen=True)
class Pipeline:
    """A composition of parts; federated averaging where none is given."""

    screen: Screen | None = None
    clip: Clip | None = None
    weigh: Weigh = by_examples
    combine: Combine = field(default_factory=Mean)
    step: Step = field(default_factory=Replace)

    def apply(self, state: State, weights: Vector, contributions: Sequence[Contribution]) -> Outcome:
        """Take one round's updates through all parts."""
        rejected = dict(self.screen(contributions)) if self.screen else {}
        counted = [c for c in contributions if c.client not in rejected]
        self.combine.check(len(counted))
        relative = self.clip is not None or all(c.relative for c in counted)
        vectors = [c.delta() if relative else c.weights() for c in counted]
        if self.clip is not None:
            vectors = [self.clip(vector) for vector in vectors]
        merged = self.combine(vectors, self.weigh(counted))
        after, remembered = self.step.apply(state, weights, merged, relative=relative)
        return Outcome(after, remembered, rejected=rejected)


class Composed:
    """What a strategy inherits that is a pipeline and nothing else: it only says which."""

    @property
    def demands(self) -> Demands:
        """Nothing beyond plain training."""
        return Demands()

    @cached_property
    def pipeline(self) -> Pipeline:
        """The composition."""
        return Pipeline()

    def check(self, clients: int) -> None:
        """Ask the rule that combines."""
        self.pipeline.combine.check(clients)

    def init(self, weights: Vector) -> State:
        """Ask the step."""
        return self.pipeline.step.init(weights)

    def apply(self, state: State, weights: Vector, contributions: Sequence[Contribution]) -> Outcome:
        """Take one round's updates through the pipeline."""
        return self.pipeline.apply(state, weights, contributions)


if TYPE_CHECKING:
    from .contract import Strategy

    _: Strategy = Composed()
