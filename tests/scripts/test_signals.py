"""Signals: the first asks for an orderly stop, the second does not wait; ignored SIGINT is taken back."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import IO

import pytest

pytestmark = pytest.mark.e2e

PROGRAM = """
import asyncio, sys, time
from nervenet.scripts.signals import Stopped, run

async def work():
    print("ready", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        print("stopping", flush=True)
        {farewell}
        print("stopped", flush=True)

try:
    run(work)
except Stopped as stopped:
    sys.exit(128 + stopped.number)
"""


@contextlib.contextmanager
def started(
    farewell: str, *, ignoring: bool = False, number: signal.Signals = signal.SIGINT
) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    def inherit() -> None:
        # What a shell does for a job in the background, and nohup for SIGHUP; these tests may have been started so.
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        signal.signal(number, signal.SIG_IGN if ignoring else signal.SIG_DFL)

    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(farewell=farewell)],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=inherit,  # noqa: PLW1509
    ) as process:
        watchdog = threading.Timer(60.0, process.kill)  # a signal that does nothing fails the test, and hangs none
        watchdog.start()
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process, process.stdout
        finally:
            watchdog.cancel()
            process.kill()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("ignoring", [False, True])
def test_the_first_signal_stops_in_order(number: signal.Signals, code: int, ignoring: bool) -> None:
    with started("await asyncio.sleep(0)", ignoring=ignoring) as (process, out):
        os.kill(process.pid, number)
        assert out.read() == "stopping\nstopped\n"
        assert process.wait(60) == code


@pytest.mark.parametrize("farewell", ["await asyncio.Event().wait()", "time.sleep(60)"])
def test_the_second_signal_stops_at_once_even_a_busy_loop(farewell: str) -> None:
    with started(farewell) as (process, out):
        os.kill(process.pid, signal.SIGINT)
        assert out.readline() == "stopping\n"
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(60) == 130
        assert out.read() == ""


def test_a_hangup_that_is_ignored_stays_ignored() -> None:
    with started("await asyncio.sleep(0)", ignoring=True, number=signal.SIGHUP) as (process, out):
        os.kill(process.pid, signal.SIGHUP)
        os.kill(process.pid, signal.SIGTERM)
        assert out.read() == "stopping\nstopped\n"
        assert process.wait(60) == 143


def test_the_old_handlers_come_back() -> None:
    from nervenet.scripts.signals import run

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    async def work() -> int:
        return 3

    assert run(work) == 3
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
