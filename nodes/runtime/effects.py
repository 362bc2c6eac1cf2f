"""Everything a machine may ask for: the effects that a node performs over sockets, timers and one worker thread, and
that the simulator performs on virtual time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from nervenet.broker.messages import Message

from .events import Body, Event, Key

Contribution: TypeAlias = Any  # one admitted update, a `federated.strategies.Contribution`: opaque here like a body
Shares: TypeAlias = tuple[float, float]  # weight of one's own model and of the other's
Part: TypeAlias = Any  # which elements of a model: a `gossip.asynchronous.model_merge.Part`, opaque here like a body


@dataclass(frozen=True, slots=True)
class Link:
    """Dial `peer` at its addresses, by lane."""

    peer: str
    addresses: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Unlink:
    """Hang up."""

    peer: str


@dataclass(frozen=True, slots=True)
class Send:
    """Hand a message, with its array, to each of `to`; encoded once."""

    to: Sequence[str]
    message: Message
    body: Body = None


@dataclass(frozen=True, slots=True)
class SendHeartbeat:
    """Send a heartbeat; the shell adds which transfers are still on their way."""

    to: Sequence[str]
    round: int
    state: str


@dataclass(frozen=True, slots=True)
class Publish:
    """Tell whoever listens; may be lost."""

    type: str
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Fire `key` at time `at`; a timer of that key set before is replaced."""

    key: Key
    at: float


@dataclass(frozen=True, slots=True)
class CancelTimer:
    """Forget the timer `key`."""

    key: Key


@dataclass(frozen=True, slots=True)
class Survey:
    """Compute the site's statistics; answered by `Surveyed`."""


@dataclass(frozen=True, slots=True)
class ApplyAgreement:
    """Agree from the sites' surveys, or take over an agreement made elsewhere; answered by `ModelReady`.

    A peer with a `round` takes up the agreement, the model and all else that it has saved of that, and removes what it
    has saved of later ones.
    """

    surveys: Mapping[str, tuple[Mapping[str, Any], Body]] = field(default_factory=dict)
    agreement: Mapping[str, Any] | None = None
    round: int = 0


@dataclass(frozen=True, slots=True)
class Train:
    """Train from `body` (None: from where the model stands); answered by `Trained`. `evaluate` asks for the hold-out
    first.

    A client's has the `incarnation` of the coordinator that asks, and up to which round that will never
    be asked for again, `durable`: what is carried from round to round is kept accordingly. `counted` is the last round
    whose update is in the model, None: that in which it trained last.

    A peer's says whom the result will be sent to, `to`, and who of all has lost the copy of what was sent before,
    `whole`.
    """

    round: int
    attempt: int
    body: Body
    settings: Mapping[str, Any]
    evaluate: bool = False
    durable: int = 0
    incarnation: int = 0
    counted: int | None = None
    to: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CancelTraining:
    """Stop the training that runs, at the next mini-batch; `keep` the work that is done, where the task allows it."""

    keep: bool = False


@dataclass(frozen=True, slots=True)
class Personalize:
    """Load the final model and make it this site's own, as the settings ask; answered by `Personalized`."""

    round: int
    body: Body
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Fold:
    """Make the next model of `body`, the present one, and the updates, in the order given; answered by `Folded`."""

    round: int
    attempt: int
    body: Body
    contributions: Sequence[Contribution]


@dataclass(frozen=True, slots=True)
class Mix:
    """Set the model to the sum of coefficient times body, in the order given, or to what the peer's algorithm makes of
    them; answered by `Mixed`.

    `names` are whose they are. `masses` and `bases` are those of their exchanges, where any of them has one;
    `differences` those names whose body is relative to its base.
    """

    round: int
    bodies: Sequence[Body]
    coefficients: Sequence[float]
    names: Sequence[str] = ()
    masses: Sequence[float] = ()
    bases: Sequence[int | None] = ()
    differences: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Forget:
    """A neighbor has a new incarnation: drop what is remembered of the previous one."""

    peer: str


@dataclass(frozen=True, slots=True)
class Combine:
    """Sum coefficient times body, in the order given, concurrently with a training that may be running, and without
    touching the model; answered by `Combined`.
    """

    number: int
    bodies: Sequence[Body]
    coefficients: Sequence[float]


@dataclass(frozen=True, slots=True)
class Merge:
    """Merge `theirs`, that part of a model, into `mine`, concurrently with training; answered by `Combined`."""

    number: int
    mine: Body
    theirs: Body
    shares: Shares
    part: Part


@dataclass(frozen=True, slots=True)
class CopyPart:
    """Copy a part out of a model, concurrently with training; answered by `Combined`."""

    number: int
    body: Body
    part: Part


@dataclass(frozen=True, slots=True)
class Evaluate:
    """Measure the model (`body`: after loading it) on "test" or "holdout" data; answered by `Evaluated`."""

    round: int
    which: str
    body: Body = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Write all that the future depends on: `body` is the weights after `round`, `record` all the machine's memory, as
    JSON can say it, `best` the best weights so far; answered by `Saved`, or by `WorkFailed("checkpoint")`, after which
    the run goes on.
    """

    round: int
    body: Body
    record: Mapping[str, Any]
    best: Body = None


@dataclass(frozen=True, slots=True)
class SaveState:
    """Write what a peer would go on from after `round`, and remove what it has of the rounds in `forget`.

    Answered by `Saved`, or by `WorkFailed("save state")`, after which the run goes on. It is written concurrently with
    the trainings to come; the `last` before anything else is done.
    """

    round: int
    record: Mapping[str, Any]
    forget: tuple[int, ...] = ()
    last: bool = False


@dataclass(frozen=True, slots=True)
class LoadWeights:
    """Load `body` into the model, for good."""

    body: Body


@dataclass(frozen=True, slots=True)
class Completed:
    """A round is over; what its owner is told."""

    round: int
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Finish:
    """The machine has nothing more to do."""

    status: str  # completed | failed | left
    reason: str = ""


Effect: TypeAlias = (
    Link
    | Unlink
    | Send
    | SendHeartbeat
    | Publish
    | SetTimer
    | CancelTimer
    | Survey
    | ApplyAgreement
    | Train
    | CancelTraining
    | Personalize
    | Fold
    | Mix
    | Forget
    | Combine
    | Merge
    | CopyPart
    | Evaluate
    | Checkpoint
    | SaveState
    | LoadWeights
    | Completed
    | Finish
)


class Machine(Protocol):
    """Decides; see the module's docstring."""

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event at time `now` (seconds, any origin, never backwards) and say what to do."""
        ...
