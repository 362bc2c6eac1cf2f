"""The run folder: readable at any moment, never overwritten, and found again by a monitor."""

import errno
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from nervenet.models.pipeline.description import describe_transformer
from nervenet.nodes.checkpoint.store import CheckpointStore
from nervenet.nodes.config.factory import with_preprocess
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.experiment.loader import load_experiment
from nervenet.nodes.results import run_dir
from nervenet.nodes.results.event_log import read_events
from nervenet.nodes.results.resume import check_run
from nervenet.nodes.results.run_dir import RunDir, new_default_dir, to_json
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Binarizer


def test_what_is_written_can_be_read_again(tmp_path: Path) -> None:
    experiment = load_experiment(overrides={"data.name": "iris"})
    with RunDir(tmp_path / "deep" / "run") as run:
        run.write_experiment(experiment)
        run.write_nodes({"client-0": {"role": "client", "pid": 7, "address": None}})
        run.record({"type": "round.started", "round": 1})
        run.record({"type": "gap", "subject": "client-0", "about": "metric.local", "missed": 3})
        run.write_summary({"accuracy": float("nan"), "status": "failed"})
    assert load_experiment(run.path) == experiment.resolved()
    assert json.loads((run.path / "nodes.json").read_text())["client-0"]["pid"] == 7
    assert [event["type"] for event in read_events(run.path)] == ["round.started", "gap"]
    assert json.loads((run.path / "summary.json").read_text()) == {"accuracy": None, "status": "failed"}
    assert not list(run.path.glob(".*")), "nothing temporary is left"


def with_pipeline(fill: str = "median", **overrides: object) -> Experiment:
    return with_preprocess(
        load_experiment(overrides=overrides), make_pipeline(SimpleImputer(strategy=fill), Binarizer())
    )


def test_a_pipeline_that_was_given_as_an_object_is_described_in_the_folder(tmp_path: Path) -> None:
    experiment = with_pipeline()
    with RunDir(tmp_path / "run") as run:
        run.write_experiment(experiment)
    assert 'preprocess = "preprocess.json"' in (run.path / "experiment.toml").read_text()
    described = json.loads((run.path / "preprocess.json").read_text())
    assert described == describe_transformer(make_pipeline(SimpleImputer(strategy="median"), Binarizer()))
    (tmp_path / "run").rename(tmp_path / "moved")
    again = load_experiment(tmp_path / "moved")
    assert again == experiment.resolved()
    named = load_experiment(overrides={"data.preprocess": str(tmp_path / "moved/preprocess.json")})
    assert named.data.preprocess == again.data.preprocess


def test_a_run_goes_on_with_its_own_pipeline_alone(tmp_path: Path) -> None:
    with RunDir(tmp_path / "run") as run:
        run.write_experiment(with_pipeline())
    check_run(run.path, load_experiment(run.path))
    check_run(run.path, with_pipeline())
    for other in (with_pipeline("mean"), load_experiment()):
        with pytest.raises(ExperimentError, match=r"is of another experiment: found data.preprocess = '{\"parameters"):
            check_run(run.path, other)


def test_no_run_overwrites_another(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(ExperimentError, match="exists and is not empty; choose another folder"):
        RunDir(tmp_path)
    with pytest.raises(ExperimentError, match="cannot be used as a run folder"):
        RunDir(tmp_path / "kept.txt")
    assert [file.name for file in tmp_path.iterdir()] == ["kept.txt"]


def test_a_folder_that_takes_nothing_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    with RunDir(tmp_path / "run") as run, monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", refuse)  # root may write to any folder, and tests may run as root
        with pytest.raises(ExperimentError, match="run: cannot be used as a run folder: Permission denied"):
            run.write_experiment(load_experiment())
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ExperimentError, match="other: cannot be used as a run folder: Permission denied"):
        RunDir(tmp_path / "other")


def left_by_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder that could be made, though not even its experiment could be written."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched, RunDir(tmp_path / "a") as folder:
        patched.setattr(run_dir, "write_atomically", full)
        with pytest.raises(ExperimentError, match="cannot be used as a run folder: No space left on device"):
            folder.write_experiment(Experiment())
    return tmp_path / "a"


def test_a_folder_that_takes_nothing_can_be_used_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = left_by_a_full_disk(tmp_path, monkeypatch)
    assert not any(path.iterdir())
    with RunDir(path) as again:
        again.write_experiment(Experiment())
    assert (path / "experiment.toml").exists()


def test_what_stayed_in_it_would_keep_the_same_command_from_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_dir, "_empty", lambda _: None)
    path = left_by_a_full_disk(tmp_path, monkeypatch)
    with pytest.raises(ExperimentError, match="exists and is not empty"):
        RunDir(path)


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    RunDir(tmp_path).close()
    assert list(read_events(tmp_path)) == []


@pytest.mark.e2e
def test_events_that_were_flushed_survive_a_killed_process(tmp_path: Path) -> None:
    code = f"""
import os, pathlib
from nervenet.nodes.results.run_dir import RunDir
run = RunDir(pathlib.Path({str(tmp_path / "run")!r}))
run.record({{"type": "a", "n": 1}}); run.flush(); run.record({{"type": "b"}}); os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert list(read_events(tmp_path / "run")) == [{"type": "a", "n": 1}]


def test_a_line_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_bytes(b'{"type": "a"}\n{"type": "b", "rou')
    assert list(read_events(tmp_path)) == [{"type": "a"}]


def test_json_knows_numpy_and_no_nan() -> None:
    line = to_json({"a": np.float32(0.5), "b": np.int64(3), "c": np.array([1.0, np.nan]), "d": float("inf")})
    assert json.loads(line) == {"a": 0.5, "b": 3, "c": [1.0, None], "d": None}


NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_the_default_folder_is_new_even_within_one_second(tmp_path: Path) -> None:
    experiment = load_experiment(overrides={"mode": "gossip", "data.name": "some/where/rows.csv"})
    names = []
    for _ in range(3):
        path = new_default_dir(experiment, NOW, tmp_path / "runs")
        RunDir(path).close()
        names.append(path.name)
    stem = "20300102T030405Z-gossip-rows"
    assert names == [stem, f"{stem}~2", f"{stem}~3"]


def of_two_at_once(root: Path) -> set[Path]:
    """The folders of two runs that both ask before either has written anything."""
    experiment = load_experiment(overrides={"data.name": "iris"})
    return {new_default_dir(experiment, NOW, root) for _ in range(2)}


def test_two_runs_that_start_at_once_get_a_default_folder_each(tmp_path: Path) -> None:
    assert len(of_two_at_once(tmp_path)) == 2


def test_two_runs_would_share_a_folder_that_is_only_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = Path.mkdir
    occupied = lambda path: path.exists() and any(path.iterdir())  # noqa: E731

    def looking_only(self: Path, *, mode: int = 0o777, parents: bool = False) -> None:
        if occupied(self):
            raise FileExistsError
        make(self, mode=mode, parents=parents, exist_ok=True)

    monkeypatch.setattr(Path, "mkdir", looking_only)
    assert len(of_two_at_once(tmp_path)) == 1


def test_a_default_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(ExperimentError, match="cannot be used as a run folder: Not a directory; choose one by --out"):
        new_default_dir(load_experiment(), NOW, tmp_path / "runs")


def test_a_run_folder_and_what_nodes_keep_are_their_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        RunDir(tmp_path / "run").close()
        CheckpointStore(tmp_path / "run" / "checkpoints" / "peer-0").write(1, {"x": np.zeros(1)}, {})
        CheckpointStore(tmp_path / "site").write(1, {"x": np.zeros(1)}, {})
    finally:
        os.umask(before)
    for folder in ("run", "run/checkpoints/peer-0", "site"):
        assert (tmp_path / folder).stat().st_mode & 0o077 == 0, folder


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_nodes_that_cannot_be_written_again_are_a_warning(tmp_path, monkeypatch):
    with RunDir(tmp_path / "run") as run:
        assert run.renew_nodes({"broker": {"role": "broker", "pid": 1, "address": "tcp://h:1"}}) is None
        before = (run.path / "nodes.json").read_text()
        monkeypatch.setattr(run_dir, "write_atomically", full)
        reason = run.renew_nodes({})
        assert reason is not None
        assert "nodes.json is not up to date: No space left on device" in reason
        assert (run.path / "nodes.json").read_text() == before


def test_written_as_they_are_at_first_they_would_end_the_run(tmp_path, monkeypatch):
    with RunDir(tmp_path / "run") as run:
        monkeypatch.setattr(run_dir, "write_atomically", full)
        monkeypatch.setattr(RunDir, "renew_nodes", RunDir.write_nodes)
        with pytest.raises(OSError, match="No space left"):
            run.renew_nodes({})


def test_what_could_not_be_written_is_returned_once(tmp_path, monkeypatch):
    with RunDir(tmp_path / "run") as run:
        monkeypatch.setattr(run_dir, "write_atomically", full)
        for _ in range(2):
            run.write_known_rounds([])
        reason = run.refusal()
        assert reason is not None
        assert "round_metrics.jsonl is not whole: No space left on device" in reason
        assert run.refusal() is None
