"""What a gossip algorithm is: a small state with `init`, `outgoing` and `step`, and what its theory asks for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

import numpy as np
from nervenet.models.schedule import mean_clock
from numpy.typing import NDArray

from ...topology import Neighbors, Rows

Vector: TypeAlias = NDArray[Any]

State: TypeAlias = Mapping[str, NDArray[Any]]
"""All that an algorithm remembers from round to round, by name, numbers as 0-d arrays: a checkpoint is nothing else."""


class AlgorithmError(ValueError):
    """An algorithm where its theory excludes it: names both, and what could be."""


@dataclass(frozen=True)
class Needs:
    """What the theory of an algorithm asks for; checked before anything starts."""

    parts: tuple[str, ...] = ("weights",)  # the vectors behind one another in what is sent, each as long as the model
    mass: bool = False  # a push-sum weight travels with it (`Exchange.mass`)
    directed: bool = False  # it is sound on directed graphs
    doubly: bool = True  # needs doubly stochastic mixing; else any rows that sum to one, or with `mass` columns
    varying: bool = True  # it is sound on graphs that change from round to round
    plain: bool = False  # local steps must be plain gradient steps: no momentum, no Adam, nothing carried over
    steps: int | None = None  # the local steps that its theory has; None: any number
    compression: bool = False  # it takes ``gossip.compression``
    correction: bool = False  # it adds something to the gradients of the local steps
    reduces: bool = False  # a round is an all-reduce among all peers that are there: see `gossip.all_reduce`


@dataclass(frozen=True)
class Progress:
    """What local training has made of a model, and for whom it is meant."""

    before: Vector  # (n,)
    after: Vector
    # How far a gradient that stays the same would have moved the weights, per unit: steps times learning rate for plain
    # gradient steps. NaN where the model cannot say.
    reach: float
    to: Sequence[str]  # whom this round's graph has this peer send to, silent ones left out; in name order
    whole: Sequence[str]  # those of them without a copy of what was sent before: a difference is of no use to them
    rng: np.random.Generator  # for stochastic rounding


@dataclass(frozen=True)
class OutgoingVector:
    """What is sent: the parts behind one another, or their encoding; see `Exchange` of docs/protocol.md."""

    vector: Vector
    mass: float = 1.0
    base: int | None = None
    encoding: str = ""


@dataclass(frozen=True)
class Outgoing:
    """What a peer sends in a round: the same to all, save those that get a vector of their own.

    With a mass each receiver gets a vector of its own, and `common` is not sent.
    """

    common: OutgoingVector
    apart: Mapping[str, OutgoingVector] = field(default_factory=dict)


@dataclass(frozen=True)
class Incoming:
    """What came from a neighbor, decoded; `encoded` says that it was not whole, so that it is relative to `base`."""

    vector: Vector
    mass: float = 1.0
    base: int | None = None
    encoded: bool = False


@dataclass(frozen=True)
class Stepped:
    state: State  # to be remembered
    weights: Vector  # (n,): the new model, from which local training goes on
    wanted: tuple[str, ...] = ()  # neighbors of whose model this peer has lost the copy, and needs the whole
    metrics: Mapping[str, Any] = field(default_factory=dict)  # of the round's event


class Algorithm(ABC):
    """Learns with neighbors. A frozen dataclass whose fields are its arguments under ``[gossip]``.

    Pure: nothing that is given is modified, and the same arguments give the same bits. What is not overridden is as of
    an algorithm that remembers nothing and sends its model.
    """

    needs: ClassVar[Needs] = Needs()
    """What its theory asks for."""

    def check(self, out: Neighbors, rows: Rows) -> None:  # noqa: B027
        """Raise `AlgorithmError` for a graph (of a round), or mixing weights, beyond what `needs` can say."""

    def init(self, weights: Vector, common: Vector) -> State:  # noqa: ARG002
        """Return what is remembered before round 1.

        Parameters
        ----------
        weights : (n,) array
            What this peer starts from.
        common : (n,) array
            What the seed gives to all, from which most, or all, start.
        """
        return {}

    def correction(self, state: State) -> Vector | None:  # noqa: ARG002
        return None

    def forget(self, state: State, peer: str) -> State:  # noqa: ARG002
        """Drop what is remembered of the previous incarnation of a neighbor that has been started again."""
        return state

    def outgoing(self, state: State, progress: Progress) -> tuple[State, Outgoing]:
        """Return the next state, and what is sent after local training."""
        return state, Outgoing(OutgoingVector(progress.after))

    def clock(self, clocks: Sequence[float], weights: Sequence[float]) -> float:
        """Return how far the learning-rate schedule of a mixture has come, by the clocks and weights of its models."""
        return mean_clock(clocks, weights)

    @abstractmethod
    def step(self, state: State, mine: Vector, inbox: Mapping[str, Incoming], row: Mapping[str, float]) -> Stepped:
        """Make the next model of what came.

        Parameters
        ----------
        state
            As `outgoing` left it.
        mine : array
            The vector of this peer's own common message.
        inbox
            What came for this round, by neighbor, in name order.
        row
            The mixing weights of those neighbors and of this peer, in name order; they sum to one. This peer is the
            one that is not in `inbox`.
        """


def in_order(mine: Vector, inbox: Mapping[str, Incoming], row: Mapping[str, float]) -> tuple[list[Vector], list[float]]:
    """Return the vectors of a round, and their weights, in name order, one's own among them."""
    return [inbox[name].vector if name in inbox else mine for name in row], list(row.values())


def number(value: float) -> NDArray[Any]:
    return np.array(value, np.float64)
