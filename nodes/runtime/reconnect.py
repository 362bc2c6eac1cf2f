"""How a node reconnects to others that may die, and be started again somewhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import SystemRandom

from nervenet.broker import transport as t
from nervenet.broker.errors import BadAddress
from nervenet.broker.lease import Lease
from nervenet.broker.messages import Goodbye, Member, Roster

# Seconds. At first the link is given time to come up without a question to the broker; after a loss, those who lost it
# together do not all ask together.
FIRST_S = 1.0
SPREAD_S = 0.2
_CHANCE = SystemRandom()


class Reconnector:
    """Dials peers, and each again when a newer roster says that it is elsewhere or has been started again.

    When a link is lost ZeroMQ dials the same address by itself, and the broker is asked for newer rosters until there
    is a link once more.
    `roster` is to be called with the lease's rosters, and `heard` with the transport's events.
    """

    def __init__(
        self, transport: t.Transport, lease: Lease, peers: Iterable[Member], warn: Callable[[str], None]
    ) -> None:
        self.peers = {peer.node: peer for peer in peers}
        self._transport = transport
        self._lease = lease
        self._warn = warn
        self._up: dict[str, int] = {}  # the incarnations to which there are links
        self._sought = set(self.peers)
        self._left: set[str] = set()  # have said goodbye: nobody looks for them, and hundreds leave at the end of a run
        for peer in self.peers.values():
            self._dial(peer)
        lease.watch(FIRST_S)

    def heard(self, item: t.Arrival | t.TransportEvent) -> None:
        match item:
            case t.LinkUp(peer, _, incarnation, True) if peer in self.peers:
                self._up[peer] = incarnation
                # An answer of a previous incarnation does not end the search while the roster knows of a newer one.
                if incarnation >= self.peers[peer].incarnation:
                    self._found(peer)
            case t.Arrival(peer, Goodbye()) if peer in self.peers:
                self._left.add(peer)
                self._found(peer)
            case t.LinkUp(peer, _, incarnation, False) if peer in self.peers and incarnation > self._newest(peer):
                self._left.discard(peer)  # it has been started again; where it is, only the roster says
                self._seek(peer)
            case t.LinkLost(peer) if peer in self.peers:
                self._up.pop(peer, None)
                self._seek(peer)

    def roster(self, roster: Roster) -> None:
        for found in roster.members:
            known = self.peers.get(found.node)
            if known is None or found.incarnation <= known.incarnation:
                continue
            self.peers[found.node] = found
            if self._up.get(found.node) != found.incarnation:  # at the same address ZeroMQ may have been quicker
                self._up.pop(found.node, None)
                self._transport.unlink(found.node)
                self._dial(found)

    def _newest(self, peer: str) -> int:
        return max(self.peers[peer].incarnation, self._up.get(peer, 0))

    def _seek(self, peer: str) -> None:
        if peer not in self._left:
            self._sought.add(peer)
            self._lease.watch(_CHANCE.uniform(0.0, SPREAD_S))

    def _found(self, peer: str) -> None:
        self._sought.discard(peer)
        if not self._sought:
            self._lease.unwatch()

    def _dial(self, peer: Member) -> None:
        try:
            self._transport.link(peer.node, peer.addresses)
        except BadAddress as error:
            self._warn(str(error))
