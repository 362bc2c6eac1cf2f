"""Runs that are killed with -9 and gone on with: the model of the run that was never killed, no round counted twice."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nervenet.nodes.checkpoint.state_file import rounds_in
from nervenet.nodes.results.run_dir import COORDINATOR, checkpoint_dir

pytestmark = pytest.mark.e2e
Start = Callable[..., Any]
ENDLESS = 1_000_000  # it is killed whenever that is seen to; how many rounds there are to be is decided after
MORE = 20
COMMON = ("--set", "evaluation.every=50", "--set", "network.join_deadline_s=60", "--set", "network.suspect_after_s=20")


def newest(folder: Path) -> int:
    """The round of the newest checkpoint."""
    return max(rounds_in(checkpoint_dir(folder, COORDINATOR)), default=0)


def incarnations(folder: Path) -> list[tuple[int, list[int]]]:
    """For each incarnation of a run, the round after which it went on, and those that it completed."""
    found: list[tuple[int, list[int]]] = []
    for line in (folder / "events.jsonl").read_bytes().splitlines():
        event = json.loads(line) if line.endswith(b"}") else {}
        if event.get("type") == "run.started":
            found.append((event.get("resumed_after", -1), []))
        elif event.get("type") == "round.completed":
            found[-1][1].append(event["round"])
    return found


def went_on(folder: Path, rounds_in_all: int) -> None:
    """Each incarnation begins after its checkpoint, counts every round once, and the last comes to the end."""
    reported = incarnations(folder)
    for after, rounds in reported:
        assert rounds == list(range(after + 1, after + 1 + len(rounds)))
    assert reported[-1][1][-1:] == [rounds_in_all]
    assert reported[-1][0] > 0
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["completed_rounds"] == rounds_in_all
    assert summary["resumed_after"] == reported[-1][0]
    assert summary["undisturbed"], summary["disturbances"]


def test_a_launch_loses_its_coordinator_then_its_launcher(
    launch: Start, nervenet: Start, launch_here: Start, nervenet_here: Start, tmp_path: Path, until: Start
) -> None:
    words = ("--data", "iris", "--nodes", 4, *COMMON, "--set", "federated.strategy=fedadam")
    words += ("--set", "evaluation.baseline=false")

    run = launch(*words, "--rounds", ENDLESS)
    until(lambda: newest(run.folder) > 0, "a checkpoint in the middle")
    os.kill(run.nodes["coordinator"]["pid"], signal.SIGKILL)
    assert run.wait() == 1
    assert "coordinator: killed by SIGKILL" in run.err[-1]
    assert f"nervenet launch --resume {run.folder}" in run.err[-2], run.text[-2000:]

    second = nervenet("launch", "--resume", run.folder, "--json")
    until(lambda: any('"round.completed"' in line for line in list(second.out)), "rounds of the second incarnation")
    second.kill(signal.SIGKILL)
    assert second.wait() == -signal.SIGKILL
    until(lambda: not second.family(), "its nodes go with it")

    rounds = newest(run.folder) + MORE
    nervenet_here("launch", "--resume", run.folder, "--rounds", rounds, "--quiet").ok()
    went_on(run.folder, rounds)
    whole = launch_here(*words, "--rounds", rounds, out="whole").ok().summary()
    assert (run.folder / "model.safetensors").read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()
    assert run.summary()["accuracy"] == whole["accuracy"]
    assert run.summary()["loss"] == whole["loss"]

    complete = nervenet_here("launch", "--resume", run.folder)
    assert complete.wait() == 2
    assert f"the run is complete: {rounds} of {rounds} rounds; raise --rounds to go on" in complete.err[-1]
    nervenet_here("launch", "--resume", run.folder, "--rounds", rounds + 5, "--quiet").ok()
    assert run.summary()["completed_rounds"] == rounds + 5
    assert incarnations(run.folder)[-1] == (rounds, list(range(rounds + 1, rounds + 6)))


def site(folder: Path, seed: int) -> Path:
    """Write one site's rows."""
    X = np.random.default_rng(seed).normal(size=(60, 3))
    path = folder / f"site{seed}.csv"
    lines = [",".join([*(f"{v:.3f}" for v in x), str(int(x.sum() > 0))]) for x in X]
    path.write_text("a,b,c,y\n" + "\n".join(lines) + "\n")
    return path


def test_by_hand_the_living_clients_wait_for_the_coordinator(nervenet: Start, tmp_path: Path, until: Start) -> None:
    broker = nervenet("broker", "--bind", "tcp://127.0.0.1:0")
    address = broker.says("directory").split()[-1]

    def clients(run: str, rounds: int) -> list[Any]:
        where = ("--broker", address, "--run", run, "--nodes", 2, "--rounds", rounds, *COMMON)
        return [
            nervenet("node", "client", *where, "--name", name, "--data", file, "--out", f"{run}-{name}")
            for name, file in sites.items()
        ]

    def coordinator(run: str, *words: Any) -> Any:
        return nervenet("node", "coordinator", "--broker", address, "--run", run, *words, "--json")

    sites = {f"site{k}": site(tmp_path, k) for k in range(2)}
    alive = clients("run", ENDLESS)
    killed = coordinator("run", "--nodes", 2, "--rounds", ENDLESS, *COMMON, "--out", "run")
    until(lambda: newest(tmp_path / "run") > 0, "a checkpoint in the middle")
    killed.kill()
    killed.wait()
    alive[1].kill()
    alive[1].wait()
    # It need not say its name again: its folder knows it.
    alive[1] = nervenet("node", "client", "--broker", address, "--run", "run", "--resume", "run-site1")
    rounds = newest(tmp_path / "run") + MORE
    coordinator("run", "--resume", "run", "--rounds", rounds).ok()
    for client in alive:
        client.ok()
    went_on(tmp_path / "run", rounds)

    others = clients("whole", rounds)
    coordinator("whole", "--nodes", 2, "--rounds", rounds, *COMMON, "--out", "whole").ok()
    for client in others:
        client.ok()
    models = [(tmp_path / f / "model.safetensors").read_bytes() for f in ("whole", "run", "run-site0", "run-site1")]
    assert models[1:] == models[:1] * 3
    broker.kill(signal.SIGTERM)
    assert broker.wait() == 143
