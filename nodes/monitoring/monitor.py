"""Watch a running system from outside: attach and detach at any moment, never slow it down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from nervenet.broker.subscriber import EventStream

from ..runtime.event_edge import Edge
from ..runtime.event_types import AnyEvent, Gap, parse_event


class Monitor:
    """The events of a broker, as they happen, beginning with the last ones of each kind.

    Each is an instance of its type's class in `nervenet.nodes.runtime.event_types` (docs/events.md), and has as `raw`
    the map that was received, without what does not fit its type; ``event["type"]`` reads from it. Three types are made
    here: ``gap`` says how many events of a publisher were missed, ``malformed`` how many did not fit their type,
    ``warning`` (of node ``stream``) that the broker does not answer; when it does, events go on.

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
        self._edge = Edge()
        self._next: dict[str, Any] | None = None
        self._stream = EventStream(broker, topics, run=run)

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stream.__aexit__(*exc)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AnyEvent:
        if self._next is not None:
            raw, self._next = self._next, None
        else:
            raw, malformed = self._edge.decode(await anext(self._stream))
            if malformed is not None:
                raw, self._next = malformed, raw
        event = parse_event(raw)
        if event.node != "stream":
            self.received += 1
            self.last[str(event.get("subject", event.node))] = event
        elif isinstance(event, Gap):
            self.missed += event.missed
        return event
