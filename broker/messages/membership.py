"""Messages by which peers keep membership without a server: SWIM, peer sampling, edge agreement, joining."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from .base import Addresses, Base, Count, Name, Refutations, Withdrawals

__all__ = [
    "Ack",
    "Contact",
    "Edge",
    "GetPeers",
    "Gossip",
    "MemberState",
    "MemberStatus",
    "Peers",
    "Ping",
    "Shuffle",
]

MemberStatus = Literal["alive", "suspect", "dead", "left"]
"""State of a member, in order of precedence: a later one overrides an earlier one."""


class MemberState(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is known of one member: larger (incarnation, refutations, state) is newer.

    A member that learns it is held suspect or dead increments ``refutations``, which nobody else may. ``addresses`` are
    by lane, empty where they are known already. ``last`` is the last round that a member that left has completed.
    """

    node: Name
    incarnation: Count
    state: MemberStatus
    refutations: Refutations = 0
    addresses: Addresses = {}
    last: Count = 0


States = Annotated[tuple[MemberState, ...], Meta(max_length=100)]


class Contact(Struct, frozen=True, forbid_unknown_fields=True):
    """An entry of a partial view: the addresses of a peer, and the number of shuffles that have passed it on."""

    node: Name
    incarnation: Count
    addresses: Addresses
    age: Count


class Ping(Base, frozen=True):
    """Is ``subject`` alive? If it is not the receiver, the receiver probes it in turn. Answered by an ``Ack``."""

    id: Count
    subject: Name
    members: States


class Ack(Base, frozen=True):
    """The subject of the ``Ping`` of this id is alive."""

    id: Count
    subject: Name
    members: States


class Gossip(Base, frozen=True):
    """Member states that do not wait for a ping, or all that the sender knows, as a question or as its answer."""

    members: States
    extent: Literal["fresh", "ask", "answer"] = "fresh"


class Shuffle(Base, frozen=True):
    """A part of the sender's view, for a part of the receiver's; ``answer`` is true on the part that comes back."""

    contacts: Annotated[tuple[Contact, ...], Meta(max_length=16)]
    answer: bool = False


class Edge(Base, frozen=True, omit_defaults=True):
    """From ``round`` on the sender holds an edge to the receiver, one of its ``degree`` edges; 0: it holds none.

    With ``answer`` it replies to the receiver's own ``Edge``. The sender has ``withdrawn`` the edge so often, and has
    ``heard`` of so many withdrawals of the receiver's: what is said without knowing of the last is not of the edge that
    the receiver holds now.
    """

    round: Count
    degree: Count
    answer: bool = False
    withdrawn: Withdrawals = 0
    heard: Withdrawals = 0


class GetPeers(Base, frozen=True):
    """A node that knows only the receiver's address wants to join its run, and states its shared configuration."""

    shared_config: dict[str, Any]


class Peers(Base, frozen=True):
    """Who is in the run, the sender included, who founded it, and where its events go, if anywhere."""

    members: States
    founders: tuple[Name, ...]
    events_in: str = ""
