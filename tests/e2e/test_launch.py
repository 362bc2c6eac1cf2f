"""One command, real processes, both ways to learn, and what it leaves behind for people and their scripts."""

import json
import tomllib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nervenet.models.artifact import load_model, read_extra
from nervenet.models.data.splits import split
from nervenet.models.datasets import load

pytestmark = pytest.mark.e2e
Start = Callable[..., Any]

NUMBER = (int, float)
QUICK = ("--set", "evaluation.baseline=false")
CALM = ("--set", "network.suspect_after_s=20")  # on a busy machine, too, nobody is to be left out of a round
IPC = ("--set", "network.transport=ipc", "--set", "network.bind=/tmp")  # short paths, wherever TMPDIR is
KEYS: dict[str, Any] = {
    "mode": str, "nodes": int, "rounds": int, "completed_rounds": int, "seed": int, "data": str, "model": str,
    "parameters": int, "accuracy": float, "accuracy_min": float, "accuracy_max": float, "loss": float,
    "baseline": dict, "bytes_sent": int, "bytes_sent_by_kind": dict, "wall_s": NUMBER, "startup_s": NUMBER,
    "round_s_median": NUMBER, "nodes_lost": list, "updates_rejected": dict, "undisturbed": bool, "status": str,
}  # fmt: skip


def test_push_sum_on_a_graph_that_changes_learns_alike_each_time(launch_here: Start) -> None:
    options = ("--mode", "gossip", "--algorithm", "sgp", "--topology", "epidemic-local", "--data", "iris")
    first = launch_here(*options, "--nodes", 5, "--rounds", 15, "--set", "gossip.degree=2", *QUICK, *CALM).ok()
    again = launch_here(first.folder / "experiment.toml", out="again").ok()
    assert first.summary()["accuracy"] >= 0.9
    assert first.summary()["undisturbed"]
    figures = ("accuracy", "accuracy_min", "loss", "consensus_distance")
    assert [first.summary()[key] for key in figures] == [again.summary()[key] for key in figures]
    events = map(json.loads, (first.folder / "events.jsonl").read_text().splitlines())
    masses = [e["mass"] for e in events if e["type"] == "round.completed" and e["round"] == 15]
    assert len(masses) == 5
    assert 0.0 < min(masses) < max(masses)


@pytest.mark.parametrize("mode", ["federated", "gossip"])
def test_iris_learns_alike_each_time(mode: str, launch_here: Start) -> None:
    first = launch_here("--mode", mode, "--data", "iris", "--nodes", 4, "--rounds", 30, "--seed", 3, *CALM).ok()
    # A run folder's experiment, launched again, repeats the run.
    runs = [first, launch_here(first.folder / "experiment.toml", *QUICK, out="again").ok()]
    folder, summary = runs[0].folder, runs[0].summary()
    for name, kind in KEYS.items():
        assert isinstance(summary[name], kind), (name, summary[name])
    page = (Path(__file__).parents[2] / "docs" / "summary.md").read_text()
    assert [name for name in summary if f"| `{name.replace('accuracy', 'SCORE')}` |" not in page] == []
    assert summary["status"] == "completed"
    assert summary["completed_rounds"] == 30
    assert summary["accuracy"] >= 0.9
    assert summary["baseline"]["centralised"] >= 0.9
    assert 0 < summary["startup_s"] < summary["wall_s"]
    assert (summary["consensus_distance"] is None) == (mode == "federated")
    assert summary["bytes_sent"] == sum(summary["bytes_sent_by_kind"].values()) > 0

    assert summary["undisturbed"], summary["disturbances"]
    one, other = ((run.folder / "model.safetensors").read_bytes() for run in runs)
    assert one == other

    tables = ("experiment.toml", "nodes.json", "events.jsonl", "round_metrics.jsonl", "summary.json")
    for name in (*tables, "model.json", "curves.png", "report.html"):
        assert (folder / name).stat().st_size > 0, name
    roles = sorted(node["role"] for node in runs[0].nodes.values())
    assert roles == sorted(["broker", *{"federated": ["coordinator", *["client"] * 4], "gossip": ["peer"] * 4}[mode]])
    assert len({node["pid"] for node in runs[0].nodes.values()}) == len(roles)
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    last = max(e["round"] for e in events if e["type"] == "round.completed")
    assert last == 30
    assert {"run.started", "node.ready", "round.started", "metric.test", "run.completed"} <= {e["type"] for e in events}
    with (folder / "experiment.toml").open("rb") as file:
        assert tomllib.load(file)["rounds"] == 30


@pytest.mark.parametrize(
    "words",
    [
        ("--mode", "gossip", "--data", "diabetes", "--processes", 2),
        ("--mode", "federated", "--data", "breast_cancer", *IPC),
        ("--mode", "gossip", "--data", "wine", "--processes", 1, "--set", "network.transport=inproc"),
    ],
)
def test_other_data_transports_and_processes(words: tuple[Any, ...], launch_here: Start) -> None:
    run = launch_here(*words, "--nodes", 4, "--rounds", 10, *QUICK, *CALM).ok()
    summary = run.summary()
    score = "r2" if "diabetes" in words else "accuracy"
    assert summary[score] > (0.3 if score == "r2" else 0.9)
    assert summary["undisturbed"], summary["disturbances"]
    pids = {node["pid"] for node in run.nodes.values() if node["role"] in ("client", "peer")}
    assert len(pids) == dict(pairwise(words)).get("--processes", 4)


def test_a_run_ends_when_its_goal_is_reached_and_keeps_the_best_round(launch_here: Start) -> None:
    words = ("--data", "iris", "--nodes", 3, "--rounds", 60, *CALM)
    run = launch_here(*words, "--until", "accuracy=0.9", "--set", "evaluation.sites=true").ok()
    summary = run.summary()
    assert summary["status"] == "completed"
    assert 0 < summary["completed_rounds"] < 60
    assert summary["stopped_by"] == "until"
    assert "accuracy >= 0.9 was reached" in summary["reason"]
    assert summary["reason"] in run.text
    assert summary["undisturbed"], summary["disturbances"]
    assert summary["accuracy"] >= 0.9
    assert summary["best"]["round"] == summary["completed_rounds"]
    assert summary["sites"]["round"] == summary["completed_rounds"]
    assert summary["sites"]["sites"] == 3
    assert summary["worst_site"].startswith("client-")
    (completed,) = [e for e in run.events if e["type"] == "run.completed"]
    assert (completed["stopped_by"], completed["reason"]) == ("until", summary["reason"])
    trained = [event["rounds"] for event in run.events if event["type"] == "baseline.progress"]
    assert set(trained) <= {summary["completed_rounds"]}
    assert summary["baseline_s"] > 0
    assert summary["wall_s"] == completed["wall_s"]

    # Patience goes on beyond the best round, which is kept as it was.
    run = launch_here(*words, *QUICK, "--patience", 3, out="patient").ok()
    summary = run.summary()
    assert summary["stopped_by"] == "patience"
    assert summary["completed_rounds"] == summary["best"]["round"] + 3
    assert summary["best"]["accuracy"] >= summary["accuracy"]
    _, test = split(load("iris"))
    best = load_model(run.folder / "best.json")
    assert np.mean(best.predict(test.X) == test.y) == pytest.approx(summary["best"]["accuracy"])
    last = load_model(run.folder)
    assert np.mean(last.predict(test.X) == test.y) == pytest.approx(summary["accuracy"])
    assert not np.array_equal(best.get_weights(), last.get_weights())
    assert read_extra(run.folder / "best.json")["round"] == summary["best"]["round"]


def test_a_budget_of_time_ends_a_run_in_order(launch_here: Start) -> None:
    run = launch_here("--data", "iris", "--nodes", 2, "--rounds", 100000, "--budget", 0.3, *QUICK, *CALM)
    summary = run.ok().summary()
    assert (summary["status"], summary["stopped_by"]) == ("completed", "budget")
    assert summary["undisturbed"], summary["disturbances"]
    assert summary["completed_rounds"] >= 1


def test_several_seeds_are_as_many_runs_and_one_result(nervenet_here: Callable[..., Any], tmp_path: Path) -> None:
    words = ("--data", "iris", "--nodes", 2, "--rounds", 2, "--quiet", "--out", "runs")
    run = nervenet_here("launch", *words, "--seeds", "3,1", *QUICK)
    assert run.wait() == 0, run.text
    found = json.loads((tmp_path / "runs" / "seeds.json").read_text())
    of_runs = [json.loads((tmp_path / "runs" / f"seed-{seed}" / "summary.json").read_text()) for seed in (3, 1)]
    assert [summary["seed"] for summary in of_runs] == found["seeds"] == [3, 1]
    assert found["accuracy"]["values"] == [summary["accuracy"] for summary in of_runs]
    assert "seed 3   seed 1" in run.text


def test_an_estimator_learns_as_the_built_in_network_does(launch_here: Start) -> None:
    model = "sklearn.linear_model.SGDClassifier"
    run = launch_here(
        *("--mode", "federated", "--data", "wine", "--nodes", 3, "--rounds", 8, "--model", model, *QUICK)
    ).ok()
    summary = run.summary()
    assert summary["accuracy"] > 0.9
    assert summary["model"] == model
    assert (run.folder / "model.skops").exists()


def test_every_node_knows_what_the_whole_data_set_is_for(launch_here: Start, tmp_path: Path) -> None:
    """30 labels, and so few rows a node that they look like quantities there."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(30), 14)
    X = rng.normal(size=(420, 6)) * 0.3 + (labels[:, None] * np.array([1, 0.5, 0.3, -0.2, 0.7, 0.1])) % 7
    rows = [",".join([*(f"{v:.4f}" for v in x), str(label)]) for x, label in zip(X, labels, strict=True)]
    (tmp_path / "many.csv").write_text("a,b,c,d,e,f,y\n" + "\n".join(rows) + "\n")
    run = launch_here("--mode", "gossip", "--data", "many.csv", "--nodes", 8, "--rounds", 6, *QUICK).ok()
    assert run.summary()["accuracy"] > 0.4


def test_a_disk_without_room_for_the_model_is_reported_at_once_and_at_the_end(launch: Start) -> None:
    """A file of this run may grow to 100 kB; its model has 280 kB, and so has each checkpoint."""
    run = launch(
        *("--data", "iris", "--nodes", 2, "--rounds", 3, "--hidden", 10_000, *QUICK),
        file_blocks=200,
    )
    assert run.wait() == 1, run.text
    assert run.reported("warning", round=0)[0]["reason"].startswith("the checkpoint of round 0 was not written: ")
    assert (
        run.err[-1]
        == f"nervenet: the model could not be written to {run.folder}: File too large (docs/errors.md#not-written)\n"
    )
    assert "Traceback" not in run.text
    summary = run.summary()
    assert (summary["status"], summary["completed_rounds"]) == ("failed", 3)
    assert summary["reason"] in run.err[-1]
