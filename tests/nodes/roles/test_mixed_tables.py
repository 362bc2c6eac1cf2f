"""Sites with mixed tables agree over sockets, in several questions, on what they would agree on in one process."""

import asyncio
from typing import Any

import numpy as np
import pytest
from nervenet.broker.broker import Broker
from nervenet.models import MLP
from nervenet.models.agreement.questions import settle
from nervenet.models.site_model import SiteModel
from nervenet.models.tables.table import GAP, Table
from nervenet.nodes import Client, Coordinator, Experiment, Peer
from nervenet.nodes.runtime import inquiry

DEADLINE_S = 240.0


def site(seed: int, rows: int = 40) -> tuple[Table, Any]:
    """Numbers with gaps, and a category that not every site has all values of."""
    rng = np.random.default_rng(seed)
    age, dose = rng.normal(50.0 + seed, 10.0, rows), rng.normal(size=rows)
    age[rng.random(rows) < 0.2] = np.nan
    ward = rng.choice(np.array(["north", "south", f"only-{seed}"], dtype=object), rows)
    ward[0] = GAP
    y = (dose + (ward == "north") > 0).astype(int)
    return Table(("age", "dose", "ward"), ("number", "number", "category"), (age, dose, ward)), y


SITES = {f"site-{k}": site(k) for k in range(3)}


def agreed_here() -> dict[str, Any]:
    models = {name: SiteModel(MLP((4,)), *data) for name, data in SITES.items()}
    found = settle(SiteModel(MLP((4,))).questions(), {name: model.answer for name, model in models.items()})
    return dict(found.preprocessing.to_dict())


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Return which questions were answered, as they are."""
    asked: set[int] = set()
    answer = inquiry.check_size

    def check_size(what: str, fields: Any) -> None:
        if what.startswith("question "):
            asked.add(int(what.split()[1]))
        answer(what, fields)

    monkeypatch.setattr(inquiry, "check_size", check_size)
    return asked


async def use(node: Any, started: list[Any]) -> None:
    async with node:
        started.append(node)
        async for _ in node.rounds():
            pass


def federated(address: str) -> list[Any]:
    here = {"broker": address, "run": "mixed", "nodes": 3}
    clients = [Client(MLP((4,)), data, name=name, holdout=0.0, **here) for name, data in SITES.items()]
    return [Coordinator(MLP((4,)), rounds=2, test=site(9), **here), *clients]


def gossip(address: str, algorithm: str) -> list[Any]:
    plan = Experiment.from_dict(
        {"mode": "gossip", "nodes": 3, "rounds": 2, "gossip": {"algorithm": algorithm, "topology": "ring"}}
    )
    here = {"broker": address, "run": "mixed", "nodes": 3, "experiment": plan}
    return [Peer(MLP((4,)), data, name=name, holdout=0.0, **here) for name, data in SITES.items()]


@pytest.mark.parametrize("mode", ["federated", "dpsgd", "ad-psgd"])
def test_all_nodes_agree_on_what_the_sites_would_agree_on_in_one_process(mode: str, questions: set[int]) -> None:
    async def run() -> list[Any]:
        nodes: list[Any] = []
        async with asyncio.timeout(DEADLINE_S), Broker("tcp://127.0.0.1:0") as broker:
            made = federated(broker.address) if mode == "federated" else gossip(broker.address, mode)
            await asyncio.gather(*(use(node, nodes) for node in made))
        return nodes

    nodes = asyncio.run(run())
    assert len(questions) > 1, "a median takes several"
    expected = agreed_here()
    for node in nodes:
        assert node.model.preprocessing.to_dict() == expected
