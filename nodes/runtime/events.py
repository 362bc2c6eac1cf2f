"""The events that a node posts to its machine.

A machine is an object with `handle(event, now) -> list[Effect]`. It never waits, never reads a clock, never touches an
array: a `body` is an opaque handle that it passes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec
from nervenet.broker.messages import Message, Payload, Task

Body: TypeAlias = Any  # an array to the node, an opaque handle to a machine
Key: TypeAlias = tuple[str | int, ...]  # names a timer


class Event(msgspec.Struct, frozen=True):
    """What a machine is told."""


class Started(Event, frozen=True):
    """The node is open for business; the first event of every machine."""


class LinkUp(Event, frozen=True):
    """Both lanes to `peer` are open, and it has said who it is."""

    peer: str
    role: str
    incarnation: int


class LinkLost(Event, frozen=True):
    """The connection of `peer` has closed: its process has ended or the way to it is cut. It may come back."""

    peer: str
    reason: str


class Arrived(Event, frozen=True):
    """A message came in; `flaw` is what is wrong with the array's values, None if all are finite."""

    sender: str
    message: Message
    body: Body = None
    flaw: str | None = None
    nbytes: int = 0


class SendFailed(Event, frozen=True):
    """An outgoing message will not reach `peer`; `cause` is ``slow`` (its queue is full) or ``unreachable``."""

    peer: str
    tag: str
    round: int
    reason: str
    cause: str = "unreachable"


class StillSending(Event, frozen=True):
    """What was sent to `peer` for these rounds is still leaving this machine: its silence about them is no fault."""

    peer: str
    rounds: tuple[int, ...]


class MalformedMessage(Event, frozen=True):
    sender: str
    reason: str


class TimerFired(Event, frozen=True):
    key: Key
    due: float


class Surveyed(Event, frozen=True):
    """This site's answer to question `step` of round 0."""

    fields: Mapping[str, Any]
    body: Body
    step: int = 0


class QuestionRefused(Event, frozen=True):
    """Nobody asks such a question as number `step` of round 0, which `asker` has put to this site (empty: itself)."""

    step: int
    asker: str
    reason: str


class NextQuestion(Event, frozen=True):
    """All sites have answered the question before: this is what they are to be asked next, from the same rows."""

    step: int
    question: Mapping[str, Any]


class Agreed(Event, frozen=True):
    """Round 0 has come to its end in a run that consists of nothing else: no model is made of it."""


class ModelReady(Event, frozen=True):
    """All agree on columns, classes and scale; the model is built.

    `payload` describes its weights on the wire, `body` is their first value, or that after a `round` that a peer has
    saved, `clock` how far its learning-rate schedule had come by then. `outgoing` goes out to those who train: the
    weights with the strategy's further parts behind them. `sizes` are those of the model's arrays. `cautions` say why
    the sites, as their surveys show them, may learn little.
    """

    agreement: Mapping[str, Any]
    payload: Payload
    body: Body
    outgoing: Body = None
    sizes: tuple[int, ...] = ()
    round: int = 0
    clock: float = 0.0
    cautions: tuple[str, ...] = ()

    @property
    def decided(self) -> dict[str, Any]:
        """Return what round 0 has found the target to be, for its event: the task and, of labels, how many classes."""
        if "classes" not in self.agreement:  # as only where nothing is learned
            return {}
        classes = self.agreement["classes"]
        return {"task": "regression"} if classes is None else {"task": "classification", "classes": len(classes)}


class OutgoingModel(msgspec.Struct, frozen=True):
    """What a peer sends: the fields of an `Exchange` without its round."""

    body: Body
    payload: Payload
    mass: float = 1.0
    base: int | None = None


class Trained(Event, frozen=True):
    """Local training of (`round`, `attempt`) ended; `cancelled` if it was stopped between two mini-batches.

    `payload` describes the body where it is not just the weights. A peer's is relative to `base`, if there is one, and
    `apart` has what some neighbors get instead. `clock` is how far the learning-rate schedule of the model has come.
    """

    round: int
    attempt: int
    body: Body
    examples: int
    metrics: Mapping[str, float]
    cancelled: bool = False
    payload: Payload | None = None
    base: int | None = None
    apart: Mapping[str, OutgoingModel] = {}
    clock: float = 0.0


class Personalized(Event, frozen=True):
    """This site has a model of its own; `metrics` are of its hold-out, those of the global model ``global_…``."""

    round: int
    metrics: Mapping[str, float]


class TrainedAlone(Event, frozen=True):
    """A model of this site's rows only has been trained; None: it was cancelled."""

    round: int
    attempt: int
    body: Body


class RangeKept(Event, frozen=True):
    """What came of an array from `start` on is in vector `number`; `body` is that vector, whole or not yet."""

    number: int
    start: int
    body: Body


class RangeFolded(Event, frozen=True):
    """The range from `start` on of fold `number` is made; `rejected` says whose updates must be left out of it all."""

    number: int
    start: int
    rejected: Mapping[str, str] = {}


class Folded(Event, frozen=True):
    """The updates of (`round`, `attempt`) are the next model.

    `rejected` says whose were left out since they were at fault, `missing` whose could not be fetched, each with why.
    """

    round: int
    attempt: int
    body: Body
    outgoing: Body = None
    metrics: Mapping[str, Any] = {}
    rejected: Mapping[str, str] = {}
    missing: Mapping[str, str] = {}


class Mixed(Event, frozen=True):
    """The exchange of `round` is mixed into the model.

    `wanted` are neighbors of whose sent model the copy is lost: what they sent is relative to one that is not here.
    """

    round: int
    body: Body
    metrics: Mapping[str, Any] = {}
    wanted: tuple[str, ...] = ()
    clock: float = 0.0


class Combined(Event, frozen=True):
    """A vector has been made concurrently with training; `number` is that of the effect that asked for it."""

    number: int
    body: Body


class Parts(Event, frozen=True):
    """A vector in its parts, one behind the other; `number` is that of the effect that asked for them."""

    number: int
    bodies: tuple[Body, ...]


class Reduced(Event, frozen=True):
    """The mean of a part is made; `number` is that of the effect that asked for it."""

    number: int
    body: Body


class Evaluated(Event, frozen=True):
    """The model of `round` was measured on `which` data; `counts` of its predictions, where they were to be told."""

    round: int
    which: str
    metrics: Mapping[str, Any]
    counts: Mapping[str, Any] = {}


class Saved(Event, frozen=True):
    """The checkpoint of `round`, or what a peer keeps of it, is on the disk."""

    round: int


class WorkFailed(Event, frozen=True):
    """The worker raised while it did `kind`; `reason` is for people."""

    kind: str
    round: int
    attempt: int
    reason: str


class Ordered(Event, frozen=True):
    """What the coordinator above asks of this region: `order` is the effect that its client's machine asks for.

    `task` is the one it comes of, None where it is of none; `origin` the incarnation of the coordinator at the top.
    """

    order: Any
    task: Task | None = None
    origin: int = 0


class Gathered(Event, frozen=True):
    """The clients of a region are ready, with so many rows together."""

    clients: int
    examples: int


class Proceed(Event, frozen=True):
    """The owner asks for rounds up to and including `until`.

    `last`: and for no more, so that a node without rounds ends when its neighbors have done theirs.
    """

    until: int
    last: bool = False
