"""Weights of rows and classes over sockets: what is agreed, how sites are averaged, what becomes of a rare class."""

import asyncio
from typing import Any

import numpy as np
import pytest
from nervenet.broker.broker import Broker
from nervenet.models import MLP
from nervenet.models.aggregate import weighted_mean
from nervenet.models.local import LocalSettings, LocalTraining
from nervenet.models.model import LocalWork
from nervenet.models.site_model import SiteModel
from nervenet.nodes import Client, Coordinator, Experiment, Peer
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import recall_score
from sklearn.utils.class_weight import compute_class_weight

DEADLINE_S = 240.0
SHARES = {"site-0": 0.02, "site-1": 0.05, "site-2": 0.12}


def site(seed: int, share: float, rows: int = 150) -> tuple[Any, Any]:
    """Rows of two classes that overlap, of which one is rare."""
    rng = np.random.default_rng(seed)
    y = (np.arange(rows) < share * rows).astype(int)
    return rng.normal(size=(rows, 2)) + 1.2 * y[:, None], y


SITES = {name: site(k, share) for k, (name, share) in enumerate(SHARES.items())}
TEST = site(9, 0.5, 400)
POOLED = np.concatenate([y for _, y in SITES.values()])
BALANCED = compute_class_weight("balanced", classes=np.unique(POOLED), y=POOLED)


async def use(node: Any) -> Any:
    async with node:
        async for _ in node.rounds():
            pass
    return node


def run(make: Any) -> list[Any]:
    async def together() -> list[Any]:
        async with asyncio.timeout(DEADLINE_S), Broker("tcp://127.0.0.1:0") as broker:
            return list(await asyncio.gather(*map(use, make(broker.address))))

    return asyncio.run(together())


def plan(mode: str, wanted: object, rounds: int = 6) -> Experiment:
    training = {"epochs": 3} | ({} if wanted is None else {"class_weight": wanted})
    return Experiment.from_dict({"mode": mode, "nodes": 3, "rounds": rounds, "training": training})


def federated(wanted: object, sites: Any = SITES, model: Any = lambda: MLP((8,)), rounds: int = 6) -> list[Any]:
    def make(address: str) -> list[Any]:
        here = {"broker": address, "run": "f", "nodes": 3}
        coordinator = Coordinator(model(), test=TEST, experiment=plan("federated", wanted, rounds), **here)
        theirs = plan("federated", None, rounds)  # which is told by the coordinator
        clients = [Client(model(), rows, name=n, holdout=0.0, experiment=theirs, **here) for n, rows in sites.items()]
        return [coordinator, *clients]

    return run(make)


def gossip(wanted: object) -> list[Any]:
    def make(address: str) -> list[Any]:
        here = {"broker": address, "run": "g", "nodes": 3, "experiment": plan("gossip", wanted), "holdout": 0.0}
        return [Peer(MLP((8,)), rows, name=name, test=TEST, **here) for name, rows in SITES.items()]

    return run(make)


def recall(node: Any) -> float:
    return float(recall_score(TEST[1], node.model.predict(TEST[0])))


@pytest.mark.parametrize("model", [lambda: MLP((8,)), lambda: SGDClassifier(loss="log_loss")], ids=["mlp", "sgd"])
def test_a_rare_class_is_found_more_often_with_weights_that_all_sites_balance(model: Any) -> None:
    plain, weighted = federated(None, model=model), federated("balanced", model=model)
    assert plain[0].model.preprocessing.class_weights is None
    for node in weighted:
        assert list(node.model.preprocessing.class_weights) == BALANCED.tolist()
    assert recall(weighted[0]) > recall(plain[0]) + 0.3


def test_peers_agree_on_the_weights_by_flooding() -> None:
    plain, weighted = gossip(None), gossip("balanced")
    for before, after in zip(plain, weighted, strict=True):
        assert list(after.model.preprocessing.class_weights) == BALANCED.tolist()
        assert recall(after) > recall(before) + 0.3


def test_a_round_is_the_mean_of_the_sites_by_the_weights_of_their_rows() -> None:
    weight = {name: np.random.default_rng(k).exponential(k + 1.0, 150) for k, name in enumerate(SITES)}
    sites = {name: (*rows, weight[name]) for name, rows in SITES.items()} | {"site-1": SITES["site-1"]}
    coordinator, *_ = federated({"1": 4.0}, sites, rounds=1)
    agreed = coordinator.model.preprocessing
    vectors, shares = [], []
    for name, rows in sites.items():
        one = SiteModel(MLP((8,)), *rows)
        one.build(agreed, 0)
        result = LocalTraining(one, node=name, seed=0).train(one.get_weights(), LocalSettings(epochs=3), 1)
        vectors.append(result.vector)
        of_rows = weight[name] if name != "site-1" else np.ones(150)
        shares.append(float((of_rows * np.where(rows[1] == 1, 4.0, 1.0)).sum()))
    assert coordinator.weights.tobytes() == weighted_mean(vectors, [s / sum(shares) for s in shares]).tobytes()
    assert isinstance(LocalSettings(epochs=3), LocalWork)
