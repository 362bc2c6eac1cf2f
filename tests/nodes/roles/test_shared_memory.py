"""Whole runs by shared memory: the same bits as by sockets, federated and gossip, plain and with keys."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nervenet.broker.broker import Broker
from nervenet.broker.shared_memory.budget import OF_PROCESS
from nervenet.broker.shared_memory.region import can_be_made
from nervenet.models import MLP, datasets
from nervenet.nodes import Client, Coordinator, Experiment, Peer
from nervenet.nodes.launching.launch_keys import _make
from nervenet.nodes.runtime.secured import close_gate, security_of

pytestmark = pytest.mark.skipif(not can_be_made(), reason="this system has no memory with such seals")

SITES = ("north", "south")
ROUNDS = 6
SOME = 4 * 67_510  # bytes: the first vectors go by the socket, until the readers are there
HIDDEN = (900,)  # 67,510 parameters: 270 kB


async def run(mode: str, shared: bool, keys: Path | None = None) -> tuple[list[Any], int]:
    """Return the weights that each node ended with, and how many bytes went by shared memory."""
    if keys is not None:
        _make(keys, {"coordinator": "coordinator", **dict.fromkeys(SITES, "client")})
    network = {"shared_memory": shared, "join_deadline_s": 60, **({} if keys is None else {"keys": str(keys)})}
    training, evaluation = {"epochs": 1, "batch_size": 40}, {"every": ROUNDS}
    wanted = Experiment.from_dict(
        {
            "mode": mode,
            "nodes": 2,
            "rounds": ROUNDS,
            "network": network,
            "training": training,
            "evaluation": evaluation,
        }
    )
    data = datasets.load("digits")
    rows = {name: slice(40 * place, 40 * place + 40) for place, name in enumerate(SITES)}
    security = security_of(wanted.network, "broker")
    nodes: list[Any] = []

    async def one(node: Any) -> Any:
        async with node:
            nodes.append(node)
            async for _ in node.rounds():
                pass
            return np.array(node.model.get_weights())

    async with Broker("tcp://127.0.0.1:0", security=security) as broker, asyncio.timeout(240):
        words: dict[str, Any] = {"broker": broker.address, "run": "r", "experiment": wanted}
        kind = Client if mode == "federated" else Peer
        every = [kind(MLP(HIDDEN), (data.X[rows[name]], data.y[rows[name]]), name=name, **words) for name in SITES]
        if mode == "federated":
            every.append(Coordinator(MLP(HIDDEN), **words))
        found = await asyncio.gather(*map(one, every))
    close_gate(security)
    return found, sum(node.session.transport.counters.bytes_shared for node in nodes)


def same(one: list[Any], other: list[Any]) -> bool:
    return all(np.array_equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))


async def test_a_federated_run_has_the_bits_of_one_by_sockets_with_keys_too(tmp_path: Path) -> None:
    by_sockets, none = await run("federated", False)
    by_memory, nbytes = await run("federated", True)
    with_keys, nbytes_with_keys = await run("federated", True, tmp_path / "keys")
    assert none == 0
    assert min(nbytes, nbytes_with_keys) >= SOME
    assert same(by_sockets, by_memory)
    assert same(by_sockets, with_keys)
    assert OF_PROCESS.taken == (0, 0)


async def test_a_gossip_run_has_the_bits_of_one_by_sockets() -> None:
    by_sockets, _ = await run("gossip", False)
    by_memory, nbytes = await run("gossip", True)
    assert nbytes >= SOME
    assert same(by_sockets, by_memory)
