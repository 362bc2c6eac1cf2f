"""Which folders of gossip runs can be gone on with, and after which round."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from nervenet.nodes.checkpoint.state_file import path_of, rounds_in, write_state
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.experiment.loader import load_experiment
from nervenet.nodes.launching import launcher
from nervenet.nodes.results import resume
from nervenet.nodes.results.resume import reopen, rewind_peers
from nervenet.nodes.results.run_dir import RunDir, checkpoint_dir, has_checkpoints

PLAN = Experiment.from_dict({"mode": "gossip", "nodes": 3, "rounds": 20, "data": {"name": "iris"}})


def write(path: Path, name: str, *rounds: int, experiment: Experiment = PLAN) -> None:
    folder = checkpoint_dir(path, name)
    folder.mkdir(parents=True, exist_ok=True)
    for number in rounds:
        record = {"experiment": experiment.to_dict(), "incarnation": 7, "agreement": {}}
        write_state(folder, number, {"weights": np.full(3, number, np.float32)}, record, durable=False)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run that was killed with peers a round apart, and at paces of their own."""
    with RunDir(tmp_path / "run") as folder:
        folder.write_experiment(PLAN)
        folder.write_nodes({f"peer-{i}": {"role": "peer", "pid": 1, "address": ""} for i in range(3)})
    for name, rounds in (("peer-0", (4, 6, 7, 8)), ("peer-1", (4, 6, 7)), ("peer-2", (4, 8))):
        write(folder.path, name, *rounds)
    return folder.path


def spoil(run: Path, name: str, number: int) -> None:
    file = path_of(checkpoint_dir(run, name), number)
    file.write_bytes(file.read_bytes()[:-1])


def test_it_resumes_after_the_newest_common_round_and_removes_later_ones(run: Path) -> None:
    write(run, "peer-2", 6)
    with reopen(run, load_experiment(run)) as folder:
        assert (folder.resumed, folder.damaged) == (6, ())
        rewind_peers(folder)
    assert [rounds_in(checkpoint_dir(run, f"peer-{i}")) for i in range(3)] == [[6, 4], [6, 4], [6, 4]]


def test_a_damaged_state_is_named_and_the_round_before_it_counts(run: Path) -> None:
    write(run, "peer-2", 6)
    spoil(run, "peer-1", 6)
    with reopen(run, load_experiment(run)) as folder:
        assert folder.resumed == 4
        assert len(folder.damaged) == 1
        assert "peer-1/round-000000006.safetensors: is damaged: its checksum differs" in folder.damaged[0]


def test_without_a_common_round_each_peer_is_named_with_its_rounds(run: Path) -> None:
    path_of(checkpoint_dir(run, "peer-2"), 4).unlink()
    reason = "no round that every peer could go on from: peer-0 has 4, 6, 7, 8; peer-1 has 4, 6, 7; peer-2 has 8"
    with pytest.raises(ExperimentError, match=f"--resume {run}: there is {reason}"):
        reopen(run, load_experiment(run))
    write(run, "peer-2", 6)
    spoil(run, "peer-2", 6)
    with pytest.raises(ExperimentError, match=r"peer-2 has 8; .*peer-2/round-000000006.safetensors: is damaged"):
        reopen(run, load_experiment(run))


def test_a_run_without_states_is_refused(run: Path) -> None:
    assert has_checkpoints(run)
    for name in ("peer-0", "peer-1", "peer-2"):
        for number in rounds_in(checkpoint_dir(run, name)):
            path_of(checkpoint_dir(run, name), number).unlink()
    assert not has_checkpoints(run)
    with pytest.raises(ExperimentError, match="holds no state: none was kept yet; launch it again"):
        reopen(run, load_experiment(run))


def refusal_of_simulated(run: Path) -> str:
    (run / "summary.json").write_text('{"engine": "rounds"}')
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(ExperimentError) as refused:
        reopen(run, load_experiment(run))
    return str(refused.value)


def test_a_simulated_run_is_simulated_again(run: Path) -> None:
    assert refusal_of_simulated(run) == (
        f"--resume {run}: was simulated, and keeps no state; nervenet simulate {run} repeats it"
    )


def test_taken_for_a_launched_one_it_would_be_launched(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "read_summary", lambda _: {})
    assert refusal_of_simulated(run).endswith("launch it again")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"seed": 1}, "found seed = 0, expected 1; only rounds, "),
        ({"nodes": 4}, "found nodes = 3, expected 4"),
        ({"gossip.topology": "complete"}, "found gossip.topology = 'ring', expected 'complete'"),
        ({"rounds": 3}, "rounds = 3, and round 4 is complete already"),
        ({"mode": "federated"}, "is of another experiment: found "),
    ],
)
def test_another_experiment_is_refused(run: Path, changes: dict[str, object], reason: str) -> None:
    with pytest.raises(ExperimentError, match=reason):
        reopen(run, load_experiment(run, changes))


def test_an_experiment_file_that_was_changed_since_is_caught(run: Path) -> None:
    file = run / "experiment.toml"
    file.write_text(file.read_text().replace("seed = 0", "seed = 3"))
    with pytest.raises(ExperimentError, match="the checkpoint of round 4: is of another experiment: found seed = 0"):
        reopen(run, load_experiment(run))


@pytest.mark.parametrize("algorithm", ["ad-psgd", "gossip-learning"])
def test_algorithms_without_rounds_are_refused_by_name(tmp_path: Path, algorithm: str) -> None:
    plan = Experiment.from_dict({"mode": "gossip", "nodes": 3, "gossip": {"algorithm": algorithm}})
    with RunDir(tmp_path / "run") as folder:
        folder.write_experiment(plan)
    reason = f"gossip.algorithm = '{algorithm}' does not go by rounds, and such a run cannot be resumed; those with"
    for alone in ("", "peer"):
        with pytest.raises(ExperimentError, match=reason):
            reopen(folder.path, plan, alone=alone)


def finished(run: Path, number: int) -> None:
    for name in ("peer-0", "peer-1", "peer-2"):
        write(run, name, number)
    (run / "summary.json").write_text(json.dumps({"status": "completed", "completed_rounds": number, "rounds": number}))


@pytest.mark.e2e
async def test_a_complete_run_is_refused_unless_more_rounds_are_asked_for(run: Path) -> None:
    finished(run, 20)
    reason = f"--resume {run}: the run is complete: 20 of 20 rounds; raise --rounds to go on"
    with pytest.raises(ExperimentError, match=reason):
        await launcher.launch(load_experiment(run), resume=run)
    with pytest.raises(ExperimentError, match=reason):
        reopen(run, load_experiment(run), alone="peer")
    with reopen(run, load_experiment(run, {"rounds": 40})) as folder:
        assert folder.resumed == 20
