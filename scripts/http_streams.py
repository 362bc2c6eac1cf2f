"""Connections over which answers have no end: one whose other side has stopped reading is closed."""

from __future__ import annotations

import asyncio

from .http_connections import BoundedProtocol

STALLED_S = 10.0  # without a byte that is taken, although some wait


class StreamingProtocol(BoundedProtocol):
    """A connection that is closed when nothing of what waits to be sent has been taken for `STALLED_S`."""

    _stalled: asyncio.TimerHandle | None = None
    _waiting = 0  # bytes, when it was looked at last

    def pause_writing(self) -> None:
        super().pause_writing()
        self._look()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._forget_stall()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_stall()
        super().connection_lost(exc)

    def _look(self) -> None:
        self._forget_stall()
        self._waiting = self.transport.get_write_buffer_size()
        self._stalled = self.loop.call_later(STALLED_S, self._look_again)

    def _look_again(self) -> None:
        if self.transport.get_write_buffer_size() < self._waiting:
            self._look()
        else:
            self.close_now()

    def _forget_stall(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
