"""Signals of a process: the first one asks for an orderly stop, the second stops it at once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

SHOW_CURSOR = "\x1b[?25h"


class Stopped(Exception):
    """A signal ended the program, after an orderly stop; the exit code is 128 + ``number``."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end; SIGINT, SIGTERM and SIGHUP cancel it, and a second signal ends the process.

    The handlers are set explicitly: a shell that starts a background job makes it ignore SIGINT, and Python keeps that.
    They are plain handlers, not the loop's, so that a second signal works while the loop is busy.

    Raises
    ------
    Stopped
        When a signal ended it.
    """
    received: list[int] = []

    async def supervised() -> T:
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(work())

        def stop(number: int, _frame: FrameType | None) -> None:
            if received:
                _exit_at_once(number)
            received.append(number)
            loop.call_soon_threadsafe(task.cancel)

        numbers = [signal.SIGINT, signal.SIGTERM]
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # which nohup asks for
            numbers.append(signal.SIGHUP)
        before = {number: signal.signal(number, stop) for number in numbers}
        try:
            result = await task
        except asyncio.CancelledError:
            if received:
                raise Stopped(received[0]) from None
            raise
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        # Work that handles the signal itself, as a web server does, ends without being cancelled.
        if received:
            raise Stopped(received[0])
        return result

    return asyncio.run(supervised())


def _exit_at_once(number: int) -> None:
    # A live table has hidden the cursor.
    if sys.stdout.isatty():
        os.write(sys.stdout.fileno(), SHOW_CURSOR.encode())
    os._exit(128 + number)
