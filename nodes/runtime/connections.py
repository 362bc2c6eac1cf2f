"""Who is connected to a node and has not said goodbye: a node that leaves waits for them, and for nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace
from nervenet.broker import transport as t
from nervenet.broker.errors import TransportClosed
from nervenet.broker.messages import Goodbye, Heartbeat

BEAT_S = 1.0  # how often a node that is about to leave looks, and says that it is still there
SAID_S = 60.0  # how often it is said again for whom it waits
STRETCH_BYTES, STRETCH_S = 81_920, 10.0
"""What is on its way to somebody is given up when so many bytes of it take longer: slower than 8 kB a second."""


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
        as long as their bytes move: over a slow line the final model takes longer than `within_s`. At a pace of 8 kB a
        second or more, which a model of N bytes takes N / 8,192 seconds for, and 10 s more at the most: see `Progress`.
        Meanwhile this node says that it is still there, and every minute for whom it waits.
        """
        loop = asyncio.get_running_loop()
        progress = Progress(loop.time(), within_s)
        say_at = progress.until
        sending: list[str] = []
        while self.connected:
            if last is not None:
                sending = self._send_beats(last)
                moved = {peer: last.transport.moved(peer) for peer in sending}
                progress.look(moved, loop.time())
                if sending and loop.time() > say_at:
                    say_at = loop.time() + SAID_S
                    whom = ", ".join(f"{peer} ({nbytes:,} bytes so far)" for peer, nbytes in moved.items())
                    still = f"to whom the last of round {last.round} is still being sent"
                    last.publish("node.waiting", {"reason": f"{whom}, {still}"})
            left = progress.until - loop.time()
            if left <= 0:
                if last is not None and sending:
                    slow = f"less than {STRETCH_BYTES:,} bytes moved in {STRETCH_S:g} s"
                    given_up = f"not all of the last of round {last.round} has reached {', '.join(sending)}: {slow}"
                    last.publish("warning", {"reason": f"{given_up}, and it is waited for no longer"})
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


class Farewell:
    """What a node says that leaves: to those that are waiting for it, and to each that connects from then on.

    Else that one would wait for answers that never come.
    """

    def __init__(self, transport: t.Transport) -> None:
        self._transport = transport
        self._said: Goodbye | None = None

    def say(self, to: Sequence[str], goodbye: Goodbye, to_late: str = "") -> None:
        """Send `goodbye`; and to who connects later, and has heard nothing before it, with the reason `to_late`."""
        self._said = replace(goodbye, reason=to_late or goodbye.reason)
        with suppress(TransportClosed):  # nobody can be told, and the rest is closed all the same
            self._transport.send(to, goodbye)

    def note(self, item: t.Arrival | t.TransportEvent) -> None:
        if self._said is not None and isinstance(item, t.LinkUp):
            self.say((item.peer,), self._said)


class Progress:
    """Until when a node waits that is about to leave: longer for those to whom bytes still move.

    Every `STRETCH_BYTES` that somebody acknowledges earn `STRETCH_S` seconds more, so that the wait is bounded by the
    bytes that are on their way.
    """

    def __init__(self, now: float, within_s: float) -> None:
        self.until = now + within_s
        self._stretches: dict[str, tuple[int, float]] = {}  # by receiver: bytes acknowledged where it began, and when
        self._sending = False

    def look(self, moved: Mapping[str, int], now: float) -> None:
        """Take note of how many bytes each of those has acknowledged to whom something large is still being sent."""
        for peer, nbytes in moved.items():
            at, since = self._stretches.get(peer, (nbytes, now))
            if nbytes >= at + STRETCH_BYTES:
                at, since = nbytes, now
            self._stretches[peer] = (min(at, nbytes), since)  # a new connection counts from nothing
            self.until = max(self.until, since + STRETCH_S)
        if not moved and self._sending:  # all has left: whoever has it answers in the usual time
            self.until = min(self.until, now + STRETCH_S)
        self._sending = bool(moved)
