"""Connections that have closed before their HELLO, which are reported in a moment, unless all leave just then.

A member that leaves dials others for its last words, and may be gone before its HELLO has been: it is no stranger.
Others leave with it, or this node does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

LEAVING_S = 1.0  # in which others may leave
_MOST = 1_000  # who are told apart


class EarlyLeavers:
    """Those of one socket. ``tell`` is called with the address of each that is to be reported; empty if not known.

    ``has_left`` says whether one that had introduced itself has left, from that address or from any, since some time.
    """

    def __init__(self, tell: Callable[[str], None], has_left: Callable[[str, float], bool]) -> None:
        self._tell, self._has_left = tell, has_left
        self._loop = asyncio.get_running_loop()
        self._addresses: list[str] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, address: str) -> None:
        if len(self._addresses) < _MOST:
            self._addresses.append(address)
        if self._timer is None:
            self._timer = self._loop.call_later(LEAVING_S, self._tell_all, self._loop.time() - LEAVING_S)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tell_all(self, since: float) -> None:
        self._timer = None
        addresses, self._addresses = self._addresses, []
        for address in addresses:
            if not self._has_left(address, since):
                self._tell(address)
