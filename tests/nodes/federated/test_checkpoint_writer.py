"""The coordinator's half of a checkpoint: what goes in, of which round, and what comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nervenet.models.mlp.mlp import MLP
from nervenet.models.site_model import SiteModel
from nervenet.nodes.checkpoint.store import CheckpointStore
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.federated.checkpoint_writer import CheckpointWriter
from nervenet.nodes.federated.coordinator_worker import Aggregator, CoordinatorWorker
from nervenet.nodes.federated.recovery import recall
from nervenet.nodes.federated.strategies import Contribution, Outcome
from nervenet.nodes.federated.strategies.averaging import FedAdam
from nervenet.nodes.federated.strategies.base import Demands
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.model_worker import ModelWorker
from nervenet.nodes.runtime.node_stats import NodeStats
from nervenet.nodes.runtime.worker import Cancellation, Worker

PLAN = Experiment.from_dict({"nodes": 2, "rounds": 5, "data": {"name": "iris"}, "model": {"hidden": [3]}})
X = np.random.default_rng(0).normal(size=(30, 4))
y = np.arange(30) % 3


class Controlled:
    """A strategy with a further part: counts its rounds in it."""

    demands = Demands(parts=("weights", "control"))

    def check(self, clients: int) -> None: ...

    def init(self, weights: Any, population: int = 0) -> Any:
        return {"count": np.zeros(())}

    def apply(self, state: Any, weights: Any, contributions: Any) -> Outcome:
        count = np.asarray(state["count"] + 1)
        return Outcome(weights + 1, {"count": count}, outgoing=(np.full_like(weights, count),))


def fold(aggregator: Aggregator, number: int, weights: Any) -> ev.Folded:
    moved = Contribution("a", np.tile(weights - np.float32(0.1), len(aggregator.strategy.demands.parts)), weights, 3)
    return aggregator.fold(e.Fold(number, 0, weights, (moved,)))


@pytest.mark.parametrize("strategy", [FedAdam(), Controlled()], ids=["state", "state and parts"])
def test_the_next_round_has_the_same_bits(strategy: Any) -> None:
    weights = np.arange(4, dtype=np.float32)
    aggregator = Aggregator(strategy)
    aggregator.begin(weights)
    first = fold(aggregator, 1, weights)
    kept = aggregator.arrays(1)
    again = Aggregator(strategy)
    outgoing = again.restore(1, first.body, kept)
    assert outgoing.tobytes() == first.outgoing.tobytes()
    one, other = fold(aggregator, 2, first.body), fold(again, 2, first.body)
    assert one.outgoing.tobytes() == other.outgoing.tobytes()
    assert aggregator.arrays(2).keys() == again.arrays(2).keys()
    # What round 1 left is still known when round 2 has been folded, and not for ever.
    assert aggregator.arrays(1) == kept
    fold(aggregator, 3, one.body)
    with pytest.raises(RuntimeError, match=r"round 1 is not remembered; rounds \[2, 3\] are"):
        aggregator.arrays(1)


def site_model() -> SiteModel:
    return SiteModel(MLP(hidden=(3,)), X, y)


def agreed() -> ev.ModelReady:
    """What round 0 comes to."""
    role = ModelWorker(site_model(), node="c", seed=0)
    survey = role.perform(e.Survey(), Cancellation())
    assert isinstance(survey, ev.Surveyed)
    settled = role.perform(e.ApplyAgreement({"a": (survey.fields, survey.body)}), Cancellation())
    assert isinstance(settled, ev.ModelReady)
    return settled


def incarnation(folder: Path, aggregator: Aggregator, number: int = 7) -> tuple[Worker, NodeStats]:
    record = NodeStats("coordinator")
    writer = CheckpointWriter(CheckpointStore(folder), record, PLAN.to_dict(), number)
    return Worker(CoordinatorWorker(site_model(), aggregator, node="c", seed=0, writer=writer)), record


def completed(record: NodeStats, number: int) -> None:
    record.event("round.completed", {"round": number, "duration_s": 1.0, "closed_by": "all"})


def test_a_checkpoint_brings_everything_back(tmp_path: Path) -> None:
    settled = agreed()
    aggregator = Aggregator(FedAdam())
    aggregator.begin(settled.body)
    folded = fold(aggregator, 1, settled.body)
    worker, record = incarnation(tmp_path, aggregator)
    completed(record, 1)
    clients = {"a": {"here": True}, "b": {"here": False}}
    job = worker.role.snapshot(
        e.Checkpoint(1, folded.body, {"agreement": settled.agreement, "clients": clients}, settled.body)
    )
    # A later round that is folded before the worker comes to it changes nothing.
    completed(record, 2)
    fold(aggregator, 2, folded.body)
    assert worker.answer(job) == ev.Saved(1)

    past = recall(tmp_path, PLAN)
    assert past is not None
    assert (past.round, past.incarnation, past.clients) == (1, 7, {"a"})
    assert past.best.tobytes() == settled.body.tobytes()
    again, record_again, model = Aggregator(FedAdam()), NodeStats("coordinator"), site_model()
    back = past.restore(CoordinatorWorker(model, again, node="c", seed=0), record_again)
    assert back.body.tobytes() == folded.body.tobytes() == model.get_weights().tobytes()
    assert (back.agreement, back.payload) == (settled.agreement, settled.payload)
    assert fold(again, 2, back.body).body.tobytes() == merger_of(settled, 2).tobytes()
    assert record_again.completed == 1


def merger_of(settled: ev.ModelReady, rounds: int) -> Any:
    """The weights after so many rounds without any interruption."""
    aggregator, weights = Aggregator(FedAdam()), settled.body
    aggregator.begin(weights)
    for number in range(1, rounds + 1):
        weights = fold(aggregator, number, weights).body
    return weights


def test_a_disk_that_refuses_is_reported_as_failed_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    aggregator = Aggregator(FedAdam())
    aggregator.begin(np.zeros(3, np.float32))
    worker, record = incarnation(tmp_path / "file" / "below", aggregator)
    completed(record, 0)
    answer = worker.answer(worker.role.snapshot(e.Checkpoint(0, np.zeros(3, np.float32), {})))
    assert isinstance(answer, ev.WorkFailed)
    assert (answer.kind, answer.round) == ("checkpoint", 0)
    assert "cannot be made: Not a directory" in answer.reason


def test_without_a_folder_there_is_nothing_to_lose() -> None:
    worker = Worker(CoordinatorWorker(site_model(), Aggregator(FedAdam()), node="c", seed=0))
    assert worker.answer(e.Checkpoint(3, np.zeros(2), {})) == ev.Saved(3)


def test_nothing_is_restored_where_nothing_was_saved(tmp_path: Path) -> None:
    assert recall(tmp_path / "none", PLAN) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"seed": 1}, "the checkpoint of round 3: is of another experiment: found seed = 0, expected 1"),
        ({"rounds": 2}, "rounds = 2, and round 3 is complete already"),
    ],
)
def test_checkpoints_of_another_experiment_are_refused(tmp_path: Path, change: dict[str, int], reason: str) -> None:
    CheckpointStore(tmp_path).write(3, {}, {"experiment": PLAN.to_dict()})
    with pytest.raises(ExperimentError, match=f"{tmp_path}: ?.*{reason}"):
        recall(tmp_path, Experiment.from_dict({**PLAN.to_dict(), **change}))


def test_what_was_passed_over_is_reported(tmp_path: Path) -> None:
    checkpoints = CheckpointStore(tmp_path)
    checkpoints.write(3, {"weights": np.zeros(2)}, {})
    checkpoints.write(4, {"weights": np.zeros(2)}, {})
    newest = max(tmp_path.iterdir())
    newest.write_bytes(newest.read_bytes()[:-1])
    past = recall(tmp_path, PLAN)
    assert past is not None
    assert past.round == 3
    assert "round-000000004" in past.warnings[0]
    oldest = min(tmp_path.iterdir())
    oldest.write_bytes(b"")
    with pytest.raises(ExperimentError, match=f"{tmp_path}: holds no whole checkpoint: .*round-000000004"):
        recall(tmp_path, PLAN)
