"""Watch a running system from outside: attach and detach at any moment, never slow it down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from nervenet.broker.subscriber import EventStream

from .events import AnyEvent, Gap, parse_event


class Monitor:
    """The events of a broker, as they happen, beginning with the last ones of each kind.

    Each is an instance of its type's class in `nervenet.nodes.monitoring.events` (docs/events.md), and has the map that
    was received as `raw`; ``event["type"]`` reads from it. Two types are made here: ``gap`` says how many events of a
    publisher were missed, ``warning`` (of node ``stream``) that the broker does not answer; when it does, events go on.

    Parameters
    ----------
    broker : str
        Address of the broker, as ``nervenet launch`` prints it.
    topics : sequence of str
        Prefixes of the types that are wanted; ``""`` is all.
    run : str, optional
        Only events of this run.

    Attributes
    ----------
    received : int
        Events so far.
    missed : int
        Events that were published and never arrived here, as far as the sequences show.
    last : dict of str to Event
        The last event about each node (its ``subject`` or else its publisher).

    Raises
    ------
    BadAddress
        On entering, if ``broker`` is no address.

    Examples
    --------
    >>> async def main():
    ...     async with Monitor("tcp://127.0.0.1:5555") as events:
    ...         async for event in events:
    ...             print(event.type, event.node)
    """

    def __init__(self, broker: str, topics: Sequence[str] = ("",), run: str | None = None) -> None:
        self.received = 0
        self.missed = 0
        self.last: dict[str, AnyEvent] = {}
        self._stream = EventStream(broker, topics, run=run)

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stream.__aexit__(*exc)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AnyEvent:
        event = parse_event(await anext(self._stream))
        if event.node != "stream":
            self.received += 1
            self.last[str(event.get("subject", event.node))] = event
        elif isinstance(event, Gap):
            self.missed += event.missed
        return event
