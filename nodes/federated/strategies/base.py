"""What a strategy is: a small state with `init` and `apply`, and what it demands of the clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeAlias

from numpy.typing import NDArray

Vector: TypeAlias = NDArray[Any]

State: TypeAlias = dict[str, NDArray[Any]]
"""All that a strategy remembers from round to round, by name: it goes into the checkpoint as it is."""


class StrategyError(ValueError):
    """A strategy that cannot do what is asked of it: names what was found and what its theory allows."""


@dataclass(frozen=True)
class Demands:
    """What a strategy asks of others."""

    # Merged into the settings of every training task: see `nervenet.models.local.LocalSettings`.
    settings: Mapping[str, Any] = field(default_factory=dict)
    # The vectors that travel together, each as long as the weights, which come first (SCAFFOLD: control variates).
    parts: tuple[str, ...] = ("weights",)
    asynchronous: bool = False  # no rounds: the model moves after every `buffer` updates, who has answered goes on
    buffer: int = 1  # updates to a step of the asynchronous kind
    max_staleness: int | None = None  # steps that the model may have moved since an update's start; else it is refused
    fednova_normalizer: bool = False  # clients must say how far their steps reach (a_i): not every optimizer can


PLAIN = Demands()
"""What federated averaging demands: nothing."""


@dataclass(frozen=True, slots=True)
class Contribution:
    """One admitted update.

    To the coordinator's machine `body` and `base` are handles that it passes on; in the worker they are flat vectors.
    """

    client: str
    body: Any  # (parts * n,): the client's weights, or their difference to `base` if `relative`; then the further parts
    base: Any  # (n,): the weights that the client started from
    examples: float  # rows behind it, or the sum of their weights where these have some
    # What the client reported: loss, steps, probe_loss, fednova_normalizer, as far as it was asked.
    metrics: Mapping[str, float] = field(default_factory=dict)
    relative: bool = False
    staleness: int = 0  # steps that the global model has made since `base`; 0 in a round with a barrier
    clock: float = 0.0  # how far the learning-rate schedule of the client's model has come

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


@dataclass(frozen=True)
class Outcome:
    weights: Vector  # (n,): the next global model, a new vector, never one that was handed in
    state: State = field(default_factory=dict)  # also new: a round that is not counted leaves nothing behind
    metrics: Mapping[str, Any] = field(default_factory=dict)  # of the event round.completed: what JSON can say
    # Clients whose update is at fault and was left out, each with the reason. Who was not chosen is not here.
    rejected: Mapping[str, str] = field(default_factory=dict)
    outgoing: tuple[Vector, ...] = ()  # the further parts that go out with the weights, in the order of `Demands.parts`


class Strategy(Protocol):
    """Makes one model of many. A frozen dataclass whose fields are its arguments under ``[federated]``.

    One whose ``by_coordinate`` is true makes each number of the next model, and of its state, of what stands in that
    place of all that it is given: a model that no message can carry is then folded range by range.
    """

    @property
    def demands(self) -> Demands:
        """What it asks of the clients."""
        ...

    def check(self, clients: int) -> None:
        """Raise `StrategyError` for a number of updates that its theory excludes; asked before anything starts."""
        ...

    def init(self, weights: Vector, population: int) -> State:
        """Return what it remembers before round 1, when all start from `weights`, (n,).

        `population` are the clients of the run, of which each round asks all or some; where there are no rounds, as
        many as are at work at a time.
        """
        ...

    def apply(self, state: State, weights: Vector, contributions: Sequence[Contribution]) -> Outcome:
        """Make the next model of `weights`, the present one, and at least one contribution, in name order.

        Runs in the worker thread, so it may take its time; it must modify nothing that it is given. Whatever it raises
        fails the round by that reason, as does a model that is not finite.

        Raises
        ------
        StrategyError
            These contributions cannot be combined: the round then fails, and is tried again, by this reason.
        """
        ...


class Stateless:
    """What strategies inherit that remember nothing, ask for plain training, and take any number of updates."""

    by_coordinate: ClassVar[bool] = False

    @property
    def demands(self) -> Demands:
        return PLAIN

    def check(self, clients: int) -> None:
        """Accept any number of updates."""

    def init(self, weights: Vector, population: int) -> State:  # noqa: ARG002
        return {}
