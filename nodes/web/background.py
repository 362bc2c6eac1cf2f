"""Tasks that go on beside something else, and end with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def ending_with(tasks: Collection[asyncio.Task[Any]]) -> AsyncIterator[None]:
    """Cancel tasks at the end of a block, wait until they have ended, and raise what one of them raised.

    What the block raises itself comes first.
    """
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        failures = [error for task in tasks if not task.cancelled() and (error := task.exception()) is not None]
    if failures:
        raise failures[0]
