"""Whether others reach a node: the broker dials it back, at the address that it is about to tell them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from .messages import DialBack, Failed, Message, Ok

DIAL_S = 3.0
MOST = 8  # at once; the others are told to ask again


class BackDialer:
    """Answers requests to be dialed back; ``reply(identity, message)`` gets each answer.

    Only the host that asks is ever dialed, so that nobody can use a broker to reach a third one. The connection is
    closed as soon as it stands, and nothing is sent over it.
    """

    def __init__(self, reply: Callable[[bytes, Message], None]) -> None:
        self._reply = reply
        self._open: set[asyncio.Task[None]] = set()

    def ask(self, identity: bytes, request: DialBack, source: str) -> None:
        """Dial the node that asks, from the host ``source``, and reply later; never waits."""
        if len(self._open) >= MOST:
            self._reply(identity, Failed(request.id, "busy", f"{MOST} nodes are being dialed; ask again"))
            return
        task = asyncio.get_running_loop().create_task(self._answer(identity, request, source))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    def close(self) -> None:
        for task in self._open:
            task.cancel()

    async def _answer(self, identity: bytes, request: DialBack, source: str) -> None:
        self._reply(identity, await dialed(request, source))


async def dialed(request: DialBack, source: str, within_s: float = DIAL_S) -> Message:
    """Return whether a node can be reached where it says, and if not, why."""
    scheme, _, rest = request.address.partition("://")
    host, _, port = rest.rpartition(":")
    if scheme != "tcp" or not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        return Failed(request.id, "unreachable", f"{request.address} is no tcp://HOST:PORT")
    host = host.strip("[]")
    try:
        async with asyncio.timeout(within_s):
            found = await asyncio.get_running_loop().getaddrinfo(host, int(port), type=1)  # a stream
            places = sorted({_plain(str(place[4][0])) for place in found})
            if _plain(source) not in places:
                there = f"{host} is {', '.join(places[:3])} for the broker"
                reason = f"{there}, and the node that asks comes from {source or 'nowhere'}: only that is dialed back"
                return Failed(request.id, "elsewhere", reason)
            _, writer = await asyncio.open_connection(_plain(source), int(port))
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
    except TimeoutError:
        return Failed(request.id, "unreachable", f"no answer at {host}:{port} within {within_s:g} s")
    except (OSError, UnicodeError) as error:  # of a host name that cannot be one
        why = getattr(error, "strerror", None) or error
        return Failed(request.id, "unreachable", f"{host}:{port} cannot be reached: {why}")
    return Ok(request.id)


def _plain(address: str) -> str:
    """Return an address without the prefix that IPv6 gives to one of IPv4."""
    return address.removeprefix("::ffff:")
