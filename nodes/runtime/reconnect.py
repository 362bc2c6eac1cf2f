"""How a node reconnects to another that may die, and be started again somewhere else."""

from __future__ import annotations

from collections.abc import Callable
from random import SystemRandom

from nervenet.broker import transport as t
from nervenet.broker.errors import BadAddress
from nervenet.broker.lease import Lease
from nervenet.broker.messages import Member, Roster

# Seconds. At first the link is given time to come up without a question to the broker; after a loss, those who lost it
# together do not all ask together.
FIRST_S = 1.0
SPREAD_S = 0.2
_CHANCE = SystemRandom()


class Reconnector:
    """Dials one peer, and again when a newer roster says that it is elsewhere or has been started again.

    When the link is lost ZeroMQ dials the same address by itself, and the broker is asked for newer rosters until there
    is a link once more.
    `roster` is to be called with the lease's rosters, and `heard` with the transport's events.
    """

    def __init__(self, transport: t.Transport, lease: Lease, peer: Member, warn: Callable[[str], None]) -> None:
        self.peer = peer
        self._transport = transport
        self._lease = lease
        self._warn = warn
        self._up: int | None = None  # the incarnation to which there is a link
        self._dial()
        lease.watch(FIRST_S)

    def heard(self, item: t.Arrival | t.TransportEvent) -> None:
        match item:
            case t.LinkUp(peer, _, incarnation, True) if peer == self.peer.node:
                self._up = incarnation
                # An answer of a previous incarnation does not end the search while the roster knows of a newer one.
                if incarnation >= self.peer.incarnation:
                    self._lease.unwatch()
            case t.LinkLost(peer) if peer == self.peer.node:
                self._up = None
                self._lease.watch(_CHANCE.uniform(0.0, SPREAD_S))

    def roster(self, roster: Roster) -> None:
        found = next((member for member in roster.members if member.node == self.peer.node), None)
        if found is None or found.incarnation <= self.peer.incarnation:
            return
        self.peer = found
        if self._up != found.incarnation:  # at the same address ZeroMQ may have been quicker
            self._up = None
            self._transport.unlink(found.node)
            self._dial()

    def _dial(self) -> None:
        try:
            self._transport.link(self.peer.node, self.peer.addresses)
        except BadAddress as error:
            self._warn(str(error))
