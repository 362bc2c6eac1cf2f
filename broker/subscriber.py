"""Subscription to the events of a broker, with detection of gaps; see docs/protocol.md, section 8."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

import zmq

from .channel import Channel
from .errors import BrokerUnreachable, ProtocolError
from .events import STREAM, Event, check_event, decode_event
from .greeting import not_encrypted_here
from .messages import EventAddresses, Failed, GetEventAddresses, GetSnapshot, Snapshot
from .relay import WELCOME
from .request_client import BrokerClient
from .security.plain import LOCAL
from .sockets import Security, dial, reached_by
from .transport_events import Counters
from .versions import OURS

if TYPE_CHECKING:
    from .security.dialer import Dialer

_REQUEST_S = 1.0
_SNAPSHOT_S = 10.0  # for each part of one; the broker has just answered, but it may be busy, and it is asked once
_QUEUED = 50_000  # events that wait for a slow reader; beyond that the oldest are dropped and show as gaps
_AWAY_S = 10.0  # how often a stream warns that it is still waiting


class Gaps:
    """The last sequence number of each (run, node, incarnation, type)."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str, int, str], int] = {}
        self._first_seen: dict[tuple[str, str, int, str], int] = {}  # kinds first seen in a snapshot: its number

    def missed(self, event: dict[str, Any], snapshot: int = 0) -> int | None:
        """Return how many events of this kind are missing before this one; None if this one is a duplicate.

        The first event of a kind starts the count. The gaps within the first snapshot (it holds only the last event of
        each subject) do not count; those within a later one do (``snapshot`` numbers them from 1; 0 is a live event).
        """
        key = (event["run"], event["node"], event["incarnation"], event["type"])
        last = self._last.get(key)
        seq: int = event["seq"]
        if last is not None and seq <= last:
            return None
        self._last[key] = seq
        if last is None:
            if snapshot:
                self._first_seen[key] = snapshot
            return 0
        if snapshot and self._first_seen.get(key) == snapshot:
            return 0
        self._first_seen.pop(key, None)
        return seq - last - 1


class EventStream:
    """Events of a broker, as an async iterator of maps; begins with the last event of each kind.

    Two kinds originate here, with ``node`` set to ``stream``: ``gap`` (``subject``, ``about``: a type, ``missed``: how
    many) wherever a publisher's sequence jumps, and ``warning`` while the broker is away. The broker may be away at any
    time and for any length of time; the iterator ends when it is closed.

    Parameters
    ----------
    broker : str
        Address of the directory.
    topics : sequence of str
        Prefixes of the wanted types; ``""`` is all.
    run : str, optional
        Only events of this run.
    security : Plain or Curve, optional
        As for `ZmqTransport`.

    Examples
    --------
    >>> async def main():
    ...     async with EventStream("tcp://127.0.0.1:5555", topics=("round.",)) as events:
    ...         async for event in events:
    ...             print(event["node"], event["round"])
    """

    def __init__(
        self, broker: str, topics: Sequence[str] = ("",), *, run: str | None = None, security: Security = LOCAL
    ) -> None:
        self.counters = Counters()
        self._broker = broker
        self._topics = tuple(topics)
        self._run = run
        self._security = security
        self._dialer: Dialer | None = None
        self._waiting: deque[tuple[Event, int]] = deque(maxlen=_QUEUED)
        self._changed = asyncio.Event()
        self._gaps = Gaps()
        self._snapshots = 0
        self._after_gap: Event | None = None
        self._seq = 0
        self._channel: Channel | None = None
        self._welcome = b""
        self._welcomed = asyncio.Event()
        self._held: list[Event] | None = None
        self._failure: BaseException | None = None

    async def __aenter__(self) -> Self:
        """Start to listen; the broker need not be running yet.

        Raises
        ------
        BadAddress
        """
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            self._requests = BrokerClient(self._broker, self._context, self._security, self._refused)
        except BaseException:
            self._context.term()
            raise
        self._task = asyncio.create_task(self._follow(), name="events")
        self._task.add_done_callback(self._ended)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        try:
            await asyncio.gather(self._task, return_exceptions=True)
        finally:  # cancelled, too: whoever watches is often ended in the midst of it
            self._unsubscribe()
            self._requests.close()
            self._context.term()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        if self._after_gap is not None:
            event, self._after_gap = self._after_gap, None
            return event
        while True:
            while self._waiting:
                event, snapshot = self._waiting.popleft()
                if event["node"] == STREAM:
                    return event
                missed = self._gaps.missed(event, snapshot)
                if missed is None:
                    continue  # part of a snapshot already
                if missed:
                    self._after_gap = event
                    gap = {"subject": event["node"], "about": event["type"], "missed": missed}
                    return self._own("gap", event["run"], **gap)
                return event
            if self._failure is not None:
                raise self._failure
            if self._task.done():
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()

    async def _follow(self) -> None:
        address = ""
        away_since: float | None = None
        warned = -_AWAY_S
        loop = asyncio.get_running_loop()
        while True:
            try:
                answer = await self._requests.ask(GetEventAddresses, _REQUEST_S)
                if isinstance(answer, EventAddresses):
                    found = reached_by(answer.events_out, self._broker)
                    if found != address:
                        address = found
                        self._subscribe(address)
                    if away_since is not None:
                        away_since = None
                        warned = -_AWAY_S
                        self._put(self._own("warning", reason=f"the broker at {self._broker} answers"))
                    if self._welcomed.is_set():
                        self._welcomed.clear()
                        await self._catch_up()
                elif isinstance(answer, Failed) and answer.code == "version" and loop.time() - warned >= _AWAY_S:
                    warned = loop.time()
                    self._put(self._own("warning", reason=f"{answer.reason}; this stream speaks {OURS}"))
            except BrokerUnreachable:
                now = loop.time()
                away_since = now if away_since is None else away_since
                if now - warned >= _AWAY_S:
                    warned = now
                    why = await not_encrypted_here(self._broker, self._security)
                    reason = f"no broker answers at {self._broker}; waiting for it"
                    self._put(self._own("warning", reason=f"{reason}: {why}" if why else reason))
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(_REQUEST_S):
                    await self._welcomed.wait()

    async def _catch_up(self) -> None:
        """Take the snapshot, and merge it by time with what has arrived since the subscription became active."""
        found: list[tuple[Event, int]] = []
        self._snapshots += 1
        try:
            for topic in self._topics:
                async for part in self._requests.ask_many(lambda id_, t=topic: GetSnapshot(id_, t), _SNAPSHOT_S):  # type: ignore[misc]
                    if not isinstance(part, Snapshot):
                        break
                    found += [(event, self._snapshots) for event in part.events if self._is_event(event)]
                    if part.last:
                        break
        finally:
            found += [(event, 0) for event in self._held or ()]
            self._held = None
            for event, snapshot in sorted(found, key=lambda entry: float(entry[0]["time"])):
                self._put(event, snapshot)

    def _is_event(self, event: Event) -> bool:
        try:
            check_event(event)
        except ProtocolError:
            self.counters.malformed += 1
            return False
        return True

    def _subscribe(self, address: str) -> None:
        self._unsubscribe()
        self._welcome = WELCOME + uuid.uuid4().hex.encode()
        self._held = []

        def subscribe(socket: zmq.Socket[bytes]) -> None:
            for topic in (*(topic.encode() for topic in self._topics), self._welcome):
                socket.setsockopt(zmq.SUBSCRIBE, topic)

        socket, self._dialer = dial(self._context, "subscriber", address, security=self._security, options=subscribe)
        self._channel = Channel(socket, deliver=self._deliver, counters=self.counters)

    def _deliver(self, _: Channel, _identity: bytes, frames: list[bytes]) -> None:
        if frames == [self._welcome]:
            if self._held is None:  # the broker is back: a snapshot first, as at the start
                self._held = []
            self._welcomed.set()
            return
        if frames[0].startswith(WELCOME):
            return
        try:
            event = decode_event(frames)
        except ProtocolError:
            self.counters.malformed += 1
            return
        if self._held is not None:
            self._held.append(event)
        else:
            self._put(event)

    def _put(self, event: Event, snapshot: int = 0) -> None:
        if self._run is None or event["run"] in {self._run, ""}:
            self._waiting.append((event, snapshot))
            self._changed.set()

    def _own(self, type_: str, run: str = "", **fields: Any) -> Event:
        self._seq += 1
        head = {"type": type_, "run": run, "node": STREAM, "role": "monitor", "incarnation": 0}
        return head | {"seq": self._seq, "time": time.time()} | fields

    def _refused(self, reason: str) -> None:
        self._put(self._own("warning", reason=reason))

    def _unsubscribe(self) -> None:
        if self._dialer is not None:
            self._dialer.close()
            self._dialer = None
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self._failure = task.exception()
        self._changed.set()
