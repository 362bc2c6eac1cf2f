"""backend="processes": a fit that is interrupted leaves nothing that goes on."""

import asyncio
import signal
import threading
from typing import Any

import pytest
from nervenet.nodes.estimators import processes
from nervenet.nodes.estimators.processes import in_own_thread


async def one() -> int:
    return 1


async def fails() -> int:
    raise ValueError("why")


def test_a_coroutine_comes_to_its_result_in_a_thread_of_its_own() -> None:
    assert in_own_thread(one) == 1
    with pytest.raises(ValueError, match="why"):
        in_own_thread(fails)


class Waiting:
    """Work that ends when it is cancelled, and interrupts the thread that waits for it."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self.waits = threading.current_thread()

    async def __call__(self) -> None:
        signal.pthread_kill(self.waits.ident or 0, signal.SIGINT)
        try:
            async with asyncio.timeout(60):
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # as an orderly stop takes more than one step
            self.cancelled.set()
            raise


def interrupted(work: Waiting) -> bool:
    """Return whether the work had been cancelled when the interruption was raised."""
    assert threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            in_own_thread(work)
        return work.cancelled.is_set()
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_ends_a_fit_and_all_that_it_has_started() -> None:
    assert interrupted(Waiting())


def test_else_it_would_go_on_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    work, left, cancel = Waiting(), list[Any](), processes._Running.cancel

    def leave(running: Any) -> None:
        left.append((running, running.ended))
        running.ended = threading.Event()
        running.ended.set()

    monkeypatch.setattr(processes._Running, "cancel", leave)
    assert not interrupted(work)
    ((running, ended),) = left
    running.ended = ended
    cancel(running)
    assert ended.wait(60)
    assert work.cancelled.is_set()


def without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)


def test_where_no_thread_can_be_started_it_is_said_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    without_threads(monkeypatch)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        in_own_thread(one)


def test_unless_it_is_known_to_have_ended_it_would_be_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    running = processes._Running(one)
    with monkeypatch.context() as patch:
        without_threads(patch)
        patch.setattr(running.ended, "set", lambda: None)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            running.start()
    assert not running.ended.is_set()
