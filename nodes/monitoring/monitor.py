"""Watch a running system from outside: attach at any moment, leave at will, never slow it down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from nervenet.broker.subscriber import EventStream

__all__ = ["Monitor"]

Event = dict[str, Any]


class Monitor:
    """The events of a broker, as they happen, beginning with the last ones of each kind.

    Events are flat maps (docs/events.md). Two kinds are made here: ``gap`` says how many events of a publisher were
    missed, ``warning`` (of node ``stream``) that the broker is away; when it is back, the events go on.

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
    last : dict of str to dict
        The last event about each node (its ``subject`` or else its publisher).

    Raises
    ------
    BadAddress
        On entering, if nobody could dial ``broker`` as it is written.

    Examples
    --------
    >>> async def main():
    ...     async with Monitor("tcp://127.0.0.1:5555") as events:
    ...         async for event in events:
    ...             print(event["type"], event["node"])
    """

    def __init__(self, broker: str, topics: Sequence[str] = ("",), run: str | None = None) -> None:
        self.received = 0
        self.missed = 0
        self.last: dict[str, Event] = {}
        self._stream = EventStream(broker, topics, run=run)

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stream.__aexit__(*exc)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        event = await anext(self._stream)
        if event["node"] != "stream":
            self.received += 1
            self.last[str(event.get("subject", event["node"]))] = event
        elif event["type"] == "gap":
            self.missed += event["missed"]
        return event
