"""One admitted update, as it goes from the coordinator's machine to the strategy that makes a model of many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from numpy.typing import NDArray

Vector: TypeAlias = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Contribution:
    """One admitted update.

    To the coordinator's machine `body` and `base` are handles that it passes on; in the worker they are flat vectors.

    Attributes
    ----------
    client : str
    body : (parts * n,) array
        What came: the client's weights, or their difference to `base` if `relative`; then the further parts.
    base : (n,) array
        The weights that the client started from.
    examples : int
        Rows behind it.
    metrics : mapping
        What the client reported: ``loss``, ``steps``, ``probe_loss``, ``fednova_normalizer``, as far as it was asked.
    relative : bool
    staleness : int
        Steps that the global model has made since `base`; 0 in a round with a barrier.
    """

    client: str
    body: Any
    base: Any
    examples: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    relative: bool = False
    staleness: int = 0

    @property
    def first(self) -> Vector:
        """The first part as it came, (n,): the client's weights, or their difference to `base` if `relative`."""
        first: Vector = self.body[: self.base.size]
        return first

    def weights(self) -> Vector:
        """Return the client's weights, (n,): a view where they came as such."""
        return self.first + self.base if self.relative else self.first

    def delta(self) -> Vector:
        """Return the client's weights less those it started from, (n,): a view where this is what came."""
        return self.first if self.relative else self.first - self.base

    def part(self, place: int) -> Vector:
        """Return a further part, (n,): 1 is the first behind the weights."""
        size = self.base.size
        further: Vector = self.body[place * size : (place + 1) * size]
        return further
