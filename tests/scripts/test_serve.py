"""`nervenet serve` in a process of its own: the article's request, a malformed one, and an orderly end."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
from nervenet.models.artifact import ModelFileError, load_model, save_model
from nervenet.models.mlp.mlp import MLP
from nervenet.models.site_model import SiteModel
from nervenet.models.site_statistics import agree
from nervenet.nodes.serving.answers import Answers
from nervenet.scripts.http_listener import listening
from nervenet.scripts.main import execute

pytestmark = pytest.mark.e2e


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    X = np.random.default_rng(0).normal(size=(30, 4))
    site_model = SiteModel(MLP(hidden=(4,)), X, np.arange(30) % 3)
    site_model.build(agree({"a": site_model.statistics()}), seed=0)
    save_model(tmp_path, site_model.model, site_model.preprocessing, site_model.get_weights(), {"round": 7})
    (tmp_path / "summary.json").write_text(json.dumps({"accuracy": 0.9, "loss": None, "mode": "gossip"}))
    return tmp_path


def test_a_run_folder_is_served_until_a_signal(run_folder: Path) -> None:
    command = [sys.executable, "-m", "nervenet.scripts.main", "serve", str(run_folder), "--http", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("serving http://127.0.0.1:")
            address = line.split()[1].removesuffix("/predict")
            with httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
                answer = client.post("/predict", json={"X_test": [[5.1, 3.5, 1.4, 0.2]] * 2})
                assert answer.status_code == 200
                assert len(answer.json()["y_pred"]) == 2
                assert client.post("/predict", json={"X_test": [[5.1, 3.5]]}).status_code == 422
                model = client.get("/model").json()
            assert (model["round"], model["metrics"]) == (7, {"accuracy": 0.9, "loss": None})
            process.send_signal(signal.SIGTERM)
            assert process.wait(120) == 143
        finally:
            process.kill()


def test_the_best_round_is_served_where_it_is_asked_for(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site_model = load_model(run_folder)
    extra = {"round": 3, "metrics": {"accuracy": 0.95}}
    save_model(run_folder, site_model.model, site_model.preprocessing, site_model.get_weights() + 1, extra, stem="best")
    served = []

    async def instead(answers: Answers, *_: object) -> None:
        site_model, info = answers._served
        served.append((site_model.get_weights().sum(), info))
        raise ModelFileError("served")

    monkeypatch.setattr("nervenet.scripts.serve._serve", instead)
    for flags in ([], ["--best"]):
        execute(["serve", str(run_folder), *flags])
    (last, of_last), (best, of_best) = served
    assert best == pytest.approx(last + site_model.layout.size, rel=1e-5)
    assert of_last == {"round": 7, "metrics": {"accuracy": 0.9, "loss": None}}
    assert of_best == extra
    assert execute(["serve", str(run_folder / "model.json"), "--best"]) == 2
    assert "--best: needs a run folder" in capsys.readouterr().err


def test_a_connection_sends_the_body_of_an_answer_at_once() -> None:
    with listening("--http", "127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


def test_asyncio_alone_would_not_see_to_that() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.proto != socket.IPPROTO_TCP  # by which asyncio knows what it may set it on


def test_a_port_in_use_is_named(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert execute(["serve", str(run_folder), "--http", f"127.0.0.1:{port}"]) == 1
    assert f"127.0.0.1:{port} is in use" in capsys.readouterr().err
