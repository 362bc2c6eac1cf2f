"""The model of a run that goes on: found in its run folder, newer ones in place of older ones, to its end."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nervenet.models import SiteModel, save_model
from nervenet.nodes.checkpoint.store import CheckpointStore
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.results.run_dir import NODES_LOG
from nervenet.nodes.serving import live
from nervenet.nodes.serving.answers import Answers
from nervenet.nodes.serving.live import Found, RunFollower, follow, no_model, run_of

EXPERIMENT = Experiment.from_dict({"model": {"hidden": [8]}, "nodes": 2}).to_dict()


def keep(run: Path, model: SiteModel, number: int, weights: Any = None, *, peer: str = "") -> None:
    """Write the checkpoint of a round, as a coordinator or a peer does."""
    agreement = model.preprocessing.to_dict()
    record = {"agreement": agreement} if peer else {"machine": {"agreement": agreement}}
    store = CheckpointStore(run / "checkpoints" / (peer or "coordinator"))
    arrays = {"weights": model.get_weights() if weights is None else weights}
    store.write(number, arrays, {**record, "experiment": EXPERIMENT})


def test_each_newer_checkpoint_is_served_once(tmp_path: Path, numbers: SiteModel) -> None:
    follower = RunFollower(tmp_path)
    assert follower.newest() is None
    for number in (1, 4):
        keep(tmp_path, numbers, number, numbers.get_weights() + np.float32(number))
        found = follower.newest()
        assert found is not None
        assert found.info == {"live": True, "round": number}
        assert np.array_equal(found.site_model.get_weights(), numbers.get_weights() + np.float32(number))
        assert found.site_model.preprocessing == numbers.preprocessing
        assert follower.newest() is None


def test_of_peers_the_mean_is_served(tmp_path: Path, numbers: SiteModel) -> None:
    nodes = {name: {"role": "peer"} for name in ("peer-0", "peer-1", "peer-2")} | {"broker": {"role": "broker"}}
    (tmp_path / "nodes.json").write_text(json.dumps(nodes))
    keep(tmp_path, numbers, 3, numbers.get_weights() + 1, peer="peer-0")
    keep(tmp_path, numbers, 4, numbers.get_weights() + 3, peer="peer-1")  # and peer-2 has written none yet
    found = RunFollower(tmp_path).newest()
    assert found is not None
    assert found.info["round"] == 3
    assert np.allclose(found.site_model.get_weights(), numbers.get_weights() + 2, atol=1e-5)


def test_the_final_model_is_served_in_the_end_and_a_resumed_run_after_that(tmp_path: Path, numbers: SiteModel) -> None:
    keep(tmp_path, numbers, 5)
    save_model(tmp_path, numbers, vector=numbers.get_weights() * 2, extra={"round": 5, "mode": "federated"})
    follower = RunFollower(tmp_path)
    found = follower.newest()
    assert found is not None
    assert found.info == {"live": False, "round": 5, "mode": "federated"}
    keep(tmp_path, numbers, 6, numbers.get_weights() * 3)
    found = follower.newest()
    assert found is not None
    assert (found.info["live"], found.info["round"]) == (True, 6)


def test_what_cannot_be_served_is_said_once_and_the_model_before_it_stays(tmp_path: Path, numbers: SiteModel) -> None:
    said: list[str] = []
    keep(tmp_path, numbers, 1)
    follower = RunFollower(tmp_path, warn=said.append)
    assert follower.newest() is not None
    keep(tmp_path, numbers, 2, np.full_like(numbers.get_weights(), np.nan))
    assert follower.newest() is None
    (tmp_path / "checkpoints" / "coordinator" / "round-000000003.safetensors").write_bytes(b"half of")
    assert follower.newest() is None
    assert "NaN or infinite" in said[0]
    assert "the model before it is served" in said[0]
    assert any("is cut short" in line for line in said)
    keep(tmp_path, numbers, 4)
    assert follower.newest() is not None


def test_a_class_of_ones_own_is_imported_by_who_names_it(tmp_path: Path, numbers: SiteModel) -> None:
    said: list[str] = []
    record = {"machine": {"agreement": numbers.preprocessing.to_dict()}}
    tables = {**EXPERIMENT, "model": {"name": "stranger:Model"}}
    store = CheckpointStore(tmp_path / "checkpoints" / "coordinator")
    store.write(1, {"weights": numbers.get_weights()}, {**record, "experiment": tables})
    assert RunFollower(tmp_path, warn=said.append).newest() is None
    assert "imported only where you name it" in said[0]


def test_a_folder_that_cannot_be_read_for_a_moment_is_looked_into_again(
    tmp_path: Path, numbers: SiteModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_many(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    said: list[str] = []
    keep(tmp_path, numbers, 1)
    follower = RunFollower(tmp_path, warn=said.append)
    with monkeypatch.context() as patched:
        patched.setattr(RunFollower, "_built", too_many)
        assert follower.newest() is None
        assert "Too many open files" in said[0]
        with pytest.raises(OSError, match="Too many open files"):  # by which the run would no longer be followed
            follower._newer()
    found = follower.newest()
    assert found is not None
    assert found.info["round"] == 1


async def test_answers_come_from_the_newest_one(numbers: SiteModel, quantities: SiteModel) -> None:
    loop, all_told = asyncio.get_running_loop(), asyncio.Event()
    found = [Found(numbers, {"round": 1}), None, Found(quantities, {"round": 2})]

    class Told(RunFollower):
        def newest(self) -> Found | None:
            if found:
                return found.pop(0)
            loop.call_soon_threadsafe(all_told.set)
            return None

    answers, body = Answers(no_model()), b'{"X_test": [[0, 0, 0]]}'
    assert answers.predict(body).status == 503
    following = asyncio.create_task(follow(answers, Told(Path()), look_s=0))
    async with asyncio.timeout(60):
        await all_told.wait()
    following.cancel()
    assert json.loads(answers.predict(body).body)["y_pred"] == quantities.predict([[0, 0, 0]]).tolist()
    assert json.loads(answers.model().body)["round"] == 2


def test_a_request_keeps_the_model_that_it_began_with(
    numbers: SiteModel, quantities: SiteModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = Answers(numbers)
    wanted = answers.predict(b'{"X_test": [[0, 0, 0]]}')
    plain = numbers.predict

    def swapped_meanwhile(X: Any) -> Any:
        answers.serve(quantities)
        return plain(X)

    monkeypatch.setattr(numbers, "predict", swapped_meanwhile)
    assert answers.predict(b'{"X_test": [[0, 0, 0]]}') == wanted


async def test_the_run_of_a_broker_is_found_once_its_nodes_are_ready(tmp_path: Path) -> None:
    address = "tcp://127.0.0.1:4711"
    with pytest.raises(ExperimentError, match=r"4711: no run folder below .* is of that broker"):
        await run_of(address, tmp_path)
    (tmp_path / "one").mkdir()
    nodes = {"broker": {"role": "broker", "pid": os.getpid(), "address": address}}
    (tmp_path / "one" / "nodes.json").write_text(json.dumps(nodes))
    assert await run_of(address, tmp_path) == tmp_path / "one"


def beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> tuple[str, Path]:
    """A run that has told where its nodes are as soon as one of the looks is over."""
    address, folder = "tcp://127.0.0.1:4711", tmp_path / "one"
    folder.mkdir()
    (folder / NODES_LOG).touch()
    (folder / "experiment.toml").touch()
    nodes = {"broker": {"role": "broker", "pid": os.getpid(), "address": address}}
    look = getattr(live, name)

    def then(*known: Any) -> Any:
        found = look(*known)
        (folder / "nodes.json").write_text(json.dumps(nodes))
        return found

    monkeypatch.setattr(live, name, then)
    return address, folder


@pytest.mark.parametrize("name", ["starting_run", "run_of_broker"])
async def test_a_run_that_begins_between_two_looks_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whichever look it is that it begins after: it was starting, or it is there."""
    address, folder = beginning(tmp_path, monkeypatch, name)
    assert await run_of(address, tmp_path) == folder


async def test_by_the_word_of_the_later_look_it_would_be_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, _ = beginning(tmp_path, monkeypatch, "run_of_broker")
    monkeypatch.setattr(live, "starting_run", lambda *_: None)
    with pytest.raises(ExperimentError, match="no run folder"):
        await run_of(address, tmp_path)
