"""Whether this node reaches the members of a run that it would dial: each proves its key, and nothing is said to it.

With keys alone: who hangs up on a node without keys before a HELLO is reported there, and so would disturb its run.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import zmq
from nervenet.broker.channel import Channel
from nervenet.broker.errors import BrokerError, see
from nervenet.broker.greeting import greet
from nervenet.broker.messages import Roster
from nervenet.broker.security.policy import Curve
from nervenet.broker.sockets import make
from nervenet.broker.transport_events import Counters

MOST = 16  # members that are tried: as many as most peers have neighbors

_ENDS = {
    int(zmq.EVENT_HANDSHAKE_SUCCEEDED): "",
    int(zmq.EVENT_HANDSHAKE_FAILED_AUTH): f"it refuses the key of this node{see('key-refused')}",
    int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL): f"it does not encrypt{see('encryption-differs')}",
    int(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL): f"it does not have the key that is allowed here{see('wrong-key')}",
}


async def try_members(
    roster: Roster, role: str, security: Curve, context: zmq.Context[Any], within_s: float
) -> dict[str, str]:
    """Return why each living member of a role cannot be dialed, by ``NAME at ADDRESS``; empty where it can."""
    places = {
        f"{member.node} at {address}": (member.node, address)
        for member in roster.members
        if member.role == role and member.state != "dead" and member.node != security.keys.name
        if (address := member.addresses.get("control", "")).startswith("tcp://")
    }
    chosen = dict(list(places.items())[:MOST])
    found = await asyncio.gather(*(_handshake(*place, security, context, within_s) for place in chosen.values()))
    return dict(zip(chosen, found, strict=True))


async def _handshake(name: str, address: str, security: Curve, context: zmq.Context[Any], within_s: float) -> str:
    entry = security.server(name)
    if entry is None:
        return security.unknown(name)
    ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def note(_channel: Channel, _identity: bytes, frames: list[Any]) -> None:
        if not ended.done():
            ended.set_result(struct.unpack("=hi", frames[0])[0])

    try:
        socket = make(context, "link.control")
    except BrokerError as error:
        return str(error)
    channel: Channel | None = None
    try:
        channel = Channel(socket.get_monitor_socket(sum(_ENDS)), deliver=note, counters=Counters())
        security.dial(socket, entry)
        socket.connect(address)
        async with asyncio.timeout(within_s):
            return _ENDS[await ended]
    except TimeoutError:
        return (await greet(address, within_s)).why or f"no handshake within {within_s:g} s"
    except zmq.ZMQError as error:
        return f"cannot be dialed: {error.strerror}"
    finally:
        socket.disable_monitor()
        if channel is not None:
            channel.close()
        socket.close()
