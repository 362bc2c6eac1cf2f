"""Everything a machine may be told: the events that a node posts to its machine.

A machine is an object with `handle(event, now) -> list[Effect]`. It never waits, never reads a clock, never touches an
array: a `body` is an opaque handle that it passes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from nervenet.broker.messages import Message, Payload

Body: TypeAlias = Any  # an array to the node, an opaque handle to a machine
Key: TypeAlias = tuple[str | int, ...]  # names a timer


@dataclass(frozen=True, slots=True)
class Started:
    """The node is open for business; the first event of every machine."""


@dataclass(frozen=True, slots=True)
class LinkUp:
    """Both lanes to `peer` are open, and it has said who it is."""

    peer: str
    role: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class LinkLost:
    """The connection of `peer` has closed: its process has ended or the way to it is cut. It may come back."""

    peer: str
    reason: str


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message came in. `flaw` says what the shell found wrong with the array's values, None if all are finite."""

    sender: str
    message: Message
    body: Body = None
    flaw: str | None = None
    nbytes: int = 0


@dataclass(frozen=True, slots=True)
class SendFailed:
    """An outgoing message will not reach `peer`; `cause` is ``slow`` (its queue is full) or ``unreachable``."""

    peer: str
    tag: str
    round: int
    reason: str
    cause: str = "unreachable"


@dataclass(frozen=True, slots=True)
class StillSending:
    """What we sent `peer` for these rounds is still leaving this machine: its silence about them is not its fault."""

    peer: str
    rounds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MalformedMessage:
    """Something unreadable came from `sender`; it was dropped."""

    sender: str
    reason: str


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The timer `key` is due; `due` is when it should have fired."""

    key: Key
    due: float


@dataclass(frozen=True, slots=True)
class Surveyed:
    """The site's own statistics are ready."""

    fields: Mapping[str, Any]
    body: Body


@dataclass(frozen=True, slots=True)
class ModelReady:
    """All agree on columns, classes and scale; the model is built.

    `payload` describes its weights on the wire, `body` is their first value, `outgoing` what goes out to those who
    train: with further parts behind the weights, where a strategy has some. `sizes` are those of the arrays that lie
    behind one another in it. After a `round` that a peer has kept the model is that of then.
    """

    agreement: Mapping[str, Any]
    payload: Payload
    body: Body
    outgoing: Body = None
    sizes: tuple[int, ...] = ()
    round: int = 0


@dataclass(frozen=True, slots=True)
class OutgoingModel:
    """What a peer sends, as a machine sees it: the fields of an `Exchange` beside its round."""

    body: Body
    payload: Payload
    mass: float = 1.0
    base: int | None = None


@dataclass(frozen=True, slots=True)
class Trained:
    """Local training of (`round`, `attempt`) ended; `cancelled` if it was abandoned between two mini-batches.

    `payload` describes the body where it is not just the weights. Of a peer that gossips `base` goes with it, and
    `apart` has what some neighbors get instead.
    """

    round: int
    attempt: int
    body: Body
    examples: int
    metrics: Mapping[str, float]
    cancelled: bool = False
    payload: Payload | None = None
    base: int | None = None
    apart: Mapping[str, OutgoingModel] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Personalized:
    """The model of this site is its own now, as far as it was asked for; `metrics` are of its hold-out, those of the
    global model under ``global_…``.
    """

    round: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Folded:
    """The updates of (`round`, `attempt`) are the next model; `rejected` says whose were left out, and why."""

    round: int
    attempt: int
    body: Body
    outgoing: Body = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    rejected: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mixed:
    """The exchange of `round` is mixed into the model.

    `wanted` are neighbors of whose sent model the copy is lost: what they sent is relative to one that is not here.
    """

    round: int
    body: Body
    metrics: Mapping[str, Any] = field(default_factory=dict)
    wanted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Combined:
    """A vector has been made beside the training; `number` is that of the effect that asked for it."""

    number: int
    body: Body


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The model of `round` was measured on `which` data."""

    round: int
    which: str
    metrics: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Saved:
    """The checkpoint of `round`, or what a peer keeps of it, is on the disk."""

    round: int


@dataclass(frozen=True, slots=True)
class WorkFailed:
    """The worker raised while it did `kind`; `reason` is for people."""

    kind: str
    round: int
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class Proceed:
    """The owner asks for rounds up to and including `until`.

    `last`: and for no more, so that a node without rounds ends when its neighbors have done theirs.
    """

    until: int
    last: bool = False


Event: TypeAlias = (
    Started
    | LinkUp
    | LinkLost
    | Arrived
    | SendFailed
    | StillSending
    | MalformedMessage
    | TimerFired
    | Surveyed
    | ModelReady
    | Trained
    | Personalized
    | Folded
    | Mixed
    | Combined
    | Evaluated
    | Saved
    | WorkFailed
    | Proceed
)
