"""Peers without rounds over real sockets, in somebody's asyncio program."""

import asyncio
from typing import Any

import numpy as np
import pytest
from nervenet.broker.broker import Broker
from nervenet.models import MLP, Pegasos, datasets
from nervenet.nodes import Experiment, Peer

DEADLINE_S = 240.0


def parts_of(name: str, count: int) -> list[tuple[Any, Any]]:
    data = datasets.load(name)
    order = np.random.default_rng(0).permutation(len(data.y))
    return [(data.X[rows], data.y[rows]) for rows in np.array_split(order, count)]


async def company(
    model: Any, data: str, gossip: dict[str, Any], counts: tuple[int | None, ...]
) -> list[tuple[Peer, list[Any]]]:
    n = len(counts)
    network = {"transport": "tcp", "join_deadline_s": 60}
    plan = Experiment.from_dict({"mode": "gossip", "nodes": n, "rounds": 5, "network": network, "gossip": gossip})
    parts = parts_of(data, n)
    async with Broker("tcp://127.0.0.1:0") as broker:
        serving = asyncio.create_task(broker.serve())

        async def live(k: int) -> tuple[Peer, list[Any]]:
            async with Peer(
                model(), parts[k], broker=broker.address, run="g", name=f"p{k}", experiment=plan, epochs=1
            ) as peer:
                reports = [report async for report in peer.rounds(counts[k])]
            return peer, reports

        async with asyncio.timeout(DEADLINE_S):
            found = list(await asyncio.gather(*(live(k) for k in range(n))))
        serving.cancel()
    return found


@pytest.mark.parametrize(
    "gossip",
    [
        {"algorithm": "ad-psgd"},
        {"algorithm": "gossip-learning", "period_s": 0.02},
        {"algorithm": "gossip-learning", "period_s": 0.02, "tokens": "randomized", "capacity": 4, "reactivity": 2},
        {"algorithm": "gossip-learning", "period_s": 0.02, "layers": True},
        {"algorithm": "gossip-learning", "period_s": 0.02, "share": 0.5},
    ],
)
async def test_peers_do_their_cycles_and_learn(gossip: dict[str, Any]) -> None:
    for peer, reports in await company(lambda: MLP((8,)), "iris", gossip, (None, None, None)):
        assert [report.round for report in reports] == [1, 2, 3, 4, 5]
        assert {report.closed_by for report in reports} == {"update"}
        assert np.isfinite(peer.weights).all()
        np.testing.assert_array_equal(peer.model.get_weights(), peer.weights)
        state: Any = peer._state
        assert state.status == "finished"


async def test_models_that_walk_bring_the_clock_of_their_learning_rate() -> None:
    gossip = {"algorithm": "gossip-learning", "period_s": 0.02}
    for peer, _ in await company(Pegasos, "breast_cancer", gossip, (None, None)):
        state: Any = peer._state
        steps = peer.model.examples // 16  # mini-batches of one cycle of its own, at the least
        assert state.model.age >= 5 * steps
        accuracy = np.mean(peer.model.predict(parts_of("breast_cancer", 1)[0][0]) == parts_of("breast_cancer", 1)[0][1])
        assert accuracy > 0.85


async def test_who_asked_for_less_answers_until_the_others_are_done() -> None:
    found = await company(lambda: MLP((8,)), "iris", {"algorithm": "ad-psgd", "deadline_s": 20}, (2, 9))
    assert [len(reports) for _, reports in found] == [2, 9]
    assert found[1][1][-1].round == 9


@pytest.mark.parametrize("algorithm", ["ad-psgd", "gossip-learning"])
async def test_large_models_are_summed_beside_the_training(algorithm: str) -> None:
    for _ in range(10):  # how many find each other in so many cycles depends on how busy the machine is
        found = await company(lambda: MLP((9000,)), "iris", {"algorithm": algorithm}, (None, None))
        if all(any(report.participants for report in reports) for _, reports in found):
            break
    for peer, reports in found:
        assert [report.round for report in reports] == [1, 2, 3, 4, 5]
        assert any(report.participants for report in reports)
        assert peer._node is not None
        assert peer._node.worker._concurrent.thread is not None
