"""Messages of every node: introductions, heartbeats, departures, refusals, and reports to the launcher."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, UnsetType

from .base import (
    OLDEST,
    Base,
    Bulk,
    Count,
    Host,
    Name,
    Payload,
    Proof,
    Release,
    RunName,
    Secret,
    SocketName,
    Version,
)

__all__ = ["Goodbye", "Heartbeat", "Hello", "Receipt", "Refused", "Report", "SharedMemoryOffer"]


class Hello(Base, frozen=True, forbid_unknown_fields=False):
    """First message on each lane of each connection, and its answer; binds the lane to (node, incarnation).

    The node speaks every version of the protocol from ``oldest`` to ``version``. Nodes of all versions read it, as they
    do `Refused`: what a later one adds is passed over. ``proof`` shows that the node is of a launch (`Enrollment`).
    ``host`` names the system on which it takes vectors through shared memory.
    """

    node: Name
    role: str
    run: RunName
    incarnation: Count
    version: Version
    oldest: Version = OLDEST
    release: Release = ""
    proof: Proof = ""
    host: Host | UnsetType = UNSET


class SharedMemoryOffer(Base, frozen=True):
    """The receiver may read vectors in the sender's memory: it connects to a Unix socket, and shows the secret."""

    name: SocketName
    secret: Secret


class Heartbeat(Base, frozen=True):
    """The sender is alive and at ``round``; its bulk messages of the rounds in ``sending`` are still in transit."""

    round: Count
    state: str
    sending: tuple[Count, ...]


class Goodbye(Base, frozen=True):
    """The sender leaves voluntarily, after ``round``."""

    round: Count
    reason: str


class Refused(Base, frozen=True):
    """The message of kind ``about`` was not accepted, and why."""

    about: str
    round: Count
    code: str
    reason: str


class Report(Bulk, frozen=True):
    """A figure or a result for the launcher that must arrive: answered by the ``Receipt`` of the same ``id``."""

    kind: Literal["ready", "best", "rounds", "counts", "result"]
    id: Count
    fields: dict[str, Any]
    payload: Payload | None = None


class Receipt(Base, frozen=True):
    """The ``Report`` of this id, or the ``Decision`` of this number, has arrived."""

    id: Count
