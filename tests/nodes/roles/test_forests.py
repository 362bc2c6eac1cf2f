"""A forest over sockets: in both modes all nodes hold the union that the sites would come to in one process."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nervenet.broker.broker import Broker
from nervenet.models.agreement.questions import settle
from nervenet.models.site_model import SiteModel
from nervenet.models.tables.table import Table
from nervenet.nodes import Client, Coordinator, Experiment, Peer
from nervenet.nodes.federated.coordinator_worker import Aggregator, CoordinatorWorker
from nervenet.nodes.federated.recovery import recall
from nervenet.nodes.federated.strategies.averaging import FedAvg
from nervenet.nodes.runtime.node_stats import NodeStats
from sklearn.ensemble import RandomForestClassifier

DEADLINE_S = 240.0
LABELS = np.array(["ash", "beech", "cedar"])


def forest() -> RandomForestClassifier:
    return RandomForestClassifier(n_estimators=6, max_depth=3)


def site(seed: int, held: list[int], rows: int = 30) -> tuple[Table, Any]:
    """Numbers and a category; of the classes only those that this site has."""
    rng = np.random.default_rng(seed)
    y = np.array(held)[np.arange(rows) % len(held)]
    ward = rng.choice(np.array(["north", "south"], dtype=object), rows)
    return Table(("age", "ward"), ("number", "category"), (rng.normal(size=rows) + 2 * y, ward)), LABELS[y]


SITES = {"site-0": site(0, [0, 1, 2]), "site-1": site(1, [0, 2]), "site-2": site(2, [1])}


def weights_in_one_process() -> Any:
    models = {name: SiteModel(forest(), *data) for name, data in SITES.items()}
    for name, model in models.items():
        model.site = name
    return settle(SiteModel(forest()).questions(seed=4), {name: model.answer for name, model in models.items()}).weights


async def use(node: Any, started: list[Any]) -> None:
    async with node:
        started.append(node)
        async for _ in node.rounds():
            pass


def federated(address: str, folder: Path | None = None) -> list[Any]:
    here: dict[str, Any] = {"broker": address, "run": "forest", "nodes": 3, "seed": 4}
    clients = [Client(forest(), data, name=name, holdout=0.0, **here) for name, data in SITES.items()]
    return [Coordinator(forest(), test=site(9, [0, 1, 2]), checkpoint_dir=folder, **here), *clients]


def gossip(address: str, algorithm: str) -> list[Any]:
    plan = Experiment.from_dict(
        {"mode": "gossip", "nodes": 3, "rounds": 2, "seed": 4, "gossip": {"algorithm": algorithm}}
    )
    here: dict[str, Any] = {"broker": address, "run": "forest", "nodes": 3, "experiment": plan}
    return [Peer(forest(), data, name=name, holdout=0.0, **here) for name, data in SITES.items()]


async def run(make: Any, *args: Any) -> list[Any]:
    nodes: list[Any] = []
    async with asyncio.timeout(DEADLINE_S), Broker("tcp://127.0.0.1:0") as broker:
        await asyncio.gather(*(use(node, nodes) for node in make(broker.address, *args)))
    return nodes


@pytest.mark.filterwarnings("ignore:rounds beyond 1 have no effect")
@pytest.mark.parametrize("mode", ["federated", "dpsgd", "ad-psgd"])
async def test_all_nodes_hold_the_union(mode: str) -> None:
    nodes = await (run(federated) if mode == "federated" else run(gossip, mode))
    expected = weights_in_one_process()
    assert len(nodes) == (4 if mode == "federated" else 3)
    for node in nodes:
        assert np.array_equal(node.model.get_weights(), expected), node
        assert set(node.model.predict(site(5, [0, 1, 2])[0])) == set(LABELS)


@pytest.mark.parametrize("mode", ["federated", "gossip"])
async def test_trees_that_all_sites_grow_together_are_the_same_everywhere(mode: str) -> None:
    plan = Experiment.from_dict({"mode": mode, "nodes": 3, "rounds": 1, "seed": 4, "training": {"trees": "shared"}})

    def nodes_of(address: str) -> list[Any]:
        here: dict[str, Any] = {"broker": address, "run": "forest", "experiment": plan}
        if mode == "gossip":
            return [Peer(forest(), data, name=name, holdout=0.0, **here) for name, data in SITES.items()]
        clients = [Client(forest(), data, name=name, holdout=0.0, **here) for name, data in SITES.items()]
        return [Coordinator(forest(), test=site(9, [0, 1, 2]), **here), *clients]

    nodes = await run(nodes_of)
    found = nodes[0].model.get_weights()
    assert all(np.array_equal(node.model.get_weights(), found) for node in nodes)
    roots = {tree.tree_.n_node_samples[0] for tree in nodes[0].model.model.estimator.estimators_}
    assert roots == {90}  # the rows of all sites


async def test_another_coordinator_goes_on_with_the_forest_of_the_first(tmp_path: Path) -> None:
    nodes = await run(federated, tmp_path)
    past = recall(tmp_path, nodes[0].experiment)
    assert past is not None
    assert past.round == 1
    worker = CoordinatorWorker(SiteModel(forest()), Aggregator(FedAvg()), node="coordinator", seed=4)
    ready = past.restore(worker, NodeStats("coordinator"))
    expected = weights_in_one_process()
    assert ready.body == pytest.approx(expected, rel=1e-12)
    assert worker.site_model.get_weights() == pytest.approx(expected, rel=1e-12)
