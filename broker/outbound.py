"""The dialing side of a transport: repeats HELLO until it is answered, and queues messages until then."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

import zmq

from .channel import Envelope
from .disconnects import DisconnectMonitor
from .endpoint import LANES, Endpoint
from .errors import BadAddress, ProtocolError
from .handshake import Link, identity_of, new_arrivals, secret_identity_of
from .kernel import COUNTS
from .messages import Hello, Lane, Refused, tag_of
from .security.plain import Plain
from .sockets import dial, dial_again
from .transport_events import ConnectionRefused, LinkLost, LinkUp
from .versions import common, mismatch, spoken_by

_HELLO_S = (0.5, 5.0)  # first and longest pause before an unanswered HELLO is repeated
_PROBE_S = 5.0  # how often it is looked whether a connection by which nothing comes is alive
# After so long without an answer on bulk, where control has one, that connection is dead. Where the system does not say
# whether bytes come, a model may be on its way, and the answer behind it.
_DEAD_S = 5.0 if COUNTS else 60.0


class Outbound:
    """One DEALER per peer and lane.

    ``monitored`` links detect closed connections. Where both sides dial, each learns of the other's end at its own
    inbox; a node that only dials, or dials a peer that does not dial back (``watched``), has no other way.
    """

    def __init__(self, endpoint: Endpoint, incarnation: int, *, monitored: bool) -> None:
        self._endpoint = endpoint
        self._incarnation = incarnation
        self._identities: dict[str, bytes] = {}  # by peer; with keys each is a secret of the two
        self._monitored = monitored
        self._links: dict[str, Link] = {}
        self._probing: asyncio.TimerHandle | None = None

    def dial(
        self, context: zmq.Context[zmq.Socket[bytes]], peer: str, addresses: Mapping[str, str], *, watched: bool = False
    ) -> None:
        old = self._links.get(peer)
        if old is not None and old.addresses == dict(addresses):
            return
        self.hang_up(peer)
        link = Link(peer, dict(addresses), self._monitored or watched)
        for lane in LANES:
            try:
                if lane not in addresses:
                    raise BadAddress(peer, f"no address of its {lane} lane is given")
                socket, dialer = dial(
                    context,
                    f"link.{lane}",
                    addresses[lane],
                    self._endpoint.limits,
                    self._identity(peer),
                    security=self._endpoint.security,
                    server=peer,
                    closed=partial(self._disconnected, link) if lane is Lane.CONTROL else _ignore,
                    refused=partial(self._not_let_in, link, lane),
                )
                link.dialers[lane] = dialer
                if dialer is not None:
                    link.monitors.append(dialer)
                receive = partial(self._receive, link, lane)
                link.channels[lane] = self._endpoint.channel(
                    socket, lane, receive, lambda _: (peer, link.up is not None), addressed=False
                )
                link.channels[lane].hold()  # until HELLO is answered
                done = dialer is not None or addresses[lane].startswith("inproc")
                if link.monitored and lane is Lane.CONTROL and not done:
                    link.monitors.append(DisconnectMonitor(socket, partial(self._disconnected, link)))
            except BaseException:
                link.close()
                raise
        self._links[peer] = link
        self._greet(link, _HELLO_S[0])
        if self._probing is None:
            self._probing = self._endpoint.loop.call_later(_PROBE_S, self._probe)

    def _identity(self, peer: str) -> bytes:
        make = identity_of if isinstance(self._endpoint.security, Plain) else secret_identity_of
        if peer not in self._identities:
            self._identities[peer] = make(self._endpoint.node, self._incarnation)
        return self._identities[peer]

    def hang_up(self, peer: str) -> None:
        link = self._links.pop(peer, None)
        if link is not None:
            link.close()

    def send(self, to: str, lane: Lane, envelope: Envelope) -> bool:
        """Send over a link, or queue until it is established; return False if there is no link."""
        link = self._links.get(to)
        if link is None:
            return False
        link.channels[lane].send(b"", envelope)
        return True

    def incarnation_of(self, peer: str) -> int:
        """Return to which incarnation of a peer a link leads, or has led; 0 if it never has, or there is none."""
        link = self._links.get(peer)
        return 0 if link is None else link.led_to

    def sending(self, to: str) -> list[int] | None:
        link = self._links.get(to)
        return None if link is None else link.channels[Lane.BULK].sending(b"")

    def moved(self, to: str) -> int | None:
        link = self._links.get(to)
        return None if link is None else link.channels[Lane.BULK].moved(b"")

    def greet_again(self, peer: str, incarnation: int) -> None:
        """Send HELLO to a peer whose own connection has closed, before anything else is sent to it."""
        link = self._links.get(peer)
        if link is not None and link.up == incarnation:
            self._restart(link, Lane.CONTROL)

    def stop_greeting(self) -> None:
        """Stop repeating HELLO to peers that do not answer."""
        self._stop_probing()
        for link in self._links.values():
            link.stop_timer()

    @property
    def waiting(self) -> bool:
        return any(
            channel.waiting
            for link in self._links.values()
            if link.up is not None
            for channel in link.channels.values()
        )

    def close(self, linger_s: float) -> None:
        self._stop_probing()
        for link in self._links.values():
            # ZeroMQ would wait all that time for a peer that has gone and is being redialed.
            link.close(linger_s if link.up is not None else 0.0)
        self._links.clear()

    def _greet(self, link: Link, pause: float) -> None:
        """Send HELLO on the unanswered lanes, and again after ``pause`` seconds, until all are answered."""
        link.timer = None
        silent = [lane for lane in LANES if lane not in link.answered or lane in link.again]
        if not silent or link.refused:
            return
        if silent == [Lane.BULK]:
            self._look_at_bulk(link)
        else:
            link.alone_since = None
        for lane in silent:
            link.channels[lane].send_at_once(self._endpoint.hello_to(link.peer))
        link.timer = self._endpoint.loop.call_later(pause, self._greet, link, min(2 * pause, _HELLO_S[1]))

    def _look_at_bulk(self, link: Link) -> None:
        """Dial bulk anew where it alone has no answer for so long, and nothing comes by it or leaves over it."""
        now, channel, progress = self._endpoint.loop.time(), link.channels[Lane.BULK], _progress(link)
        if link.alone_since is None or link.alone_since[1] != progress:
            link.alone_since = (now, progress)
        elif now - link.alone_since[0] >= _DEAD_S:
            link.alone_since = None
            if link.up is not None:  # what was on its way is lost, as with a connection that has closed
                incarnation, link.up = link.up, None
                reason = f"the bulk connection to {link.peer} is open and mute: it is made anew"
                self._endpoint.notify(LinkLost(link.peer, incarnation, reason))
            dial_again(channel.socket, link.addresses[Lane.BULK], link.dialers[Lane.BULK])

    def _probe(self) -> None:
        """Say HELLO where nothing has come by bulk for a while: no answer there, and one on control, is a dead one."""
        self._probing = self._endpoint.loop.call_later(_PROBE_S, self._probe)
        for link in self._links.values():
            probed, progress, heard, link.heard = link.probed, _progress(link), link.heard, set()
            link.probed = None
            if link.up is None or link.again or Lane.BULK in heard:
                continue
            if probed == progress and heard == {Lane.CONTROL}:
                link.again.add(Lane.BULK)
                link.channels[Lane.BULK].hold()
                link.stop_timer()
                self._greet(link, _HELLO_S[0])
            elif not link.addresses[Lane.BULK].startswith("inproc"):
                link.probed = progress
                for lane in LANES:
                    link.channels[lane].send_at_once(self._endpoint.hello_to(link.peer))

    def _stop_probing(self) -> None:
        if self._probing is not None:
            self._probing.cancel()
            self._probing = None

    def _restart(self, link: Link, lane: Lane) -> None:
        link.answered.pop(lane, None)
        link.channels[lane].hold()
        if lane is Lane.CONTROL and Lane.BULK in link.answered:
            # What has cut one connection may have cut or muted the other, which only the kernel would find out, later.
            # What comes by it is still taken; what goes out waits until it has proven to be alive.
            link.again.add(Lane.BULK)
            link.channels[Lane.BULK].hold()
        link.up = None
        link.stop_timer()
        self._greet(link, _HELLO_S[0])

    def _receive(self, link: Link, lane: Lane, _identity: bytes, frames: list[Any]) -> None:
        received = self._endpoint.read(link.peer, frames)
        if isinstance(received, ProtocolError):
            return
        message, _, nbytes, _ = received
        link.heard.add(lane)
        if lane is Lane.BULK:
            channel = link.channels[lane]
            channel.carried(b"", channel.descriptor())
        if isinstance(message, Hello):
            self._answered(link, lane, message, nbytes)
            return
        if isinstance(message, Refused):
            if message.code == "stranger":  # the other side was restarted and has no HELLO of this node
                if lane in link.answered:
                    self._restart(link, lane)
            elif message.about == "hello":
                link.refused = True
        elif lane not in link.answered:
            self._endpoint.malformed(link.peer, "stranger", f"{tag_of(message)} before HELLO", nbytes)
            return
        self._endpoint.deliver(link.peer, link.role, lane, received, link.arrivals[lane])

    def _answered(self, link: Link, lane: Lane, hello: Hello, nbytes: int) -> None:
        run, security = self._endpoint.run, self._endpoint.security
        entry = None if isinstance(security, Plain) else security.server(link.peer)
        if entry is not None and hello.role not in entry.roles:
            reason = f"speaks as {hello.role}; its key is allowed here as {', '.join(sorted(entry.roles))}"
            self._endpoint.refused(ConnectionRefused("link", link.addresses[lane], entry.public, entry.name, reason))
            return
        if common(spoken_by(hello)) is None:
            reason = mismatch(hello.node, spoken_by(hello), self._endpoint.node)
            self._endpoint.malformed(link.peer, "version", reason, nbytes)
            return
        if hello.node != link.peer or hello.run != run:
            reason = f"{hello.node} of run '{hello.run}' answered in place of {link.peer} of run '{run}'"
            self._endpoint.malformed(link.peer, "identity", reason, nbytes)
            return
        me, enrollment = self._endpoint.node, security.enrollment
        not_of_run = enrollment.refusal(run, hello.node, hello.role, hello.incarnation, hello.proof, me)
        if not_of_run is not None:
            self._endpoint.refused(ConnectionRefused("link", link.addresses[lane], "", link.peer, not_of_run))
            return
        if hello.incarnation > link.counted_of:  # which counts from one again
            link.counted_of, link.arrivals = hello.incarnation, new_arrivals()
        link.answered[lane], link.role = hello.incarnation, hello.role
        self._endpoint.shared.met(hello)
        link.again.discard(lane)
        link.channels[lane].release()
        for other, incarnation in list(link.answered.items()):
            if incarnation < hello.incarnation:  # the peer was restarted, and that lane has not noticed yet
                self._restart(link, other)
        whole = not link.again and [link.answered.get(each) for each in LANES] == [hello.incarnation] * len(LANES)
        if whole and link.up != hello.incarnation:
            link.up = link.led_to = hello.incarnation
            self._endpoint.notify(LinkUp(link.peer, hello.role, hello.incarnation, True))

    def _not_let_in(self, link: Link, lane: Lane, reason: str) -> None:
        if lane is Lane.CONTROL:
            self._endpoint.refused(ConnectionRefused("link", link.addresses[lane], "", link.peer, reason))
        if lane in link.answered:  # the other side has forgotten this node
            self._restart(link, lane)

    def _disconnected(self, link: Link, _descriptor: int) -> None:
        """Hold messages until HELLO is answered again; ZeroMQ reconnects by itself."""
        if not self._endpoint.open or self._links.get(link.peer) is not link:
            return
        for channel in link.channels.values():
            channel.drain()
        incarnation = link.up
        self._restart(link, Lane.CONTROL)  # bulk may still deliver what was sent before
        if incarnation is not None and link.monitored:
            self._endpoint.notify(LinkLost(link.peer, incarnation, f"the connection to {link.peer} has closed"))


def _ignore(_: object) -> None:
    return None


def _progress(link: Link) -> tuple[int, int]:
    """Return how many bytes have come by bulk, and how many of something large have left by it and were taken."""
    bulk = link.channels[Lane.BULK]
    return bulk.came(b""), bulk.moved(b"") if bulk.leaving(b"") else 0
