"""Watch a running system from outside: attach and detach at any moment, never slow it down."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Self

from nervenet.broker.subscriber import EventStream

from ..config.schema import NetworkConfig
from ..runtime.event_edge import Edge
from ..runtime.event_fitting import parse_event
from ..runtime.event_types import AnyEvent, Gap
from ..runtime.secured import check_way_in, close_gate, security_of


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
    keys : path, optional
        The folder of keys of who watches; needed for a broker beyond this machine. `name` chooses one of several.
    insecure : bool
        Watch a broker beyond this machine without keys: what it shows may be forged.

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
        On entering, if ``broker`` is no address, or one beyond this machine and there are no keys (`NotEncrypted`).
    KeysError
        The key cannot be used.

    Examples
    --------
    >>> async def main():
    ...     async with Monitor("tcp://127.0.0.1:5555") as events:
    ...         async for event in events:
    ...             print(event.type, event.node)
    """

    def __init__(
        self,
        broker: str,
        topics: Sequence[str] = ("",),
        run: str | None = None,
        *,
        keys: Path | str | None = None,
        name: str | None = None,
        insecure: bool = False,
    ) -> None:
        self.received = 0
        self.missed = 0
        self.last: dict[str, AnyEvent] = {}
        self._edge = Edge()
        self._next: dict[str, Any] | None = None
        network = NetworkConfig(keys=None if keys is None else str(keys), insecure=insecure)
        self._security = security_of(network, name, "monitor")
        self._broker = broker
        self._stream = EventStream(broker, topics, run=run, security=self._security)

    async def __aenter__(self) -> Self:
        try:
            check_way_in(self._security, self._broker)
            await self._stream.__aenter__()
        except BaseException:
            close_gate(self._security)  # whose timer would go on for ever
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        try:
            await self._stream.__aexit__(*exc)
        finally:
            close_gate(self._security)

    def __aiter__(self) -> Self:
        return self

    async def maps(self) -> AsyncIterator[dict[str, Any]]:
        """Yield the events as maps, what does not fit left out: for who reads so many that objects of them cost.

        They are counted nowhere here.
        """
        while True:
            try:
                event = await self._map()
            except StopAsyncIteration:
                return
            yield event

    async def __anext__(self) -> AnyEvent:
        event = parse_event(await self._map())
        if event.node != "stream":
            self.received += 1
            self.last[str(event.get("subject", event.node))] = event
        elif isinstance(event, Gap):
            self.missed += event.missed
        return event

    async def _map(self) -> dict[str, Any]:
        if self._next is not None:
            found, self._next = self._next, None
            return found
        found, malformed = self._edge.decode(await anext(self._stream))
        if malformed is not None:
            found, self._next = malformed, found
        return found
