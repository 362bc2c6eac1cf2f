"""Every message of the protocol, one frozen class each; ``Message`` is their union.

docs/protocol.md is the normative description. A message is a header (a map of the fields below, its kind under
``t``) and, where ``payload`` is not ``None``, one array that travels beside it as raw bytes.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct

__all__ = [
    "BY_TAG",
    "CODES",
    "VERSION",
    "Accept",
    "Ack",
    "Contact",
    "Decision",
    "Declined",
    "Edge",
    "EventAddresses",
    "Exchange",
    "Failed",
    "GetEventAddresses",
    "GetModel",
    "GetPeers",
    "GetRoster",
    "GetSnapshot",
    "Goodbye",
    "Gossip",
    "Heartbeat",
    "Hello",
    "Join",
    "Joined",
    "Lane",
    "Leave",
    "Member",
    "MemberState",
    "MemberStatus",
    "Message",
    "Model",
    "Ok",
    "Payload",
    "PeerSurvey",
    "Peers",
    "Ping",
    "Propose",
    "QueryDecision",
    "Ready",
    "Receipt",
    "Refused",
    "RenewLease",
    "Report",
    "Roster",
    "Shuffle",
    "Snapshot",
    "Task",
    "Update",
    "Walk",
    "snake_case",
    "tag_of",
]

VERSION = 1
"""Version of the protocol, apart from the version of the package."""

CODES = frozenset(
    {
        *("stranger", "version", "run", "stale", "identity", "lane", "malformed", "oversize"),  # of the transport
        *("uninvited", "duplicate", "examples", "values", "payload"),  # of the rounds, beside stale
        *("rule", "layout", "dtype", "length"),  # a payload that is not what round 0 settled
        "base",  # of gossip by differences
        "busy",  # of gossip without rounds, beside stale
        *("config", "incomplete", "late", "unknown"),  # of the directory, beside version and stale
    }
)
"""Every code that a ``Refused`` or ``Failed`` may carry; docs/protocol.md says when."""

Count = Annotated[int, Meta(ge=0)]
Refutations = Annotated[int, Meta(ge=0, le=2**53)]  # counted up by who refutes, so there must be room above
Address = Annotated[str, Meta(max_length=256)]
Addresses = Annotated[dict[str, Address], Meta(max_length=4)]  # they are passed on, many in one message
Mass = Annotated[float, Meta(ge=0, le=1e300)]
Seconds = Annotated[float, Meta(ge=0)]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
RunName = Annotated[str, Meta(min_length=1, max_length=128)]
Encoding = Annotated[str, Meta(max_length=64)]
Parts = Annotated[tuple[str, ...], Meta(min_length=1, max_length=4)]


class Lane(StrEnum):
    """Which connection carries a message: what must be quick never queues behind what is large."""

    CONTROL = "control"
    BULK = "bulk"
    DIRECTORY = "directory"


def snake_case(name: str) -> str:
    """Return the wire name of a class: ``GetPeers`` is ``get_peers``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class _Base(Struct, frozen=True, tag_field="t", tag=snake_case, forbid_unknown_fields=True):
    lane: ClassVar[Lane] = Lane.CONTROL


class Payload(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Describes the one array of a message: how it is merged, of which layout, ``length`` numbers of ``dtype``.

    ``parts`` names the vectors that lie behind one another in it, each as long as the layout says, the weights first.
    With an ``encoding`` the array is bytes (``dtype`` uint8), which whoever knows the encoding turns into the parts.
    """

    rule: str
    layout: str
    dtype: Literal["float32", "float64", "uint8"]
    length: Count
    encoding: Encoding = ""
    parts: Parts = ("weights",)


# Every node


class Hello(_Base, frozen=True):
    """First message on each lane of each connection, and the answer to one; binds the lane to (node, incarnation)."""

    node: Name
    role: str
    run: RunName
    incarnation: Count
    version: Count


class Heartbeat(_Base, frozen=True):
    """I live; I am at ``round``; the bulk messages of the rounds in ``sending`` are still on their way to you."""

    round: Count
    state: str
    sending: tuple[Count, ...]


class Goodbye(_Base, frozen=True):
    """I leave of my own will, after ``round``."""

    round: Count
    reason: str


class Refused(_Base, frozen=True):
    """The message of kind ``about`` was not taken, and why."""

    about: str
    round: Count
    code: str
    reason: str


# Federated

TaskKind = Literal["survey", "train", "evaluate", "finish"]
"""What a task may ask for."""


class Ready(_Base, frozen=True):
    """A client is prepared; it holds ``examples`` rows, and can send its updates in any of these ``codecs``."""

    examples: Count
    pid: Count
    codecs: tuple[str, ...] = ()


class Task(_Base, frozen=True):
    """The coordinator asks for one piece of work, with training settings; ``deadline_s`` counts from its arrival.

    Rounds up to ``durable`` are on the coordinator's disk: it will never again ask for one of them. ``counted`` is the
    last round whose update of this client is in the model, where that matters to what it carries from round to round.
    """

    lane: ClassVar[Lane] = Lane.BULK
    round: Count
    attempt: Count
    work: TaskKind
    deadline_s: Seconds
    evaluate: bool
    settings: dict[str, Any]
    agreement: dict[str, Any] | None = None
    payload: Payload | None = None
    durable: Count = 0
    counted: Count | None = None


class Update(_Base, frozen=True):
    """A client's answer to the task of (round, attempt)."""

    lane: ClassVar[Lane] = Lane.BULK
    round: Count
    attempt: Count
    examples: Count
    metrics: dict[str, float]
    fields: dict[str, Any] | None = None
    payload: Payload | None = None


class Declined(_Base, frozen=True):
    """A client will not answer the task of (round, attempt), and why."""

    round: Count
    attempt: Count
    reason: str


# Gossip


class PeerSurvey(_Base, frozen=True):
    """The survey of one site, passed on until every peer holds it; ``origin`` is the peer it is about."""

    lane: ClassVar[Lane] = Lane.BULK
    origin: Name
    fields: dict[str, Any]
    payload: Payload


class Exchange(_Base, frozen=True, omit_defaults=True):
    """A peer's weights after its training of ``round``.

    ``mass`` is the push-sum weight that goes with them; ``base`` how many times the sender's copy, to which an encoding
    is relative, had been moved before.
    """

    lane: ClassVar[Lane] = Lane.BULK
    round: Count
    payload: Payload
    mass: Mass = 1.0
    base: Count | None = None
    degree: Count = 0


class Propose(_Base, frozen=True):
    """A peer's weights, and the proposal that both take the mean; ``number`` grows with each of the sender's."""

    lane: ClassVar[Lane] = Lane.BULK
    number: Count
    payload: Payload


class Accept(_Base, frozen=True):
    """The answer to an ``Propose``: the other's weights. It takes the mean if and when the proposer has decided so."""

    lane: ClassVar[Lane] = Lane.BULK
    number: Count
    payload: Payload


class Decision(_Base, frozen=True):
    """What the proposer of an engagement has decided: both take the mean, or neither does."""

    number: Count
    outcome: Literal["taken", "dropped", "unknown"]


class QueryDecision(_Base, frozen=True):
    """Asks the proposer of an engagement what it has decided."""

    number: Count


class Walk(_Base, frozen=True):
    """A model that walks, or a part of one, with its age in updates.

    ``part`` counts the parts of a model; ``draw`` is the seed by which its elements were sampled, 0 if they were not.
    """

    lane: ClassVar[Lane] = Lane.BULK
    age: Count
    part: Count
    draw: Count
    payload: Payload


# Gossip: membership without a master

MemberStatus = Literal["alive", "suspect", "dead", "left"]
"""What is said of a member, in the order in which it outweighs what was said before."""


class MemberState(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is known of one member: larger (incarnation, refutations, state) is newer.

    A member that hears itself called suspect or gone counts ``refutations`` up, which nobody else may. ``addresses``
    are where it is reached, by lane; empty where they go without saying. ``last`` is the last round that one who has
    left completed.
    """

    node: Name
    incarnation: Count
    state: MemberStatus
    refutations: Refutations = 0
    addresses: Addresses = {}
    last: Count = 0


class Contact(Struct, frozen=True, forbid_unknown_fields=True):
    """An entry of a partial view: where a peer is, and for how many exchanges of views it has been passed on."""

    node: Name
    incarnation: Count
    addresses: Addresses
    age: Count


class Ping(_Base, frozen=True):
    """Are you there? Or, where ``subject`` is somebody else: ask it for me. Answered by the ``Ack`` of this id."""

    id: Count
    subject: Name
    members: tuple[MemberState, ...]


class Ack(_Base, frozen=True):
    """The subject of the ``Ping`` of this id is there."""

    id: Count
    subject: Name
    members: tuple[MemberState, ...]


class Gossip(_Base, frozen=True):
    """News that would not wait for a probe; or all that the sender knows, to be answered in kind, or in answer."""

    members: tuple[MemberState, ...]
    extent: Literal["fresh", "ask", "answer"] = "fresh"


class Shuffle(_Base, frozen=True):
    """A part of the sender's view, for a part of the receiver's; ``answer`` is true on the part that comes back."""

    contacts: tuple[Contact, ...]
    answer: bool = False


class Edge(_Base, frozen=True, omit_defaults=True):
    """From ``round`` on the sender holds an edge to the receiver, one of its ``degree`` edges; 0: it holds none.

    With ``answer`` it says so in return to what the receiver has said.
    """

    round: Count
    degree: Count
    answer: bool = False


class GetPeers(_Base, frozen=True):
    """Somebody who knows only the receiver's address would join its run, and brings these terms."""

    shared_config: dict[str, Any]


class Peers(_Base, frozen=True):
    """Who is in the run, the sender among them, with whom it began, and where its events go, if anywhere."""

    members: tuple[MemberState, ...]
    founders: tuple[Name, ...]
    events_in: str = ""


class GetModel(_Base, frozen=True):
    """One who has come late asks a neighbor for its model."""


class Model(_Base, frozen=True):
    """The sender's model after ``round``, and the agreement of round 0, to start from."""

    lane: ClassVar[Lane] = Lane.BULK
    round: Count
    agreement: dict[str, Any]
    payload: Payload


# A node to its launcher


class Report(_Base, frozen=True):
    """A figure or a result that must arrive: answered by the ``Receipt`` of the same ``id``."""

    lane: ClassVar[Lane] = Lane.BULK
    kind: Literal["ready", "best", "result"]
    id: Count
    fields: dict[str, Any]
    payload: Payload | None = None


class Receipt(_Base, frozen=True):
    """The ``Report`` of this id has arrived."""

    id: Count


# Directory: requests, and answers with the request's id


class Join(_Base, frozen=True):
    """A node asks to be in a run; the first to come opens it with its terms, its ``min_nodes`` and its deadline."""

    lane: ClassVar[Lane] = Lane.DIRECTORY
    id: Count
    run: RunName
    node: Name
    role: str
    incarnation: Count
    pid: Count
    addresses: dict[str, str]
    shared_config: dict[str, Any]
    min_nodes: Count
    join_deadline_s: Seconds


class Joined(_Base, frozen=True):
    """The node is in; renew the lease well within ``lease_s`` seconds."""

    lane: ClassVar[Lane] = Lane.DIRECTORY
    id: Count
    events_in: str
    events_out: str
    lease_s: Seconds
    roster_version: Count


class Leave(_Base, frozen=True):
    """A node leaves its run of its own will."""

    lane: ClassVar[Lane] = Lane.DIRECTORY
    id: Count
    run: RunName
    node: Name
    incarnation: Count
    reason: str


class RenewLease(_Base, frozen=True):
    """A node is still there."""

    lane: ClassVar[Lane] = Lane.DIRECTORY
    id: Count
    run: RunName
    node: Name
    incarnation: Count


class GetRoster(_Base, frozen=True):
    """Answered as soon as there is a roster newer than ``newer_than``, or with ``Failed`` after ``deadline_s``."""

    lane: ClassVar[Lane] = Lane.DIRECTORY
    id: Count
    run: RunName
    newer_than: Count
    deadline_s: Seconds


class Member(Struct, frozen=True, forbid_unknown_fields=True):
    """One node of a roster: where it is, and whether it is ``alive``, ``suspect`` or ``dead``."""

    node: Name
    role: str
    incarnation: Count
    pid: Count
    addresses: dict[str, str]
    state: Literal["alive", "suspect", "dead"]


class Roster(_Base, frozen=True, omit_defaults=True):
    """Who is in a run, in name order; the first version is issued when the run is complete.

    ``founders`` are the members of that version, with their incarnations: whoever is not among them has come late.
    """

    lane: ClassVar[Lane] = Lane.DIRECTORY
    id: Count
    run: RunName
    version: Count
    shared_config: dict[str, Any]
    members: tuple[Member, ...]
    founders: dict[str, Count] = {}


class GetSnapshot(_Base, frozen=True):
    """Asks for the last event of each (run, node, type, subject) whose type begins with ``prefix``."""

    lane: ClassVar[Lane] = Lane.DIRECTORY
    id: Count
    prefix: str


class Snapshot(_Base, frozen=True):
    """A part of the answer to ``GetSnapshot``; ``last`` is true on the final part."""

    lane: ClassVar[Lane] = Lane.DIRECTORY
    id: Count
    events: tuple[dict[str, Any], ...]
    last: bool = True


class GetEventAddresses(_Base, frozen=True):
    """Asks where events go in and come out."""

    lane: ClassVar[Lane] = Lane.DIRECTORY
    id: Count


class EventAddresses(_Base, frozen=True):
    """Where events go in and come out."""

    lane: ClassVar[Lane] = Lane.DIRECTORY
    id: Count
    events_in: str
    events_out: str


class Ok(_Base, frozen=True):
    """The request of this id was carried out, and there is nothing more to say."""

    lane: ClassVar[Lane] = Lane.DIRECTORY
    id: Count


class Failed(_Base, frozen=True):
    """The request of this id was not carried out, and why."""

    lane: ClassVar[Lane] = Lane.DIRECTORY
    id: Count
    code: str
    reason: str


Message = (
    Hello | Heartbeat | Goodbye | Refused
    | Ready | Task | Update | Declined
    | PeerSurvey | Exchange | Propose | Accept | Decision | QueryDecision | Walk
    | Ping | Ack | Gossip | Shuffle | Edge | GetPeers | Peers | GetModel | Model
    | Report | Receipt
    | Join | Joined | Leave | RenewLease | GetRoster | Roster | GetSnapshot | Snapshot
    | GetEventAddresses
    | EventAddresses | Ok | Failed
)  # fmt: skip

BY_TAG: dict[str, type[Message]] = {
    snake_case(kind.__name__): kind
    for kind in (
        Hello, Heartbeat, Goodbye, Refused, Ready, Task, Update, Declined, PeerSurvey, Exchange,
        Propose, Accept, Decision, QueryDecision, Walk,
        Ping, Ack, Gossip, Shuffle, Edge, GetPeers, Peers, GetModel, Model, Report, Receipt,
        Join, Joined, Leave, RenewLease, GetRoster, Roster, GetSnapshot, Snapshot,
        GetEventAddresses,
        EventAddresses, Ok, Failed,
    )
}  # fmt: skip

_TAGS = {kind: tag for tag, kind in BY_TAG.items()}


def tag_of(message: Message | type[Message]) -> str:
    """Kind of a message as it stands on the wire, such as ``task``."""
    return _TAGS[message if isinstance(message, type) else type(message)]
