"""The way of one real update through the coordinator, as docs/architecture.md lists it."""

from __future__ import annotations

import asyncio
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from nervenet.broker.broker import Broker
from nervenet.broker.messages import Task
from nervenet.models import MLP
from nervenet.nodes import Client, Coordinator

PAGE = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text()
ROUND = 3  # whose task the update of the round before leads to
STAGES = {
    "SyncRounds.admit": "the update is admitted",
    "Composed.apply": "the next model is made",
    "SyncRounds.open": "the next round opens",
    "Channel.send": "its task goes out",
}


class Walk:
    """Traces one thread from each read of a socket to the sending of a round's first task.

    Attributes
    ----------
    way
        Files that hand the update on: those on the stack at one of the `STAGES`.
    leaves
        The other files that were passed: they were asked something, and returned.
    """

    def __init__(self) -> None:
        self.way: set[str] = set()
        self.leaves: set[str] = set()
        self.reached: set[str] = set()
        self._sends: FrameType | None = None
        self._done = False

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        if self._done:
            return
        if event == "return" and frame is self._sends:
            self._done = True
            self.leaves -= self.way
        if event != "call" or (file := file_of(frame)) is None:
            return
        name = frame.f_code.co_qualname
        if name == "Channel._ready":
            self.way, self.leaves, self.reached = set(), set(), set()
        self.leaves.add(file)
        if name in STAGES and (name != "Channel.send" or self._sends is not None):
            self.reached.add(name)
            self.way |= set(stack_of(frame))
        if name == "ZmqTransport.send" and self._sends is None:
            message = frame.f_locals["message"]
            if isinstance(message, Task) and message.round == ROUND:
                self._sends = frame


def file_of(frame: FrameType) -> str | None:
    """The file of ours that a frame runs in, None for those of others."""
    found = re.search(r"/nervenet/((?:broker|models|nodes)/.+\.py)$", frame.f_code.co_filename)
    return found and found[1]


def stack_of(frame: FrameType | None) -> Iterator[str]:
    while frame is not None:
        if (file := file_of(frame)) is not None:
            yield file
            if frame.f_code.co_qualname == "Channel._ready":
                return
        frame = frame.f_back


def rows(seed: int) -> tuple[Any, Any]:
    X = np.random.default_rng(seed).normal(size=(40, 3))
    return X, (X[:, 0] > 0).astype(int)


async def clients(broker: str) -> None:
    async def one(number: int) -> None:
        async with Client(MLP((3,)), rows(number), broker=broker, run="w", name=f"c{number}", nodes=2) as client:
            async for _ in client.rounds():
                pass

    async with asyncio.TaskGroup() as group:
        for number in range(2):
            group.create_task(one(number))


async def traced(walk: Walk) -> None:
    async with Broker("tcp://127.0.0.1:0") as broker:
        address = broker.addresses["directory"]
        others = threading.Thread(target=asyncio.run, args=(clients(address),))
        others.start()
        async with Coordinator(MLP((3,)), test=rows(9), rounds=5, broker=address, run="w", nodes=2) as coordinator:
            sys.setprofile(walk)
            try:
                async for _ in coordinator.rounds():
                    pass
            finally:
                sys.setprofile(None)
        await asyncio.to_thread(others.join)


@pytest.fixture(scope="module")
def walk() -> Walk:
    found = Walk()
    asyncio.run(traced(found))
    return found


def listed(title: str) -> list[str]:
    """The files in the first list below a heading of the page."""
    section = PAGE.partition(f"### {title}\n")[2]
    return re.findall(r"^- \[`(\S+)`\]", section.partition("\n#")[0], flags=re.MULTILINE)


def test_the_walk_passes_every_stage(walk: Walk) -> None:
    assert walk.reached == set(STAGES)


def test_the_page_lists_the_files_that_hand_an_update_on(walk: Walk) -> None:
    assert set(listed("Files that hand an update on")) == walk.way
    assert len(walk.way) <= 12


def test_the_page_lists_the_files_that_are_asked_on_the_way(walk: Walk) -> None:
    # An evaluation of the round before, which has its own pace, may be answered between the read and the send.
    by_chance = {"nodes/federated/early_stopping.py"}
    assert set(listed("Files that are asked on the way")) == walk.leaves - by_chance
