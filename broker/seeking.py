"""How a node that knows one living peer's address finds the others: no broker is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import zmq

from .channel import Channel, Letter
from .codec import DEFAULT_LIMITS, Limits, decode, encode
from .errors import BadAddress, JoinRefused, PeerUnreachable, ProtocolError
from .introductions import identity_of
from .messages import AskPeers, Hello, Message, Peers, Refused, tag_of
from .notices import Counters
from .sockets import CONTROL_QUEUE, make

__all__ = ["ask_peers"]


async def ask_peers(
    address: str,
    hello: Hello,
    terms: Mapping[str, Any],
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
    terms : mapping
        What all nodes of the run must agree on.

    Raises
    ------
    BadAddress
        The address cannot be dialled as it is written.
    PeerUnreachable
        Nobody answered within ``deadline_s`` seconds.
    JoinRefused
        It is a peer of another run or version, or of other terms, or knows a newer life of this name.
    """
    answers: asyncio.Queue[Message] = asyncio.Queue()

    def deliver(_: Channel, _identity: bytes, frames: list[Any]) -> None:
        try:
            answers.put_nowait(decode(frames, limits)[0])
        except ProtocolError as error:
            answers.put_nowait(Refused("hello", 0, error.code, error.reason))

    socket = make(context, "link.control", limits)
    socket.setsockopt(zmq.IDENTITY, identity_of(hello.node, hello.incarnation))
    try:
        socket.connect(address)
    except zmq.ZMQError:
        socket.close()
        raise BadAddress(address, "cannot be dialled; a seed peer is tcp://HOST:PORT or ipc://PATH") from None
    channel = Channel(socket, deliver=deliver, dropped=lambda *_: None, counters=Counters(), queue=CONTROL_QUEUE)
    try:
        async with asyncio.timeout(deadline_s):
            _send(channel, hello)
            while True:
                match await answers.get():
                    case Hello():
                        _send(channel, AskPeers(dict(terms)))
                    case Peers() as peers:
                        return peers
                    case Refused(code=code, reason=reason) if code != "stranger":
                        raise JoinRefused(code, f"the peer at {address}: {reason}")
                    case _:
                        pass
    except TimeoutError:
        raise PeerUnreachable(address, f"no peer answered there within {deadline_s:g} s") from None
    finally:
        channel.close(0.0)


def _send(channel: Channel, message: Message) -> None:
    frames = encode(message)
    channel.send(b"", Letter(frames, tag_of(message), 0, len(frames[0]), 0))
