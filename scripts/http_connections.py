"""uvicorn's connections, with a deadline for the head of each request, and no more of them than a server can bear."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 10.0  # for the head of a request to arrive
CONNECTIONS = 256  # beyond, the one that has waited longest for a head is closed


class BoundedProtocol(H11Protocol):
    """A connection that is closed if no whole head of a request has come over it in time."""

    head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._await_head()
        if len(self.connections) > CONNECTIONS:
            others = [each for each in self.connections if isinstance(each, BoundedProtocol)]
            waiting = [each for each in others if each.head is not None]
            min(waiting, key=BoundedProtocol._due, default=self).close_now()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._forget_head()
        elif self.head is None:
            self._await_head()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle is None or self.cycle.response_complete:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_head()
        super().connection_lost(exc)

    def _due(self) -> float:
        return self.head.when() if self.head is not None else 0.0

    def _await_head(self) -> None:
        self._forget_head()
        if not self.transport.is_closing():
            self.head = self.loop.call_later(HEAD_S, self.close_now)

    def _forget_head(self) -> None:
        if self.head is not None:
            self.head.cancel()
            self.head = None

    def close_now(self) -> None:
        """Close, whatever is still to be sent."""
        self._forget_head()
        self.transport.abort()
