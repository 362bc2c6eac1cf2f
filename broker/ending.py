"""The end of what an owner holds, which takes place even where the owner is cancelled meanwhile."""

import asyncio
from collections.abc import Callable
from typing import Any


async def end_in_thread(end: Callable[..., object], *arguments: Any) -> None:
    """Call what ends a context or a file in a thread, as it may wait: a context waits for its lingering sockets.

    Who is cancelled stops to wait, and the call is made all the same. `asyncio.to_thread` drops a call that no thread
    has begun by then: the context would stay open, with its threads and descriptors.
    """
    await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, end, *arguments))
