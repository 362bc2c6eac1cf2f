"""How a node that knows one living peer's address finds the others: no broker is asked."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any

import zmq
from msgspec.structs import replace

from .channel import Channel, Letter
from .codec import DEFAULT_LIMITS, Limits, decode, encode
from .errors import BadAddress, JoinRefused, PeerUnreachable, ProtocolError
from .handshake import identity_of
from .messages import GetPeers, Hello, Message, Peers, Refused, tag_of
from .sockets import CONTROL_QUEUE, make
from .transport_events import Counters

__all__ = ["discover_peers"]


async def discover_peers(
    address: str,
    hello: Hello,
    shared_config: Mapping[str, Any],
    deadline_s: float,
    context: zmq.Context[zmq.Socket[bytes]],
    limits: Limits = DEFAULT_LIMITS,
) -> Peers:
    """Introduce this node at a peer's control address, and ask who is in its run.

    Parameters
    ----------
    address : str
        Of the peer's control lane, such as ``tcp://HOST:PORT``.
    hello : Hello
        Of this node; its run is the one to join.
    shared_config : mapping
        What all nodes of the run must agree on.

    Raises
    ------
    BadAddress
        The address cannot be dialled as it is written.
    PeerUnreachable
        Nobody answered within ``deadline_s`` seconds.
    JoinRefused
        It is a peer of another run or version, or of another shared configuration, or knows a newer incarnation
        of this name.

    Notes
    -----
    It is asked under a name made up for that: HELLO under one's own ends the connections of an older life, which must
    go on should this one be refused.
    """
    alias = replace(hello, node=f"seeker-{secrets.token_hex(6)}")
    answers: asyncio.Queue[Message] = asyncio.Queue()

    def deliver(_: Channel, _identity: bytes, frames: list[Any]) -> None:
        try:
            answers.put_nowait(decode(frames, limits)[0])
        except ProtocolError as error:
            answers.put_nowait(Refused("hello", 0, error.code, error.reason))

    socket = make(context, "link.control", limits)
    socket.setsockopt(zmq.IDENTITY, identity_of(alias.node, alias.incarnation))
    try:
        socket.connect(address)
    except zmq.ZMQError:
        socket.close()
        raise BadAddress(address, "cannot be dialled; a seed peer is tcp://HOST:PORT or ipc://PATH") from None
    channel = Channel(socket, deliver=deliver, dropped=lambda *_: None, counters=Counters(), queue=CONTROL_QUEUE)
    heard = "no peer answered there"
    try:
        async with asyncio.timeout(deadline_s):
            _send(channel, alias)
            while True:
                match await answers.get():
                    case Hello(role=role):
                        heard = f"a {role} answered there, but does not tell who is in its run (a peer by rounds does)"
                        _send(channel, GetPeers(dict(shared_config)))
                    case Peers() as peers:
                        return _if_newest(hello, peers)
                    case Refused(code="stranger"):  # it has been started again since
                        _send(channel, alias)
                    case Refused(code=code, reason=reason):
                        raise JoinRefused(code, f"the peer at {address}: {reason}")
                    case _:
                        pass
    except TimeoutError:
        raise PeerUnreachable(address, f"{heard} within {deadline_s:g} s") from None
    finally:
        channel.close(0.0)


def _if_newest(hello: Hello, peers: Peers) -> Peers:
    for news in peers.members:
        if news.node == hello.node and news.incarnation > hello.incarnation:
            reason = f"{hello.node} has been started again since (incarnation {news.incarnation})"
            raise JoinRefused("stale", reason)
    return peers


def _send(channel: Channel, message: Message) -> None:
    frames = encode(message)
    channel.send(b"", Letter(frames, tag_of(message), 0, len(frames[0]), 0))
