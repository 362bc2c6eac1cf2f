"""Tasks beside a block: ended with it, and what they raise is raised."""

import asyncio

import pytest
from nervenet.nodes.web.background import ending_with


async def fails(reason: str) -> None:
    raise ValueError(reason)


async def test_they_are_cancelled_and_have_ended_with_the_block() -> None:
    tasks = [asyncio.create_task(asyncio.sleep(3600)) for _ in range(2)]
    async with ending_with(tasks):
        await asyncio.sleep(0)
    assert all(task.cancelled() for task in tasks)


async def test_what_one_raised_is_raised() -> None:
    tasks = [asyncio.create_task(asyncio.sleep(3600)), asyncio.create_task(fails("mine"))]
    with pytest.raises(ValueError, match="mine"):
        async with ending_with(tasks):
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)


async def failing_beside(tasks: list[asyncio.Task[None]]) -> None:
    async with ending_with(tasks):
        await asyncio.wait(tasks)
        raise KeyError("block")


async def test_what_the_block_raises_comes_first() -> None:
    with pytest.raises(KeyError, match="block"):
        await failing_beside([asyncio.create_task(fails("mine"))])
