"""What stands around a peer for models that are larger than a message, and how long it stays for them at its end."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from ..config.schema import NetworkConfig
from ..gossip.asynchronous.machine import AsyncPeerMachine
from ..gossip.large.cycles import LargeCycles
from ..gossip.large.rounds import LargeRounds
from ..gossip.large.worker import LargeWorker
from ..gossip.lifecycle import PATIENCE
from ..gossip.round_machine import PeerMachine
from ..large.sizes import Sizes
from ..large.vectors import Room
from ..runtime.node import Node
from ..runtime.worker import RoleWorker


def around(
    machine: PeerMachine | AsyncPeerMachine, worker: RoleWorker, network: NetworkConfig, folder: Path | None
) -> tuple[LargeRounds | LargeCycles, LargeWorker]:
    """Return what a peer's node runs: its machine and its worker, and around them what announces and fetches."""
    sizes, outer = Sizes.of(network), LargeWorker(worker, Room.of(network, folder))
    return LargeRounds(machine, sizes) if isinstance(machine, PeerMachine) else LargeCycles(machine, sizes), outer


async def until_fetched(node: Node | None, every_s: float) -> None:
    """By rounds: hand out the last model to neighbors that have not got all of it yet, as long as they go on with it.

    Who asks for nothing within the deadline is not waited for, nor anybody for more than `PATIENCE` of them.
    """
    if node is None or not isinstance(large := node.machine, LargeRounds):
        return
    fetched = asyncio.Event()
    large.on_fetched = fetched.set
    until = node.loop.time() + PATIENCE * large.machine.rules.timing.deadline_s
    while large.owed(now := node.loop.time()) and now < until and not node.finished.done():
        fetched.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(every_s):
                await fetched.wait()
