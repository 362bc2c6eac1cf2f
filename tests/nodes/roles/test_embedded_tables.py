"""Embedded nodes with tables of text, dates and gaps: federated, and among peers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from nervenet.broker.broker import Broker
from nervenet.models import MLP
from nervenet.models.pipeline.given import description_of
from nervenet.models.tables.table import DATES, GAP, Kind, Table
from nervenet.nodes import Client, Coordinator, Experiment, NodeFailed, Peer
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler

DEADLINE_S = 240.0
KINDS: dict[str, Kind] = {"age": "number", "ward": "category", "day": "date"}
OWN = ColumnTransformer([("age", make_pipeline(SimpleImputer(strategy="median"), RobustScaler()), ["age"])])


def rows(seed: int, count: int = 60) -> tuple[Table, Any]:
    """Return a site's rows, which age and ward tell apart; its columns are in an order of its own."""
    rng = np.random.default_rng(seed)
    age, ward = rng.normal(60, 15, count), rng.choice(["eye", "ear"], count).astype(object)
    y = np.where((age > 60) ^ (ward == "eye"), "poor", "good")
    age[0], ward[1] = np.nan, GAP
    day = (np.datetime64("2026-01-01") + rng.integers(0, 99, count)).astype(DATES)
    arrays = {"age": age, "ward": ward, "day": day}
    order = tuple(rng.permutation(list(arrays)).tolist())
    return Table(order, tuple(KINDS[name] for name in order), tuple(arrays[name] for name in order)), y


def plan(mode: str, **more: object) -> Experiment:
    network = {"join_deadline_s": 60}
    return Experiment.from_dict({"mode": mode, "nodes": 3, "processes": 3, "network": network, **more})


@asynccontextmanager
async def broker() -> AsyncIterator[str]:
    async with Broker("tcp://127.0.0.1:0") as serving:
        yield serving.addresses["directory"]


async def federated(parts: dict[str, Any], **more: Any) -> Coordinator:
    wanted = plan("federated", rounds=8)
    async with broker() as address:
        words: dict[str, Any] = {"broker": address, "run": "f", "experiment": wanted}

        async def lead() -> Coordinator:
            async with Coordinator(MLP(hidden=(16,)), **words, **more) as coordinator:
                async for _ in coordinator.rounds():
                    pass
            return coordinator

        async def follow(name: str) -> None:
            async with Client(MLP(hidden=(16,)), parts[name], name=name, **words) as client:
                async for _ in client.rounds():
                    pass
            models[name] = client.model

        models: dict[str, Any] = {}
        async with asyncio.timeout(DEADLINE_S):
            coordinator, *_ = await asyncio.gather(lead(), *(follow(name) for name in parts))
    for model in models.values():
        assert model.preprocessing == coordinator.model.preprocessing
    return coordinator


async def test_clients_agree_on_a_pipeline_and_learn() -> None:
    coordinator = await federated({"a": rows(1), "b": rows(2), "c": rows(3)})
    X, y = rows(4, 200)
    assert set(coordinator.model.preprocessing.columns) == {"age", "ward", "day"}
    assert (coordinator.model.predict(X) == y).mean() > 0.8


async def test_a_coordinators_own_pipeline_is_fitted_by_its_clients() -> None:
    coordinator = await federated({"a": rows(1), "b": rows(2), "c": rows(3)}, preprocess=OWN)
    assert coordinator.model.preprocessing.fitted.names == ("age__age",)
    assert coordinator.experiment.data.preprocess == description_of(OWN)  # as its checkpoints have it


async def test_a_site_that_does_not_fit_ends_the_run_by_name() -> None:
    table, y = rows(3)
    odd = table.select([name for name in table.columns if name != "ward"])
    with pytest.raises(NodeFailed, match=r"site c has 2 columns, the others have 3 .* it lacks ward"):
        await federated({"a": rows(1), "b": rows(2), "c": (odd, y)})


async def gossip(preprocess: dict[str, object]) -> list[Peer]:
    wanted = plan("gossip", gossip={"topology": "ring"})
    async with broker() as address:

        async def live(name: str, seed: int) -> Peer:
            words: dict[str, Any] = {"broker": address, "run": "g", "experiment": wanted, "name": name}
            async with Peer(MLP(hidden=(16,)), rows(seed), preprocess=preprocess.get(name), **words) as peer:
                async for _ in peer.rounds(8):
                    pass
            return peer

        async with asyncio.timeout(DEADLINE_S):
            return list(await asyncio.gather(*(live(name, seed) for seed, name in enumerate("abc", 1))))


async def test_peers_agree_among_themselves() -> None:
    peers = await gossip({})
    X, y = rows(4, 200)
    assert len({peer.model.preprocessing for peer in peers}) == 1
    assert min((peer.model.predict(X) == y).mean() for peer in peers) > 0.8


async def test_peers_with_other_pipelines_refuse_each_other() -> None:
    with pytest.raises(Exception, match=r"data.preprocess"):
        await gossip({"b": OWN})
