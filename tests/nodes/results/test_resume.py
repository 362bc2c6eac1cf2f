"""Which run folders can be gone on with; whatever cannot is named before anything in it has changed."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nervenet.nodes.checkpoint import state_file
from nervenet.nodes.checkpoint.state_file import path_of
from nervenet.nodes.checkpoint.store import CheckpointStore
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.experiment.loader import load_experiment
from nervenet.nodes.launching import launcher
from nervenet.nodes.launching.standalone import run_node
from nervenet.nodes.results.event_log import read_events
from nervenet.nodes.results.resume import reopen
from nervenet.nodes.results.run_dir import COORDINATOR, RunDir, checkpoint_dir

PLAN = Experiment.from_dict({"nodes": 4, "rounds": 20, "data": {"name": "iris"}})


def write(path: Path, *rounds: int, experiment: Experiment | None = PLAN) -> CheckpointStore:
    checkpoints = CheckpointStore(checkpoint_dir(path, COORDINATOR))
    record = {} if experiment is None else {"experiment": experiment.to_dict()}
    for number in rounds:
        checkpoints.write(number, {"weights": np.full(3, number, np.float32)}, record)
    return checkpoints


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run whose launcher was killed after round 7."""
    with RunDir(tmp_path / "run") as folder:
        folder.write_experiment(PLAN)
        folder.record({"type": "round.completed", "round": 7})
    write(folder.path, 5, 6, 7)
    return folder.path


def everything(path: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def asked(run: Path, **changes: object) -> Experiment:
    return load_experiment(run, {key.replace("__", "."): value for key, value in changes.items()})


def test_events_are_appended_and_the_round_is_known(run: Path) -> None:
    with reopen(run, asked(run)) as folder:
        assert folder.resumed == 7
        folder.record({"type": "round.started", "round": 8})
    assert [(event["type"], event["round"]) for event in read_events(run)] == [
        ("round.completed", 7),
        ("round.started", 8),
    ]


def test_a_truncated_event_spoils_no_other(run: Path) -> None:
    with (run / "events.jsonl").open("ab") as file:
        file.write(b'{"type": "round.st')
    with reopen(run, asked(run)) as folder:
        folder.record({"type": "round.started", "round": 8})
    assert [event["round"] for event in read_events(run)] == [7, 8]


@pytest.mark.parametrize(
    "changes",
    [
        {"rounds": 40},
        {"processes": 2},
        {"federated__deadline_s": 5.0},
        {"evaluation__every": 3},
        {"network__join_deadline_s": 99.0, "network__bind": "0.0.0.0", "network__advertise": "host"},
    ],
)
def test_what_no_round_depends_on_may_change(run: Path, changes: dict[str, object]) -> None:
    reopen(run, asked(run, **changes)).close()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"seed": 1}, "found seed = 0, expected 1; only rounds, "),
        ({"nodes": 5, "rounds": 30}, "found nodes = 4, expected 5;"),
        ({"training__epochs": 2}, "found training.epochs = 5, expected 2;"),
        ({"model__hidden": [8], "training__momentum": 0.5}, r"found model.hidden = \[64\], expected \[8\];"),
        ({"data__name": "wine"}, "found data.name = 'iris', expected 'wine';"),
        ({"federated__participation": 0.5, "federated__min_clients": 2}, "found federated.participation = 1.0"),
        ({"rounds": 6}, "rounds = 6, and round 7 is complete already"),
        ({"mode": "gossip"}, "is of another experiment: found "),
    ],
)
def test_another_experiment_is_named_by_its_first_key(run: Path, changes: dict[str, object], reason: str) -> None:
    before = everything(run)
    with pytest.raises(ExperimentError, match=f"--resume {run}: .*{reason}"):
        reopen(run, asked(run, **changes))
    assert everything(run) == before


def test_an_experiment_file_that_was_changed_since_is_caught(run: Path) -> None:
    file = run / "experiment.toml"
    file.write_text(file.read_text().replace("seed = 0", "seed = 3"))
    with pytest.raises(ExperimentError, match="the checkpoint of round 7: is of another experiment: found seed = 0"):
        reopen(run, asked(run))


def gone(run: Path) -> None:
    run.rename(run.with_name("elsewhere"))


def no_experiment(run: Path) -> None:
    (run / "experiment.toml").unlink()


def no_checkpoints(run: Path) -> None:
    for file in (run / "checkpoints").rglob("*.safetensors"):
        file.unlink()


def none_whole(run: Path) -> None:
    for file in (run / "checkpoints").rglob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:-1])


def newer(run: Path) -> None:
    known, state_file.FORMAT = state_file.FORMAT, 9
    write(run, 8)
    state_file.FORMAT = known


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (gone, "there is no such run folder"),
        (no_experiment, "is no run folder: it holds no experiment.toml"),
        (no_checkpoints, "holds no checkpoint: its first round was never complete"),
        (
            none_whole,
            "holds no whole checkpoint: .*round-0*7.safetensors: is damaged: its checksum differs .docs/.*#no-ch.*$",
        ),
        (newer, "round-000000008.safetensors: is of format 9; this version reads format 2"),
    ],
)
def test_what_cannot_be_resumed_is_named(run: Path, spoil: Callable[[Path], None], reason: str) -> None:
    spoil(run)
    before = everything(run.parent)
    with pytest.raises(ExperimentError, match=f"--resume {run}: .*{reason}"):
        reopen(run, PLAN)
    assert everything(run.parent) == before


def test_a_damaged_newest_one_costs_only_its_round(run: Path) -> None:
    path_of(checkpoint_dir(run, COORDINATOR), 7).write_bytes(b"")
    with reopen(run, asked(run)) as folder:
        assert folder.resumed == 6


@pytest.mark.e2e
def test_a_running_run_is_not_resumed(run: Path) -> None:
    code = f"""
import pathlib, sys
from nervenet.nodes.experiment.loader import load_experiment
from nervenet.nodes.results.resume import reopen
run = pathlib.Path({str(run)!r})
folder = reopen(run, load_experiment(run))
print("open", flush=True); sys.stdin.read()
"""
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(ExperimentError, match="another process is writing to this run folder; stop it first"):
            reopen(run, asked(run))
        process.kill()
    reopen(run, asked(run)).close()  # a killed one holds nothing


def test_every_node_has_its_state_dir(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.parent)
    with reopen(Path("run"), PLAN) as folder:
        assert folder.checkpoint_dir("coordinator", "boss") == run / "checkpoints" / "coordinator"
        assert folder.checkpoint_dir("client", "client-0") == run / "checkpoints" / "client-0"
        assert folder.checkpoint_dir("peer", "peer-0") == run / "checkpoints" / "peer-0"


def finished(run: Path, completed: int, rounds: int, status: str = "completed", **more: str) -> None:
    write(run, completed)
    summary = {"status": status, "completed_rounds": completed, "rounds": rounds, **more}
    (run / "summary.json").write_text(json.dumps(summary))


def test_a_complete_run_is_refused_with_what_to_do(run: Path) -> None:
    finished(run, 20, 20)
    before = everything(run)
    with pytest.raises(ExperimentError, match=f"--resume {run}: the run is complete: 20 of 20 rounds; raise --rounds"):
        reopen(run, asked(run))
    assert everything(run) == before


def test_more_rounds_can_be_asked_of_a_run_that_is_complete(run: Path) -> None:
    finished(run, 20, 20)
    with reopen(run, asked(run, rounds=40)) as folder:
        assert folder.resumed == 20
        folder.write_experiment(asked(run, rounds=40))
    with reopen(run, asked(run)) as folder:  # killed once more, before it had a summary of its own
        assert folder.resumed == 20


STOPPED = [
    ("until", "until", "accuracy=0.9", "accuracy=0.99"),
    ("patience", "patience", 3, 9),
    ("budget", "budget_s", 1.5, 9.0),
]


def stopped(run: Path, by: str, key: str, value: object) -> None:
    """A run of 12 rounds out of 20 that this has stopped."""
    finished(run, 12, 20, stopped_by=by, reason="why")
    with RunDir(run, existing=True) as run_dir:
        run_dir.write_experiment(asked(run, **{f"evaluation__{key}": value}))


@pytest.mark.parametrize(("by", "key", "value", "_other"), STOPPED)
def test_what_stopped_a_run_would_stop_it_again_and_is_said(
    run: Path, by: str, key: str, value: object, _other: object
) -> None:
    stopped(run, by, key, value)
    before = everything(run)
    reason = f"complete: 12 of 20 rounds, stopped by {by}: why; change --{by}, or leave it out: --{by} none"
    for rounds in (20, 40):
        with pytest.raises(ExperimentError, match=reason):
            reopen(run, asked(run, rounds=rounds))
    assert everything(run) == before


@pytest.mark.parametrize(("by", "key", "value", "other"), STOPPED)
def test_a_run_that_stopped_early_resumes_without_what_stopped_it(
    run: Path, by: str, key: str, value: object, other: object
) -> None:
    stopped(run, by, key, value)
    reopen(run, asked(run, **{f"evaluation__{key}": other})).close()
    with reopen(run, asked(run, **{f"evaluation__{key}": None})) as folder:
        folder.write_experiment(asked(run, **{f"evaluation__{key}": None}))
    reopen(run, asked(run)).close()  # killed once more, before it had a summary of its own


@pytest.mark.parametrize("status", ["failed", "interrupted"])
def test_an_incomplete_run_resumes_whatever_its_summary_says(run: Path, status: str) -> None:
    finished(run, 20, 20, status)
    reopen(run, asked(run)).close()


def test_a_client_resumes_without_checkpoints_of_the_coordinator(run: Path) -> None:
    no_checkpoints(run)
    with reopen(run, asked(run), alone="client") as folder:
        assert folder.resumed is None


@pytest.mark.e2e
def test_a_disk_that_is_full_ends_no_run(tmp_path: Path) -> None:
    code = f"""
import pathlib, resource, signal
from nervenet.nodes.results.run_dir import RunDir
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
with RunDir(pathlib.Path({str(tmp_path / "full")!r})) as folder:
    for number in range(10_000):
        folder.record({{"type": "round.completed", "round": number}})
    print(folder.refused)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "events.jsonl is not whole: File too large" in done.stdout
    assert [event["round"] for event in read_events(tmp_path / "full")][:3] == [0, 1, 2]


@pytest.mark.e2e
async def test_launch_refuses_before_it_touches_anything(run: Path) -> None:
    before = everything(run)
    for options, reason in (({"out": run / "new"}, "leave out --out"), ({}, "found seed = 0, expected 1")):
        with pytest.raises(ExperimentError, match=reason):
            await launcher.launch(asked(run, seed=1), resume=run, **options)  # type: ignore[arg-type]
    assert everything(run) == before


async def test_a_node_refuses_before_it_joins(run: Path) -> None:
    where = {"broker": "tcp://127.0.0.1:9", "run": "r", "resume": run}
    with pytest.raises(ExperimentError, match="is of another experiment: found "):
        await run_node("peer", load_experiment(run, {"mode": "gossip"}), **where)  # type: ignore[arg-type]
    with pytest.raises(ExperimentError, match="found seed = 0, expected 1"):
        await run_node("client", asked(run, seed=1), **where)  # type: ignore[arg-type]
    with pytest.raises(ExperimentError, match="leave out --out"):
        await run_node("coordinator", PLAN, out=run / "x", **where)  # type: ignore[arg-type]
    with pytest.raises(ExperimentError, match="found seed = 0, expected 1"):
        await run_node("coordinator", asked(run, seed=1), **where)  # type: ignore[arg-type]


@pytest.mark.e2e
def test_a_monitor_loads_no_numpy_for_it() -> None:
    code = "import sys, nervenet.nodes.results.run_dir; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=dict(os.environ))
    assert json.loads(done.stdout.decode().lower()) is False
