"""Who is connected to a node and has not said goodbye: a node that leaves waits for them, and for nobody else."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from nervenet.broker import transport as t
from nervenet.broker.messages import Goodbye


class Connections:
    """Who is `connected` and has not said goodbye, and who has `departed` with one."""

    def __init__(self) -> None:
        self.connected: set[str] = set()
        self.departed: set[str] = set()
        self._changed = asyncio.Event()

    def note(self, item: t.Arrival | t.TransportEvent) -> None:
        match item:
            case t.LinkUp(peer):
                self.connected.add(peer)
                self.departed.discard(peer)
            case t.LinkLost(peer):
                self.connected.discard(peer)
                self._changed.set()
            case t.Arrival(peer, Goodbye()):
                self.connected.discard(peer)
                self.departed.add(peer)
                self._changed.set()

    async def wait_for_goodbyes(self, within_s: float) -> None:
        """Wait until everybody who was connected has said goodbye or is gone, `within_s` seconds at the most.

        A connection that ends takes with it what the other side has received and not yet read (ZeroMQ drops it), so
        whoever has said something last must not be the first to leave.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self.connected:
                    self._changed.clear()
                    await self._changed.wait()
