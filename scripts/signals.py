"""Signals of a process: the first one asks for an orderly stop, the second stops it at once."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from types import FrameType
from typing import Any, TypeVar

from . import logs

T = TypeVar("T")

SHOW_CURSOR = "\x1b[?25h"
at_exit_at_once: list[Callable[[], None]] = []
"""Called where a second signal, or SIGQUIT, ends the process: what a terminal has to be set back to."""
AGAIN_S = 0.5  # timeout(1) sends SIGTERM twice, and a shell that closes SIGHUP: only Ctrl-C may come again so soon


class Stopped(Exception):
    """A signal ended the program, after an orderly stop; the exit code is 128 + ``number``."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end; SIGINT, SIGTERM and SIGHUP cancel it, and a second signal ends the process.

    The cancellation's message is what happened, for people: "interrupted by Ctrl-C".

    The handlers are set explicitly: a shell that starts a background job makes it ignore SIGINT, and Python keeps that.
    They are plain handlers, not the loop's, so that a second signal works while the loop is busy.

    Raises
    ------
    Stopped
        When a signal ended it.
    """
    received: list[int] = []
    first_at = 0.0

    async def supervised() -> T:
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(work())

        def stop(number: int, _frame: FrameType | None) -> None:
            nonlocal first_at
            if received:
                if number == signal.SIGINT or time.monotonic() - first_at >= AGAIN_S:
                    _exit_at_once(number)
                return
            received.append(number)
            first_at = time.monotonic()
            _leave_dead_terminal()
            loop.call_soon_threadsafe(task.cancel, f"interrupted by {name_of(number)}")

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
        except OSError as error:
            if received and error.errno == errno.EIO:  # a terminal that has closed takes no last words
                _leave_dead_terminal()
                raise Stopped(received[0]) from None
            raise
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        # Work that handles the signal itself, as a web server does, ends without being cancelled.
        if received:
            raise Stopped(received[0])
        return result

    runner = asyncio.Runner()
    _make_loop(runner)
    with runner:
        return runner.run(supervised())


def _make_loop(runner: asyncio.Runner) -> None:
    """Make the event loop; Ctrl-C waits until it is whole, for half of one is reported with a traceback at the exit."""
    early: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: early.append(number))
    try:
        runner.get_loop()
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)
    if early:
        runner.close()
        raise KeyboardInterrupt


def name_of(number: int) -> str:
    """Return a signal's name, as people know it."""
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name


def _leave_dead_terminal() -> None:
    """Write to nowhere what a terminal that has closed would refuse, so that the stop goes on in order."""
    for descriptor in (1, 2):
        try:
            os.write(descriptor, b"")
        except OSError as error:
            if error.errno == errno.EIO:
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, descriptor)
                os.close(nowhere)


def _set_terminal_back() -> None:
    for restore in at_exit_at_once:
        restore()
    with contextlib.suppress(OSError):
        # A live table has hidden the cursor.
        if sys.stdout.isatty():
            os.write(sys.stdout.fileno(), SHOW_CURSOR.encode())


@contextlib.contextmanager
def terminal_set_back_at_quit() -> Iterator[None]:
    r"""Within this context Ctrl-\ (SIGQUIT) ends the process as it does anywhere, but sets the terminal back before."""
    number = getattr(signal, "SIGQUIT", None)
    if number is None or signal.getsignal(number) is not signal.SIG_DFL:  # somebody else has a use for it
        yield
        return

    def end(number: int, _frame: FrameType | None) -> None:
        _set_terminal_back()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    signal.signal(number, end)
    try:
        yield
    finally:
        signal.signal(number, signal.SIG_DFL)


def _exit_at_once(number: int) -> None:
    _set_terminal_back()
    with contextlib.suppress(OSError):
        os.write(2, logs.last_line(f"stopped at once by {signal.Signals(number).name}").encode())
    os._exit(128 + number)
