"""Requests to a broker's directory, and its answers; an answer carries the id of its request."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from msgspec import Struct, field

from .base import Address, Addresses, Base, Count, Lane, Name, Proof, Release, Role, RunName, Seconds, Version

__all__ = [
    "BrokerInfo",
    "DialBack",
    "EventAddresses",
    "Failed",
    "GetBrokerInfo",
    "GetEventAddresses",
    "GetRoster",
    "GetSnapshot",
    "Join",
    "Joined",
    "Leave",
    "Member",
    "Ok",
    "RenewLease",
    "Roster",
    "Snapshot",
]


class _WithId(Base, frozen=True):
    lane: ClassVar[Lane] = Lane.DIRECTORY
    id: Count


class Join(_WithId, frozen=True, omit_defaults=True):
    """A node asks to join a run; the first one opens it with its configuration, ``min_nodes`` and deadline.

    With ``replace`` it takes its name from another node, even from one that answers; ``waited_s`` is for how long it
    has been waiting to learn whether that one does. ``secret`` is what only this node knows: its lease is renewed and
    ended by it alone.
    """

    run: RunName
    node: Name
    role: Role
    incarnation: Count
    pid: Count
    addresses: Addresses
    shared_config: dict[str, Any]
    min_nodes: Count
    join_deadline_s: Seconds
    replace: bool = False
    waited_s: Seconds = 0.0
    secret: Proof = ""


class Joined(_WithId, frozen=True):
    """The node has joined; it must renew its lease well within ``lease_s`` seconds."""

    events_in: str
    events_out: str
    lease_s: Seconds
    roster_version: Count


class Leave(_WithId, frozen=True, omit_defaults=True):
    """A node leaves its run voluntarily; ``secret`` is that of its `Join`."""

    run: RunName
    node: Name
    incarnation: Count
    reason: str
    secret: Proof = ""


class RenewLease(_WithId, frozen=True, omit_defaults=True):
    """A node is still alive; ``secret`` is that of its `Join`."""

    run: RunName
    node: Name
    incarnation: Count
    secret: Proof = ""


class GetRoster(_WithId, frozen=True):
    """Answered as soon as there is a roster newer than ``newer_than``, or with ``Failed`` after ``deadline_s``."""

    run: RunName
    newer_than: Count
    deadline_s: Seconds


class Member(Struct, frozen=True, forbid_unknown_fields=True):
    """One node of a roster, with its addresses by lane."""

    node: Name
    role: str
    incarnation: Count
    pid: Count
    addresses: dict[str, str]
    state: Literal["alive", "suspect", "dead"]


class Roster(_WithId, frozen=True, omit_defaults=True):
    """The members of a run, in name order; the first version is issued when the run is complete.

    ``founders`` are the members of that version, with their incarnations: any other member has joined late.
    """

    run: RunName
    version: Count
    shared_config: dict[str, Any]
    members: tuple[Member, ...]
    founders: dict[str, Count] = field(default_factory=dict)


class GetSnapshot(_WithId, frozen=True):
    """Asks for the last event of each (run, node, type, subject) whose type begins with ``prefix``."""

    prefix: str


class Snapshot(_WithId, frozen=True):
    """A part of the answer to ``GetSnapshot``; ``last`` is true on the final part."""

    events: tuple[dict[str, Any], ...]
    last: bool = True


class GetEventAddresses(_WithId, frozen=True):
    """Asks where to publish and to subscribe to events."""


class EventAddresses(_WithId, frozen=True):
    """Where to publish events (``events_in``) and to subscribe to them (``events_out``)."""

    events_in: str
    events_out: str


class GetBrokerInfo(_WithId, frozen=True):
    """Asks what the broker is, and what time it has; anybody may who may ask anything."""


class BrokerInfo(_WithId, frozen=True):
    """The versions of the protocol that the broker speaks, its release, its clock (seconds since 1970), its runs."""

    version: Version
    oldest: Version
    release: Release
    time: Seconds
    runs: Count


class DialBack(_WithId, frozen=True):
    """A node asks to be dialed at the address that it is about to tell others; answered by ``Ok`` or ``Failed``."""

    address: Address


class Ok(_WithId, frozen=True):
    """The request was carried out."""


class Failed(_WithId, frozen=True, omit_defaults=True):
    """The request was not carried out, and why; ``newest`` is the incarnation that has the name of a ``stale`` one."""

    code: str
    reason: str
    newest: Count = 0
