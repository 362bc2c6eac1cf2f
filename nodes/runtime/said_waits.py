"""For whom a node waits, said now and then, and shown wherever it changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

SAY_EVERY_S = 60.0
SHOW_EVERY_S = 1.0  # where somebody looks on


class Cause:
    """Why a wait lasts: warned of once for each new reason, and said after the name of whom it is for.

    `silence` is the reason that the wait itself says already.
    """

    def __init__(self, warn: Callable[[str], None], silence: str) -> None:
        self._warn = warn
        self._silence = silence
        self._reason = silence

    def found(self, reason: str) -> None:
        if reason not in (self._reason, self._silence):
            self._warn(reason)
        self._reason = reason

    def __str__(self) -> str:
        return "" if self._reason == self._silence else f": {self._reason}"


@asynccontextmanager
async def saying(
    whom: Callable[[], str], warn: Callable[[str], None], show: Callable[[str], None] | None
) -> AsyncIterator[None]:
    """Warn every minute that this node waits for `whom()`; `show` it, if given, where that has changed."""

    async def say() -> None:
        waited_s = 0.0
        while True:
            await asyncio.sleep(SAY_EVERY_S)
            waited_s += SAY_EVERY_S
            warn(f"waiting for {whom()}, for {waited_s:g} s")

    async def show_changes(show: Callable[[str], None]) -> None:
        shown = ""
        while True:
            await asyncio.sleep(SHOW_EVERY_S)
            if whom() != shown:
                shown = whom()
                show(shown)

    waits = [asyncio.create_task(say())]
    waits += [] if show is None else [asyncio.create_task(show_changes(show))]
    try:
        yield
    finally:
        for task in waits:
            task.cancel()
