"""Events in and out: `Publisher` tells and never waits; `EventStream` listens and knows what it missed.

docs/protocol.md, section 8, says how they travel; docs/events.md what they say.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Sequence
from typing import Any, Self

import zmq

from .broker import reached_by
from .channel import Channel, Letter
from .codec import DEFAULT_LIMITS, Limits
from .errors import BrokerUnreachable, ProtocolError
from .event import Event, decode_event, encode_event
from .gaps import Gaps
from .messages import AskSnapshot, AskWhere, Snapshot, Where
from .notices import Counters
from .relay import WELCOME
from .requests import Requests
from .sockets import make

__all__ = ["EventStream", "Publisher"]

_KEPT = 1_000  # events that wait for the broker; older ones are lost, and show as a gap
_ASK_S = 1.0
_AWAY_S = 10.0  # how often a stream says that it is still waiting


class Publisher:
    """Publishes one node's events.

    The socket is an XPUB, because that can hear the relay's subscription: what is published before it has come, or
    while the broker is away, is kept (the last thousand events) and sent when it has.

    Parameters
    ----------
    node, role, run : str
    incarnation : int
    context : zmq.Context, optional
        Its owner terminates it.
    """

    def __init__(
        self,
        node: str,
        role: str,
        run: str,
        incarnation: int,
        *,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.counters = Counters()
        self._head = {"run": run, "node": node, "role": role, "incarnation": incarnation}
        self._seq: dict[str, int] = {}
        self._own_context = context is None
        self._context = context
        self._limits = limits
        self._kept: deque[Letter] = deque(maxlen=_KEPT)
        self._channel: Channel | None = None
        self._address = ""
        self._heard = False

    def connect(self, events_in: str) -> None:
        """Publish to a relay from now on; the same address again changes nothing."""
        if events_in == self._address:
            return
        self._hang_up(0.0)
        if self._context is None:
            self._context = zmq.Context()
        socket = make(self._context, "publisher", self._limits)
        socket.connect(events_in)
        self._address = events_in
        self._channel = Channel(
            socket,
            deliver=self._subscription,
            dropped=lambda *_: None,
            counters=self.counters,
            queue=1,
        )

    def publish(self, type_: str, /, **fields: Any) -> Event:
        """Publish an event, and return it as it goes out; never waits."""
        seq = self._seq[type_] = self._seq.get(type_, 0) + 1
        event = {"type": type_, **self._head, "seq": seq, "time": time.time(), **fields}
        topic, body = encode_event(event)
        if len(body) > self._limits.control_bytes:
            return self.publish("warning", reason=f"an event {type_} of {len(body):,} bytes is too large to be told")
        letter = Letter([topic, body], "event", 0, len(topic) + len(body), 0)
        if self._heard and self._channel is not None:
            self._channel.send(b"", letter)
        else:
            self._kept.append(letter)
        return event

    async def close(self, drain_s: float = 0.5) -> None:
        """Close; the last events may leave within ``drain_s`` seconds."""
        self._hang_up(drain_s)
        if self._own_context and self._context is not None:
            await asyncio.to_thread(self._context.term)
            self._context = None

    def _hang_up(self, linger_s: float) -> None:
        if self._channel is not None:
            self._channel.close(linger_s)
        self._channel = None
        self._address = ""
        self._heard = False

    def _subscription(self, channel: Channel, _identity: bytes, frames: list[bytes]) -> None:
        self._heard = frames[0][:1] == b"\x01"
        while self._heard and self._kept:
            channel.send(b"", self._kept.popleft())


class EventStream:
    """Events of a broker, as an async iterator of maps; begins with the last ones of each kind.

    Two kinds are made here, with ``node`` set to ``stream``: ``gap`` (``subject``, ``about``: a type, ``missed``: how
    many) wherever a publisher's sequence jumps, and ``warning`` while the broker is away, which may be at any time and
    for any time. It ends when it is closed.

    Parameters
    ----------
    broker : str
        Address of the directory.
    topics : sequence of str
        Prefixes of the types that are wanted; ``""`` is all.
    run : str, optional
        Only events of this run.
    keep : int
        Events that may wait for a slow reader; beyond, the oldest are dropped, and show as gaps.

    Examples
    --------
    >>> async def main():
    ...     async with EventStream("tcp://127.0.0.1:5555", topics=("round.",)) as events:
    ...         async for event in events:
    ...             print(event["node"], event["round"])
    """

    def __init__(
        self,
        broker: str,
        topics: Sequence[str] = ("",),
        *,
        run: str | None = None,
        keep: int = 50_000,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.counters = Counters()
        self._broker = broker
        self._topics = tuple(topics)
        self._run = run
        self._own_context = context is None
        self._context = context
        self._limits = limits
        self._waiting: deque[tuple[Event, bool]] = deque(maxlen=keep)
        self._news = asyncio.Event()
        self._gaps = Gaps()
        self._after_gap: Event | None = None
        self._seq = 0
        self._channel: Channel | None = None
        self._welcome = b""
        self._welcomed = asyncio.Event()
        self._held: list[Event] | None = None
        self._failure: BaseException | None = None

    async def __aenter__(self) -> Self:
        """Start to listen; the broker need not be there yet.

        Raises
        ------
        BadAddress
        """
        if self._context is None:
            self._context = zmq.Context()
        try:
            self._requests = Requests(self._broker, self._context)
        except BaseException:
            if self._own_context:
                self._context.term()
            raise
        self._task = asyncio.create_task(self._follow(), name="events")
        self._task.add_done_callback(self._ended)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._hang_up()
        self._requests.close()
        if self._own_context and self._context is not None:
            self._context.term()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        if self._after_gap is not None:
            event, self._after_gap = self._after_gap, None
            return event
        while True:
            while self._waiting:
                event, old = self._waiting.popleft()
                if event["node"] == "stream":
                    return event
                missed = self._gaps.missed(event, old)
                if missed is None:
                    continue  # held already, by a snapshot
                if missed:
                    self._after_gap = event
                    gap = {"subject": event["node"], "about": event["type"], "missed": missed}
                    return self._own("gap", event["run"], **gap)
                return event
            if self._failure is not None:
                raise self._failure
            if self._task.done():
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()

    async def _follow(self) -> None:
        """Find the broker, listen, and look after it, again and again."""
        address = ""
        away_since: float | None = None
        said = -_AWAY_S
        loop = asyncio.get_running_loop()
        while True:
            try:
                answer = await self._requests.ask(AskWhere, _ASK_S)
                if isinstance(answer, Where):
                    found = reached_by(answer.events_out, self._broker)
                    if found != address:
                        address = found
                        self._subscribe(address)
                    if away_since is not None:
                        away_since = None
                        said = -_AWAY_S
                        self._put(self._own("warning", reason=f"the broker at {self._broker} answers"))
                    if self._welcomed.is_set():
                        self._welcomed.clear()
                        await self._catch_up()
            except BrokerUnreachable:
                now = loop.time()
                away_since = now if away_since is None else away_since
                if now - said >= _AWAY_S:
                    said = now
                    self._put(self._own("warning", reason=f"no broker answers at {self._broker}; waiting for it"))
                continue
            try:
                async with asyncio.timeout(_ASK_S):
                    await self._welcomed.wait()
            except TimeoutError:
                pass

    async def _catch_up(self) -> None:
        """Take the snapshot, and put what has come since the subscription counts in its place in time."""
        found: list[tuple[Event, bool]] = []
        try:
            for topic in self._topics:
                async for part in self._requests.ask_many(lambda id_, t=topic: AskSnapshot(id_, t), _ASK_S):  # type: ignore[misc]
                    if not isinstance(part, Snapshot):
                        break
                    found += [(event, True) for event in part.events]
                    if part.last:
                        break
        finally:
            found += [(event, False) for event in self._held or ()]
            self._held = None
            for event, old in sorted(found, key=lambda entry: float(entry[0]["time"])):
                self._put(event, old)

    def _subscribe(self, address: str) -> None:
        self._hang_up()
        if self._context is None:  # pragma: no cover
            return
        self._welcome = WELCOME + uuid.uuid4().hex.encode()
        self._held = []
        socket = make(self._context, "subscriber", self._limits)
        for topic in self._topics:
            socket.setsockopt(zmq.SUBSCRIBE, topic.encode())
        socket.setsockopt(zmq.SUBSCRIBE, self._welcome)
        socket.connect(address)
        self._channel = Channel(
            socket,
            deliver=self._deliver,
            dropped=lambda *_: None,
            counters=self.counters,
            queue=1,
        )

    def _deliver(self, _: Channel, _identity: bytes, frames: list[bytes]) -> None:
        if frames == [self._welcome]:
            if self._held is None:  # the broker is back: a snapshot first, as at the beginning
                self._held = []
            self._welcomed.set()
            return
        if frames[0].startswith(WELCOME):
            return
        try:
            event = decode_event(frames, self._limits.control_bytes)
        except ProtocolError:
            self.counters.spoiled += 1
            return
        if self._held is not None:
            self._held.append(event)
        else:
            self._put(event)

    def _put(self, event: Event, old: bool = False) -> None:
        if self._run is None or event["run"] in {self._run, ""}:
            self._waiting.append((event, old))
            self._news.set()

    def _own(self, type_: str, run: str = "", **fields: Any) -> Event:
        self._seq += 1
        head = {"type": type_, "run": run, "node": "stream", "role": "monitor", "incarnation": 0}
        return head | {"seq": self._seq, "time": time.time()} | fields

    def _hang_up(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self._failure = task.exception()
        self._news.set()
