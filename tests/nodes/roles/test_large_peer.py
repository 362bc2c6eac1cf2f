"""A peer that has done its rounds stays for those who fetch its last model, but not for good."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from nervenet.broker import messages as m
from nervenet.nodes.gossip.large.rounds import LargeRounds
from nervenet.nodes.large.sizes import Sizes
from nervenet.nodes.roles.large_peer import until_fetched
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.topology import schedule
from static_membership import static_peer

MODEL = m.Payload("a1b2", "float32", 5)
DEADLINE_S = 30.0


class Asked:
    """A node whose neighbor a asks for the same range whenever somebody looks at the clock, by seconds."""

    def __init__(self, until: float) -> None:
        rounds = static_peer("b", "ab", schedule("ring", "ab"), deadline_s=DEADLINE_S)
        self.machine = LargeRounds(rounds, Sizes(message_bytes=4_096 + 8, chunk_bytes=8))
        send = e.Send(("a",), m.Exchange(1, MODEL), "w")
        self.machine.offers.withhold([send], 0.0)
        self.loop = SimpleNamespace(time=self.time)
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.now = 0.0
        self._until = until

    def time(self) -> float:
        self.now += 1.0
        self.machine.handle(ev.Arrived("a", m.GetChunk(1, 1, 0, 2)), self.now)
        if self.now >= self._until and not self.finished.done():
            self.finished.set_result(None)
        return self.now


@pytest.mark.parametrize("patience", [10, 10**9])
async def test_who_asks_for_ever_is_not_waited_for(patience: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nervenet.nodes.roles.large_peer.PATIENCE", patience)
    node: Any = Asked(until=1_000.0)
    await until_fetched(node, 0.0)
    assert node.machine.owed(node.now) == {"a"}
    assert (node.now < 11 * DEADLINE_S) == (patience == 10)


async def test_nobody_is_waited_for_who_has_it() -> None:
    node: Any = Asked(until=1_000.0)
    node.machine.handle(ev.Arrived("a", m.Fetched(1)), 0.0)
    await until_fetched(node, 0.0)
    assert node.now == 2.0
