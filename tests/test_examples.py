"""The examples do what they say: experiment files, and the web application that learns while it answers."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import numpy as np
import pytest
from nervenet.broker import Broker
from nervenet.models import MLP, datasets, partition
from nervenet.nodes import Experiment, Peer
from nervenet.nodes.experiment.ineffective import warnings
from nervenet.nodes.experiment.loader import load_experiment

EXAMPLES = Path(__file__).parents[1] / "examples"
APPLICATION = EXAMPLES / "embed_in_web_app.py"
FLOWERS = {"X_test": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]}
ROUNDS = 12


@pytest.mark.parametrize("name", ["iris-distributed.toml", "iris-federated.toml"])
def test_the_experiment_files_say_what_the_article_did(name: str) -> None:
    experiment = load_experiment(EXAMPLES / name)
    assert experiment.mode == ("federated" if "federated" in name else "gossip")
    assert (experiment.data.name, experiment.data.test_size, experiment.data.split_seed) == ("iris", 0.2, 42)
    assert (experiment.model.name, experiment.model.hidden) == ("mlp", (10,))
    assert (experiment.training.rule, experiment.training.l2) == ("sgd", 1e-4)
    assert warnings(experiment) == []


def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("embed_in_web_app", APPLICATION)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def facts_after(client: httpx.AsyncClient, state: str) -> dict[str, Any]:
    """What ``/model`` tells as soon as the learning is no longer in `state`."""
    while True:
        facts: dict[str, Any] = (await client.get("/model")).json()
        if facts["learning"] != state:
            return facts
        await asyncio.sleep(0)


async def learn_beside(peer: Peer, client: httpx.AsyncClient, heard: list[Any]) -> None:
    """Take part as another site, asking the application in the middle of it."""
    async with peer:
        async for report in peer.rounds(ROUNDS):
            if report.round == ROUNDS // 2:
                heard.append(await client.post("/predict", json=FLOWERS))
                heard.append(await client.get("/model"))


async def test_a_web_application_answers_while_it_learns() -> None:
    iris = datasets.load("iris")
    web, north, south = ((iris.X[rows], iris.y[rows]) for rows in partition.partition(iris, 3, "iid", seed=0))
    heard: list[Any] = []
    async with Broker("tcp://127.0.0.1:0") as broker, asyncio.timeout(240):
        place = {"broker": broker.addresses["directory"], "run": "demo", "nodes": 3}
        app = example().application(Peer(MLP(), web, name="web", **place), ROUNDS)
        transport = httpx.ASGITransport(app=app)
        async with (
            httpx.AsyncClient(transport=transport, base_url="http://web") as client,
            app.router.lifespan_context(app),
        ):
            early = await client.post("/predict", json=FLOWERS)
            assert (early.status_code, list(early.json())) == (503, ["error"])
            assert (await client.get("/model")).json()["learning"] == "waiting for the others"
            await asyncio.gather(
                learn_beside(Peer(MLP(), north, name="north", **place), client, heard),
                learn_beside(Peer(MLP(), south, name="south", **place), client, heard),
            )
            facts = await facts_after(client, "under way")
            assert facts["learning"] == "done"
            assert facts["round"] == ROUNDS
            assert facts["metrics"]["accuracy"] > 0.8
            assert (await client.post("/predict", json=FLOWERS)).json() == {"y_pred": [0, 2]}
            assert (await client.post("/predict", json={"X_test": [[1.0]]})).status_code == 422
    assert [answer.status_code for answer in heard] == [200] * 4
    during = [answer.json() for answer in heard]
    assert all(len(answer["y_pred"]) == 2 for answer in during if "y_pred" in answer)
    # A neighbor is never more than a round away: at half time, the application was learning.
    assert {answer["learning"] for answer in during if "learning" in answer} == {"under way"}


async def test_learning_that_cannot_begin_is_reported_and_does_not_end_the_application() -> None:
    rows = (np.zeros((4, 2)), np.array([0, 1, 0, 1]))
    alone = Experiment.from_dict({"mode": "gossip", "nodes": 5, "network": {"join_deadline_s": 60}})
    async with Broker("tcp://127.0.0.1:0") as broker, asyncio.timeout(240):
        peer = Peer(MLP(), rows, name="web", broker=broker.addresses["directory"], run="demo", experiment=alone)
        app = example().application(peer, ROUNDS)
        transport = httpx.ASGITransport(app=app)
        async with (
            httpx.AsyncClient(transport=transport, base_url="http://web") as client,
            app.router.lifespan_context(app),
        ):
            while not broker._directory.runs:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            broker._directory._runs["demo"].join_deadline_s = 0.0
            facts = await facts_after(client, "waiting for the others")
            assert re.match(r"ended: .*1 of 5", facts["learning"])
            assert (await client.post("/predict", json=FLOWERS)).status_code == 503
            assert (await client.get("/healthz")).json() == {"status": "waiting for a model"}


@pytest.mark.e2e
def test_the_application_runs_by_itself_and_stops_when_told() -> None:
    process = subprocess.Popen(
        [sys.executable, str(APPLICATION), "--port", "0", "--broker", "tcp://127.0.0.1:9"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        address = next(found[0] for line in lines if (found := re.search(r"http://[\d.:]+", line)))
        said = httpx.get(f"{address}/model", timeout=60, trust_env=False).json()["learning"]
        assert re.match("waiting for the others|ended: no broker answered", said)  # it has waited long enough
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    assert "Traceback" not in rest
    assert "Application shutdown complete" in rest


def test_the_tour_of_the_estimators_prints_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location("scikit_learn_tour", EXAMPLES / "scikit_learn_tour.py")
    assert spec is not None
    assert spec.loader is not None
    tour = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tour)
    tour.main()
    page = (EXAMPLES.parent / "docs" / "scikit-learn.md").read_text(encoding="utf-8")
    assert f"```text\n{capsys.readouterr().out}```" in page
