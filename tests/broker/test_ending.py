"""What an owner holds ends even where the owner is cancelled meanwhile."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Awaitable, Callable

import pytest
import zmq
from nervenet.broker.ending import end_in_thread


async def cancelled_in_the_queue(end: Callable[..., Awaitable[object]]) -> bool:
    """Cancel the end of a context that waits for a thread; return whether the context ended afterwards."""
    loop, free = asyncio.get_running_loop(), threading.Event()
    loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(1))
    busy = loop.run_in_executor(None, free.wait)
    with zmq.Context() as context:
        ending = asyncio.ensure_future(end(context.term))
        await asyncio.sleep(0)  # it is in the queue now
        ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ending
        free.set()
        await busy
        await loop.run_in_executor(None, bool)  # comes behind all that was in the queue
        return context.closed


async def test_a_context_ends_though_its_owner_is_cancelled_before_a_thread_is_free() -> None:
    assert await cancelled_in_the_queue(end_in_thread)


async def test_a_call_that_is_dropped_with_its_owner_would_leave_it_open() -> None:
    assert not await cancelled_in_the_queue(asyncio.to_thread)


async def test_what_the_end_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        await end_in_thread(divmod, 1, 0)
