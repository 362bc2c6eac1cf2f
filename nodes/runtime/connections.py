"""Who is connected to a node and has not said goodbye: a node that leaves waits for them, and for nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from nervenet.broker import transport as t
from nervenet.broker.messages import Goodbye, Heartbeat

BEAT_S = 1.0  # how often a node that is about to leave looks, and says that it is still there
STALLED_S = 10.0  # how long nothing may move before what is on its way is given up
LONGEST_S = 600.0


@dataclass(frozen=True)
class LastWords:
    """What a node that is done has sent must arrive: over what, of which round; who publishes the wait."""

    transport: t.Transport
    round: int
    publish: Callable[[str, Mapping[str, Any]], None]


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

    async def wait_for_goodbyes(self, within_s: float, last: LastWords | None = None) -> None:
        """Wait until everybody who was connected has said goodbye or is gone, `within_s` seconds at the most.

        A connection that ends takes with it what the other side has received and not yet read (ZeroMQ drops it), so
        whoever has said something last must not be the first to leave. If its `last` words matter, they are waited for
        as long as their bytes move, `LONGEST_S` at the most: over a slow line the final model takes longer than
        `within_s`. Meanwhile this node says that it is still there.
        """
        loop = asyncio.get_running_loop()
        progress = Progress(loop.time(), within_s)
        said = False
        while self.connected:
            if last is not None:
                sending = self._send_beats(last)
                progress.look({peer: last.transport.moved(peer) for peer in sending}, loop.time())
                if sending and not said and loop.time() > progress.began + within_s:
                    said = True
                    whom = f"{', '.join(sending)}, to whom the last of round {last.round} is still being sent"
                    last.publish("node.waiting", {"reason": whom})
            left = progress.until - loop.time()
            if left <= 0:
                return
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, BEAT_S)):
                    await self._changed.wait()

    def _send_beats(self, last: LastWords) -> list[str]:
        """Return to whom something large is still being sent, and tell those that this node is still there."""
        found = []
        for peer in sorted(self.connected):
            if rounds := last.transport.sending(peer):
                found.append(peer)
                last.transport.send(peer, Heartbeat(round=last.round, state="leaving", sending=rounds))
        return found


class Progress:
    """Until when a node waits that is about to leave: longer for those to whom bytes still move."""

    def __init__(self, now: float, within_s: float) -> None:
        self.began = now
        self.until = now + within_s
        self.moving: dict[str, int] = {}
        """How many bytes each one to whom something large is being sent has acknowledged."""

    def look(self, moved: Mapping[str, int], now: float) -> None:
        """Take note of how far each of those is to whom something large is still being sent."""
        if any(nbytes > self.moving.get(peer, -1) for peer, nbytes in moved.items()):
            self.until = max(self.until, min(now + STALLED_S, self.began + LONGEST_S))
        elif not moved and self.moving:  # all has left: whoever has it answers in the usual time
            self.until = min(self.until, now + STALLED_S)
        self.moving = dict(moved)
