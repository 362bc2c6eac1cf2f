"""A model that no message carries goes on, after a cut, at the chunk where it stopped; peers mix it as any other."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from nervenet.broker import messages as m
from nervenet.broker.broker import Broker
from nervenet.models import MLP
from nervenet.nodes import Client, Coordinator, Experiment, Peer
from nervenet.nodes.large.pull import WINDOW, Pull
from nervenet.nodes.runtime.node import Node
from relay import Relay

CHUNK_BYTES = 8_192
ROWS = np.random.default_rng(0).normal(size=(30, 4)), np.arange(30) % 3


def plan(**network: Any) -> Experiment:
    return Experiment.from_dict(
        {
            "nodes": 2,
            "rounds": 1,
            "training": {"epochs": 1},
            "network": {"max_message_bytes": 65_536, "chunk_bytes": CHUNK_BYTES, "heartbeat_s": 0.1, **network},
        }
    )


async def weights_of(experiment: Experiment) -> list[Any]:
    """Train a round of two clients; return the final weights of the coordinator, and those of each client."""
    host = experiment.network.bind
    async with Broker(f"tcp://{host}:0") as broker:
        where: dict[str, Any] = {"broker": broker.addresses["directory"], "run": "f", "experiment": experiment}

        async def lead() -> Any:
            async with Coordinator(MLP((5_000,)), **where) as coordinator:
                async for _ in coordinator.rounds():
                    pass
            return coordinator.weights

        async def follow(name: str) -> Any:
            async with Client(MLP((5_000,)), ROWS, name=name, **where) as client:
                async for _ in client.rounds():
                    pass
            return client.model.get_weights()

        async with asyncio.timeout(240):
            return await asyncio.gather(lead(), follow("c0"), follow("c1"))


class Sent:
    """The chunks that were sent, by whom, to whom, of which array and from where on.

    `at` is what to call after so many of a sender.
    """

    def __init__(self) -> None:
        self.chunks: list[tuple[str, str, int, int]] = []
        self.of: Counter[str] = Counter()
        self.at: dict[tuple[str, int], Callable[[], None]] = {}

    def note(self, sender: str, to: str, chunk: m.Chunk) -> None:
        self.chunks.append((sender, to, chunk.generation, chunk.start))
        self.of[sender] += 1
        self.at.get((sender, self.of[sender]), lambda: None)()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    found, send = Sent(), Node._of_large_model

    def noted(node: Node, effect: Any) -> None:
        send(node, effect)
        if isinstance(message := getattr(effect, "message", None), m.Chunk):
            found.note(node.transport.node, effect.to, message)

    monkeypatch.setattr(Node, "_of_large_model", noted)
    return found


async def cut_midway(number: int, sent: Sent) -> list[Any]:
    """Train with a cut of all connections in the middle of the way down, and one in that of the way up."""
    behind, front = f"127.{number}.0.1", f"127.{number}.0.2"
    async with Relay(behind, front) as relay:
        sent.at = {("coordinator", 20): relay.cut, ("c0", 10): relay.cut}
        return await weights_of(plan(bind=behind, advertise=front))


async def test_after_a_cut_it_is_resumed_at_the_chunk_where_it_stopped(sent: Sent) -> None:
    final, *copies = await cut_midway(61, sent)
    whole, *_ = await weights_of(plan(max_message_bytes=1 << 20))
    assert np.array_equal(final, whole)
    assert all(np.array_equal(copy, whole) for copy in copies)
    assert whole.nbytes > 15 * CHUNK_BYTES
    twice = len(sent.chunks) - len(set(sent.chunks))
    assert 0 < twice <= 4 * 2 * WINDOW  # of each of the two, at each of two cuts, what was on its way


async def test_without_asking_again_nothing_would_come_back(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pull, "again", lambda *_: [])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.5):
            await cut_midway(62, sent)


async def mixed(message_bytes: int) -> list[Any]:
    """Do two rounds of three peers, whose model of 9 MB travels in one message or in many; return all weights."""
    network = {
        "max_message_bytes": message_bytes,
        "chunk_bytes": 1 << 18,
        "suspect_after_s": 60,
        "join_deadline_s": 120,
    }
    wanted = {"mode": "gossip", "nodes": 3, "rounds": 2, "training": {"epochs": 1}, "gossip": {"deadline_s": 120}}
    experiment = Experiment.from_dict({**wanted, "network": network})
    async with Broker("tcp://127.0.0.1:0") as broker:
        where: dict[str, Any] = {"broker": broker.addresses["directory"], "run": "g", "experiment": experiment}

        async def learn(name: str) -> Any:
            async with Peer(MLP((1_500, 1_500)), ROWS, name=name, **where) as peer:
                async for _ in peer.rounds():
                    pass
            return peer.weights

        async with asyncio.timeout(240):
            return await asyncio.gather(*map(learn, ("p0", "p1", "p2")))


async def test_peers_mix_in_chunks_what_they_would_in_messages(sent: Sent) -> None:
    whole = await mixed(1 << 28)
    assert sent.chunks == []
    chunked = await mixed(1 << 20)
    assert [vector.tobytes() for vector in chunked] == [vector.tobytes() for vector in whole]
    assert whole[0].nbytes > 9_000_000
    assert len(sent.chunks) >= 2 * 6 * (whole[0].nbytes >> 18)  # two rounds, and six ways
