"""Everything a machine may ask for: the effects that a node performs over sockets, timers and one worker thread, and
that the simulator performs on virtual time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import msgspec
from nervenet.broker.messages import Chunk, Message, Payload

from .events import Body, Event, Key

Contribution: TypeAlias = Any  # one admitted update, a `federated.strategies.Contribution`: opaque here like a body
Shares: TypeAlias = tuple[float, float]  # weight of one's own model and of the other's
Part: TypeAlias = Any  # which elements of a model: a `gossip.asynchronous.model_merge.Part`, opaque here like a body


class Effect(msgspec.Struct, frozen=True):
    """What a machine asks for."""


class Link(Effect, frozen=True):
    """Dial `peer` at its addresses, by lane."""

    peer: str
    addresses: Mapping[str, str]


class Unlink(Effect, frozen=True):
    peer: str


class Send(Effect, frozen=True):
    """Hand a message, with its array, to each of `to`; encoded once."""

    to: Sequence[str]
    message: Message
    body: Body = None


class Announce(Effect, frozen=True):
    """Send a message whose array stays here until its receivers ask for it; `body` is that array, for the record."""

    to: Sequence[str]
    message: Message
    body: Body


class SendRange(Effect, frozen=True):
    """Send that range of an array which the message names, and describes by its payload."""

    to: str
    message: Chunk
    body: Body


class Record(Effect, frozen=True):
    """Record the message that a large array came for, now that it is all there."""

    sender: str
    message: Message
    body: Body


class SendHeartbeat(Effect, frozen=True):
    """Send a heartbeat; the node adds which transfers are still on their way."""

    to: Sequence[str]
    round: int
    state: str


class Publish(Effect, frozen=True):
    """Publish an event of this type; it may be lost."""

    type: str
    fields: Mapping[str, Any] = {}


class Pass(Effect, frozen=True):
    """Hand an event to the other half of this node: an aggregator is a client and a coordinator."""

    event: Event


class SetTimer(Effect, frozen=True):
    """Fire `key` at time `at`; a timer of that key set before is replaced."""

    key: Key
    at: float


class CancelTimer(Effect, frozen=True):
    key: Key


class Survey(Effect, frozen=True):
    """Answer a question of round 0 from the site's own rows (empty: its statistics).

    Answered by `Surveyed`, or by `QuestionRefused` where nobody asks such a question. `asker` is the node that has
    asked, by whose name a question is refused; empty for this node's own questions.
    """

    question: Mapping[str, Any] = {}
    step: int = 0
    asker: str = ""


class ApplyAgreement(Effect, frozen=True):
    """Go on with all sites' answers to question `step` of round 0, or take over an agreement made elsewhere.

    Answered by `NextQuestion` until all sites have agreed, then by `ModelReady`. With step 0 a dialog begins anew. The
    statistics of a site count for its `rows` at most, where those are given with step 0.

    A peer with a `round` resumes from the agreement, the model and all else that it has saved of that, and removes what
    it has saved of later ones.
    """

    surveys: Mapping[str, tuple[Mapping[str, Any], Body]] = {}
    rows: Mapping[str, int] = {}
    agreement: Mapping[str, Any] | None = None
    round: int = 0
    step: int = 0


class Train(Effect, frozen=True):
    """Train from `body` (None: from where the model stands); answered by `Trained`.

    A client measures the hold-out first, if `evaluate`. `incarnation` is that of the coordinator that asks, `durable`
    the last round that it will never ask for again: what is carried from round to round is kept accordingly. `counted`
    is the last round whose update is in the model, None: that in which it trained last. `clock` is how far the
    learning-rate schedule of the model has come; None: as far as it has here.

    A peer's result is sent to `to`, of whom `whole` have lost the copy of what was sent before.
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
    clock: float | None = None


class CancelTraining(Effect, frozen=True):
    """Stop the training that runs, at the next mini-batch; `keep` the work that is done, where the task allows it."""

    keep: bool = False


class Personalize(Effect, frozen=True):
    """Load the final model and make it this site's own, as the settings ask; answered by `Personalized`."""

    round: int
    body: Body
    settings: Mapping[str, Any]
    clock: float = 0.0


class TrainAlone(Effect, frozen=True):
    """Train a model of this site's rows only, for as much as `rounds` rounds; answered by `TrainedAlone`."""

    round: int
    attempt: int
    settings: Mapping[str, Any]
    rounds: int


class Fold(Effect, frozen=True):
    """Make the next model of `body`, the present one, and the updates, in the order given; answered by `Folded`."""

    round: int
    attempt: int
    body: Body
    contributions: Sequence[Contribution]


class KeepRange(Effect, frozen=True):
    """Put what has come of an array, from `start` on, into vector `number`, which `payload` describes; `RangeKept`."""

    number: int
    start: int
    body: Body
    payload: Payload


class DropVector(Effect, frozen=True):
    """Hold vector `number`, of which ranges were kept, no longer: what is missing of it will not come."""

    number: int


class FoldRange(Effect, frozen=True):
    """Make the next model from `start` on, as far as the updates' bodies reach; answered by `RangeFolded`.

    `body` is the present model, whole. Ranges of one `number` make one fold; with a new one it begins again.
    """

    number: int
    round: int
    attempt: int
    start: int
    body: Body
    contributions: Sequence[Contribution]


class CloseFold(Effect, frozen=True):
    """Take what the ranges of `number` have made for the next model; answered by `Folded`."""

    number: int
    round: int
    attempt: int


class Mix(Effect, frozen=True):
    """Set the model to what the peer's algorithm makes of the bodies; answered by `Mixed`.

    `names` are whose they are. `masses` and `bases` are those of their exchanges, where any of them has one;
    `differences` those names whose body is relative to its base. `clocks` are how
    far the learning-rate schedules of all have come, if any has.
    """

    round: int
    bodies: Sequence[Body]
    coefficients: Sequence[float]
    names: Sequence[str] = ()
    masses: Sequence[float] = ()
    bases: Sequence[int | None] = ()
    differences: frozenset[str] = frozenset()
    clocks: Sequence[float] = ()


class Split(Effect, frozen=True):
    """Cut a vector into parts, each of which ends where `ends` says; answered by `Parts`, which copy nothing."""

    number: int
    body: Body
    ends: tuple[int, ...]


class Reduce(Effect, frozen=True):
    """Take the mean of a part over peers, in the order given, by their numbers of examples; answered by `Reduced`."""

    number: int
    bodies: Sequence[Body]
    examples: Sequence[int]


class Gather(Effect, frozen=True):
    """Set a peer's model to these parts, one behind the other, and its schedule to `clock`; answered by `Mixed`."""

    round: int
    bodies: Sequence[Body]
    clock: float


class Forget(Effect, frozen=True):
    """A neighbor has a new incarnation: drop what is remembered of the previous one."""

    peer: str


class Combine(Effect, frozen=True):
    """Sum coefficient times body, in the order given, concurrently with training; answered by `Combined`."""

    number: int
    bodies: Sequence[Body]
    coefficients: Sequence[float]


class Merge(Effect, frozen=True):
    """Merge `theirs`, that part of a model, into `mine`, concurrently with training; answered by `Combined`."""

    number: int
    mine: Body
    theirs: Body
    shares: Shares
    part: Part


class CopyPart(Effect, frozen=True):
    """Copy a part out of a model, concurrently with training; answered by `Combined`."""

    number: int
    body: Body
    part: Part


class Evaluate(Effect, frozen=True):
    """Measure the model (`body`: after loading it) on "test" or "holdout" data; answered by `Evaluated`.

    `counted`: also count what a report is made of. `plain`: the model is another site's, and is taken as it came.
    """

    round: int
    which: str
    body: Body = None
    counted: bool = False
    plain: bool = False


class Checkpoint(Effect, frozen=True):
    """Write all that the future depends on; answered by `Saved`, or by `WorkFailed("checkpoint")`: the run goes on.

    `body` is the weights after `round`, `best` the best so far, `record` what the machine remembers, as JSON.
    """

    round: int
    body: Body
    record: Mapping[str, Any]
    best: Body = None


class SaveState(Effect, frozen=True):
    """Write what a peer would go on from after `round`, and remove what it has of the rounds in `forget`.

    Answered by `Saved`, or by `WorkFailed("save state")`, after which the run goes on. It is written concurrently with
    the trainings to come; the `last` before anything else is done.
    """

    round: int
    record: Mapping[str, Any]
    forget: tuple[int, ...] = ()
    last: bool = False


class LoadWeights(Effect, frozen=True):
    body: Body
    clock: float | None = None


class Completed(Effect, frozen=True):
    """A round is over; `fields` are its report to the owner, `metrics` what its model was found to be on which rows."""

    round: int
    fields: Mapping[str, Any]
    metrics: Mapping[str, Mapping[str, Any]] = {}


class Finish(Effect, frozen=True):
    """The machine has nothing more to do."""

    status: str  # completed | failed | left
    reason: str = ""


class Machine(Protocol):
    """Decides what to do; see `events`."""

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event at time `now` (seconds, any origin, never backwards), and return what to do."""
        ...
