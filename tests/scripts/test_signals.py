"""Signals: the first asks for an orderly stop, the second does not wait; ignored SIGINT is taken back."""

import asyncio
import contextlib
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest
from nervenet.scripts.signals import _make_loop

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
        stdin=subprocess.PIPE,
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


@pytest.fixture
def again_s(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let so many seconds pass before a second SIGTERM or SIGHUP counts."""

    def choose(seconds: float) -> None:
        chosen = f"import nervenet.scripts.signals as signals\nsignals.AGAIN_S = {seconds}\n{PROGRAM}"
        monkeypatch.setattr(sys.modules[__name__], "PROGRAM", chosen)

    return choose


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_comes_twice_at_once_is_one(number: signal.Signals, again_s: Callable[[float], None]) -> None:
    """As timeout(1) sends it, to its child and then to the whole group, and a shell that closes."""
    again_s(600.0)
    with started("await asyncio.to_thread(sys.stdin.readline)", number=number) as (process, out):
        os.kill(process.pid, number)
        assert out.readline() == "stopping\n"
        os.kill(process.pid, number)
        assert process.stdin is not None
        process.stdin.close()
        assert out.read() == "stopped\n"
        assert process.wait(60) == 128 + number


def test_taken_for_a_second_one_it_would_end_the_stop(again_s: Callable[[float], None]) -> None:
    again_s(0.0)
    with started("await asyncio.to_thread(sys.stdin.readline)") as (process, out):
        os.kill(process.pid, signal.SIGTERM)
        assert out.readline() == "stopping\n"
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
        assert out.read() == ""


def left_by_a_closed_terminal(tmp_path: Path, preamble: str = "") -> tuple[int, bool]:
    """Close a program's terminal while it runs; return its exit code, and whether it stopped in order to the end."""
    ours, theirs = pty.openpty()
    program = preamble + PROGRAM.format(farewell=f"open({str(tmp_path / 'left')!r}, 'w').close()")
    with subprocess.Popen([sys.executable, "-c", program], stdout=theirs, stderr=theirs) as process:
        watchdog = threading.Timer(60.0, process.kill)
        watchdog.start()
        try:
            assert os.read(ours, 100).startswith(b"ready")
            os.close(theirs)
            os.close(ours)
            os.kill(process.pid, signal.SIGHUP)
            return process.wait(60), (tmp_path / "left").exists()
        finally:
            watchdog.cancel()
            process.kill()


def test_a_closed_terminal_stops_in_order(tmp_path: Path) -> None:
    assert left_by_a_closed_terminal(tmp_path) == (129, True)


def test_a_word_to_a_closed_terminal_would_end_the_stop(tmp_path: Path) -> None:
    deaf = "import nervenet.scripts.signals as signals\nsignals._leave_dead_terminal = lambda: None\n"
    _, in_order = left_by_a_closed_terminal(tmp_path, deaf)
    assert not in_order


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


def loops_made(make: Callable[[asyncio.Runner], object]) -> int:
    """How many event loops are whole when Ctrl-C comes while one is being made."""
    made = []

    def interrupted() -> asyncio.AbstractEventLoop:
        signal.raise_signal(signal.SIGINT)
        made.append(asyncio.new_event_loop())
        return made[0]

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        runner = asyncio.Runner(loop_factory=interrupted)
        with pytest.raises(KeyboardInterrupt):
            make(runner)
        runner.close()
    finally:
        signal.signal(signal.SIGINT, before)
    return len(made)


def test_an_early_signal_waits_until_the_loop_is_whole() -> None:
    assert loops_made(_make_loop) == 1


def test_otherwise_half_of_a_loop_would_be_reported_at_the_exit() -> None:
    assert loops_made(asyncio.Runner.get_loop) == 0
