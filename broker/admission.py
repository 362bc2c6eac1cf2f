"""Who may ask and publish what at a broker: by the key of a connection, and by the nodes of a launch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from .bound_sockets import BoundSockets
from .channel import Channel
from .directory import Directory
from .events import Event
from .guard.services import ServiceGuards
from .messages import Join, Leave, Message, RenewLease
from .security.memberships import Memberships
from .security.roles import wrong_member, wrong_publisher
from .sockets import Security
from .transport_events import ConnectionRefused

if TYPE_CHECKING:
    from .security.allow_list import Entry


class Admission:
    """Asked about each event, subscription and request; it remembers which runs the owners of keys have joined.

    ``refused`` is told whose event is not relayed.
    """

    def __init__(
        self,
        security: Security,
        sockets: BoundSockets,
        guards: ServiceGuards,
        directory: Directory,
        refused: Callable[[ConnectionRefused], None],
    ) -> None:
        self._security, self._sockets, self._guards = security, sockets, guards
        self._directory = directory
        self._refused = refused
        self._memberships = Memberships()

    def may_publish(self, channel: Channel, event: Event) -> bool:
        sender = self._sockets.sender("events_in", channel)
        if sender is None and self._sockets.listeners:
            return False
        refusal = _not_relayed(event, sender, self._security.enrollment.publishers, self._memberships, self._directory)
        if refusal is not None:
            self._refused(refusal)
        return refusal is None

    def may_subscribe(self, channel: Channel) -> bool:
        self._guards.drain("events_out")
        return self._sockets.sender("events_out", channel) is not None or not self._sockets.listeners

    def knows(self, sender: Entry | None) -> bool:
        """Whether the sender of a request may ask at all: with keys, it is known."""
        return sender is not None or not self._sockets.listeners

    def objection(self, message: Message, sender: Entry | None) -> str | None:
        """Return why a request is not its sender's business, or None."""
        if sender is None or (reason := _not_theirs(message, sender)) is None:
            return None
        self._sockets.listeners["directory"].refuse(sender, reason)
        return reason

    def joined(self, message: Join, sender: Entry | None) -> None:
        """Note that a sender has joined a run, and may publish for it. Without keys names come without end."""
        if sender is not None:
            self._memberships.joined(message.node, *self._security.enrollment.runs_of(message.run))


def _not_relayed(
    event: Event, sender: Entry | None, roles: Mapping[str, str], memberships: Memberships, directory: Directory
) -> ConnectionRefused | None:
    """Return why an event is not its sender's business; ``roles`` are those of a launch, whose nodes have them."""
    kind, node, role, run = event["type"], event["node"], event["role"], event["run"]
    reason = None
    if sender is not None:
        reason = wrong_publisher(sender.name, sender.roles, kind, node, role)
        reason = reason or memberships.wrong_run(node, role, run, directory.has_begun(run))
    elif roles and node not in roles:
        reason = f"{node[:64]} is no node of the run that this broker was started for"
    elif roles:
        reason = wrong_publisher(node, frozenset({roles[node]}), kind, node, role)
    if reason is None:
        return None
    key, name = ("", node[:64]) if sender is None else (sender.public, sender.name)
    return ConnectionRefused("events_in", "", key, name, f"{kind[:64]} is not relayed: {reason[:300]}")


def _not_theirs(message: Message, sender: Entry) -> str | None:
    """Return why a request is not the business of the key that it came by, or None."""
    match message:
        case Join(node=node, role=role):
            return wrong_member(sender.name, sender.roles, node, role)
        case RenewLease(node=node) | Leave(node=node) if node != sender.name:
            return f"the lease of {node} is not that of {sender.name}, whose key asks"
        case _:
            return None
