"""What is told of who was not let in at a broker: an event, and a line for whoever has started it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .security.refusals import Refusals, fields_of
from .transport_events import ConnectionRefused, Counters


class RefusalReports:
    """Of a flood few, and how many more there were.

    ``publish`` publishes an event of a run, and ``on_refused`` takes the line; neither is called once it is ``over``.
    """

    def __init__(
        self,
        counters: Counters,
        publish: Callable[..., None],
        on_refused: Callable[[str], None],
        over: Callable[[], bool],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._refusals = Refusals()
        self._counters, self._publish, self._on_refused, self._over = counters, publish, on_refused, over

    def refused(self, refusal: ConnectionRefused) -> None:
        """Count a refusal; it is told of in the loop's next turn."""
        self._counters.refused += 1
        self._loop.call_soon(self._report, refusal)

    def due(self, now: float) -> None:
        """Tell of what has been held back long enough."""
        for refusal, count in self._refusals.due(now):
            self._tell(refusal, count)

    def _report(self, refusal: ConnectionRefused) -> None:
        count = self._refusals.report(refusal, self._loop.time())
        if count and not self._over():
            self._tell(refusal, count)

    def _tell(self, refusal: ConnectionRefused, count: int) -> None:
        self._publish("connection.refused", "", **fields_of(refusal, count))
        where = f" from {refusal.address}" if refusal.address else ""
        times = f" ({count} times)" if count > 1 else ""
        self._on_refused(f"refused at {refusal.service}{where}: {refusal.reason}{times}")
