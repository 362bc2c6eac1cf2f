"""How the process of a node ends when it is told to."""

import asyncio
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from nervenet.nodes.launching import node_process


async def muted_while_busy() -> tuple[bool, int]:
    """Terminate this process while its loop is busy: whether its nodes are muted at once, and the exit code."""
    muted: list[int] = []
    at_once: list[bool] = []

    async def work() -> None:
        os.kill(os.getpid(), signal.SIGUSR2)
        for _ in range(10_000):  # bytecodes, between which Python handles the signal; the loop has no turn
            pass
        at_once.append(bool(muted))
        await asyncio.Event().wait()

    async with asyncio.timeout(60):
        code = await node_process._until_terminated(work(), signal.SIGUSR2, on_stop=lambda: muted.append(1))
    return at_once == [True], code


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR2)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
async def test_nodes_are_muted_before_the_loop_has_worked_off_what_came() -> None:
    assert await muted_while_busy() == (True, 0)


@pytest.mark.usefixtures("handlers")
async def test_by_the_loop_alone_they_would_be_later(monkeypatch: pytest.MonkeyPatch) -> None:
    install = signal.signal

    def by_the_loop(number: int, handler: Any) -> Any:
        return None if getattr(handler, "__module__", "") == node_process.__name__ else install(number, handler)

    monkeypatch.setattr(signal, "signal", by_the_loop)
    assert await muted_while_busy() == (False, 0)
