"""A peer without rounds that dies and is started again hears its neighbors, and they hear it, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import numpy as np
import pytest
from nervenet.broker import transport as t
from nervenet.broker.broker import Broker
from nervenet.broker.outbound import Outbound
from nervenet.models import MLP
from nervenet.nodes import Experiment, NodeFailed, Peer
from nervenet.nodes.runtime.session import Session

DEADLINE_S = 240.0
NAMES = ("a", "b", "c")
ROWS = (np.random.default_rng(0).normal(size=(20, 2)), np.arange(20) % 2)
MODELS = {"ad-psgd": {"propose", "accept"}, "gossip-learning": {"walk"}}


def peer(broker: str, name: str, algorithm: str, join_deadline_s: float = 60.0, *, replace: bool = False) -> Peer:
    network = {"heartbeat_s": 0.1, "suspect_after_s": 5.0, "join_deadline_s": join_deadline_s}
    gossip = {"algorithm": algorithm, "topology": "ring", "deadline_s": 5.0}
    plan = {"mode": "gossip", "nodes": 3, "rounds": 10**6, "gossip": gossip, "network": network}
    here = {"broker": broker, "run": "r", "name": name, "experiment": Experiment.from_dict(plan), "replace": replace}
    return Peer(MLP((4,)), ROWS, holdout=0.0, **here)


def models_heard(peer: Peer) -> set[tuple[str, str]]:
    """Return, as it grows, who has sent this peer a model: the sender, and the kind of the message."""
    heard: set[tuple[str, str]] = set()
    receive = peer.session._receive

    def noted(item: Any) -> None:
        if isinstance(item, t.Arrival):
            heard.add((item.sender, type(item.message).__name__.lower()))
        receive(item)

    peer.session._receive = noted  # type: ignore[method-assign]
    return heard


async def until(done: Callable[[], Any]) -> None:
    while not done():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def live(peer: Peer) -> None:
    async with peer:
        async for _ in peer.rounds():
            pass


async def die(peer: Peer) -> None:
    """Close every connection, and renew no lease; nobody is told."""
    assert peer._node is not None
    peer._node.mute()
    peer.session.send_goodbye = lambda *_: None  # type: ignore[method-assign]  # nor when its task is ended
    assert peer.session._lease is not None
    for task in peer.session._lease._tasks:
        task.cancel()
    await peer.session.transport.close(0.0)


async def check_it_hears_and_is_heard(algorithm: str, join_deadline_s: float = 60.0) -> None:
    async with asyncio.timeout(DEADLINE_S), AsyncExitStack() as stack:
        broker = await stack.enter_async_context(Broker("tcp://127.0.0.1:0"))
        tasks: list[asyncio.Task[None]] = []

        async def end() -> None:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        stack.push_async_callback(end)
        peers = {name: peer(broker.address, name, algorithm) for name in NAMES}
        heard_by_a = models_heard(peers["a"])
        tasks += [asyncio.create_task(live(one)) for one in peers.values()]
        await until(lambda: {("b", kind) for kind in MODELS[algorithm]} & heard_by_a)
        await die(peers["b"])
        again = peer(broker.address, "b", algorithm, join_deadline_s, replace=True)
        heard = models_heard(again)
        heard_by_a.clear()
        living = asyncio.create_task(live(again))
        tasks.append(living)
        wanted = [(name, kinds) for name, kinds in (("a", MODELS[algorithm]), ("c", MODELS[algorithm]))]
        both = asyncio.create_task(
            until(lambda: all({(name, kind) for kind in kinds} & heard for name, kinds in wanted))
        )
        tasks.append(both)
        await asyncio.wait({living, both}, return_when=asyncio.FIRST_COMPLETED)
        if living.done():
            living.result()
        await until(lambda: {("b", kind) for kind in MODELS[algorithm]} & heard_by_a)


@pytest.mark.parametrize("algorithm", MODELS)
async def test_a_peer_that_is_started_again_hears_its_neighbors_and_they_hear_it(algorithm: str) -> None:
    await check_it_hears_and_is_heard(algorithm)


def leads_to(outbound: Outbound, name: str) -> int:
    link = outbound._links.get(name)
    return 0 if link is None else link.up or 0


async def test_else_it_would_not_even_learn_of_their_surveys(monkeypatch: pytest.MonkeyPatch) -> None:
    def follow(session: Session, *peers: Any) -> None:
        for one in peers:
            session.transport.link(one.node, one.addresses)

    monkeypatch.setattr(Session, "follow", follow)
    monkeypatch.setattr(Outbound, "incarnation_of", leads_to)
    with pytest.raises(NodeFailed, match="round 0 was not complete"):
        await check_it_hears_and_is_heard("ad-psgd", join_deadline_s=3.0)
