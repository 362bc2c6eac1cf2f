"""The peer's half of the worker: what training gave becomes what is sent, and what came the next model."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nervenet.models.mlp.mlp import MLP
from nervenet.models.site_model import SiteModel
from nervenet.nodes.checkpoint import state_file
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.gossip.algorithms import Algorithm
from nervenet.nodes.gossip.algorithms.averaging import DPSGD
from nervenet.nodes.gossip.algorithms.choco import Choco
from nervenet.nodes.gossip.algorithms.push_sum import SGP
from nervenet.nodes.gossip.algorithms.tracking import GradientTracking
from nervenet.nodes.gossip.checkpoint_writer import CheckpointWriter
from nervenet.nodes.gossip.worker import GossipWorker
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.worker import Cancellation, Worker

WORK = {"epochs": None, "local_steps": 3, "batch_size": 8, "carry_optimizer": True}
WORK["epochs"] = 1
PLAN = Experiment.from_dict({"mode": "gossip", "nodes": 2})


def peer(algorithm: Algorithm, folder: Path | None = None, init: str = "common") -> GossipWorker:
    draws = np.random.default_rng(0)
    site_model = SiteModel(
        MLP(hidden=(4,), momentum=0.0, dtype="float64"), draws.normal(size=(30, 3)), np.arange(30) % 3
    )
    writer = CheckpointWriter(folder, PLAN) if folder else None
    one = GossipWorker(site_model, algorithm, node="b", seed=1, init=init, writer=writer)
    survey = do(one, e.Survey())
    assert isinstance(survey, ev.Surveyed)
    do(one, e.ApplyAgreement({"b": (survey.fields, survey.body)}))
    return one


def do(one: GossipWorker, effect: e.Effect) -> Any:
    return one.perform(effect, Cancellation())


def train(one: GossipWorker, number: int = 1, **fields: Any) -> ev.Trained:
    trained = do(one, e.Train(number, 0, None, WORK, **({"to": ("a",)} | fields)))
    assert isinstance(trained, ev.Trained)
    return trained


def mix(one: GossipWorker, number: int, mine: Any, theirs: Any, **fields: Any) -> ev.Mixed:
    trained = do(one, e.Mix(number, (theirs, mine), (0.5, 0.5), ("a", "b"), **fields))
    assert isinstance(trained, ev.Mixed)
    return trained


def test_plain_averaging_sends_the_model_and_mixes_it() -> None:
    one = peer(DPSGD())
    trained = train(one)
    assert trained.payload is not None
    assert (trained.payload.parts, trained.payload.encoding, trained.base, dict(trained.apart)) == (
        ("weights",),
        "",
        None,
        {},
    )
    mixed = mix(one, 1, trained.body, np.zeros_like(trained.body))
    assert (mixed.body == trained.body / 2).all()
    assert (one.site_model.get_weights() == mixed.body).all()


def test_tracking_sends_two_parts_and_corrects_the_next_training() -> None:
    one = peer(GradientTracking())
    before = one.site_model.get_weights()
    trained = train(one)
    size = before.size
    assert trained.payload is not None
    assert (trained.payload.parts, trained.payload.length) == (("weights", "gradients"), 2 * size)
    rate = one.site_model.model.learning_rate
    assert np.allclose(trained.body[size:], (before - trained.body[:size]) / (3 * rate), atol=1e-12)
    mix(one, 1, trained.body, np.zeros_like(trained.body))
    assert np.allclose(one.state["correction"], -trained.body[size:] / 2)
    plain = peer(GradientTracking())
    plain.site_model.set_weights(one.site_model.get_weights())
    plain.begin(one.site_model.get_weights())
    moved = train(plain, 2).body[:size] - train(one, 2).body[:size]
    assert np.allclose(moved, -3 * rate * trained.body[size:] / 2, atol=1e-2 * np.abs(moved).max() + 1e-3)
    assert np.abs(moved).max() > 1e-4


def test_push_sum_gives_each_its_own_and_carries_masses() -> None:
    one = peer(SGP())
    trained = train(one, to=("a", "c"))
    assert sorted(trained.apart) == ["a", "c"]
    assert trained.apart["a"].mass == pytest.approx(1 / 3)
    assert trained.apart["a"].body is trained.apart["c"].body
    mixed = mix(one, 1, trained.body, 2 * trained.apart["a"].body, masses=(2 / 3, 1.0))
    assert mixed.metrics["mass"] == pytest.approx(1.0)
    assert mixed.metrics["mass_out"] == pytest.approx({"a": -1 / 3, "c": 1 / 3})
    do(one, e.Forget("a"))
    assert "received/a" not in one.state


def test_a_difference_that_came_before_it_could_be_read_is_read_when_it_is_wanted() -> None:
    one, other = peer(Choco(codec="int8")), peer(Choco(codec="int8"))
    theirs, mine = train(other), train(one)
    assert theirs.payload is not None
    assert (theirs.payload.encoding, theirs.payload.dtype, theirs.base) == ("delta+int8", "uint8", 0)
    early = GossipWorker(SiteModel(MLP()), Choco(codec="int8"), node="x", seed=0)
    assert early.unpack(theirs.body, theirs.payload) == (theirs.body, None)
    decoded, flaw = one.unpack(theirs.body, theirs.payload)
    assert flaw is None
    fields: dict[str, Any] = {"bases": (0, None), "differences": frozenset("a")}
    late = mix(peer_again(one), 1, mine.body, theirs.body, **fields)
    assert (late.body == mix(one, 1, mine.body, decoded, **fields).body).all()


def peer_again(one: GossipWorker) -> GossipWorker:
    twin = peer(Choco(codec="int8"))
    train(twin)
    return twin


def test_a_difference_that_cannot_be_read_is_wanted_whole() -> None:
    one = peer(Choco(codec="int8"))
    trained = train(one)
    fields: dict[str, Any] = {"bases": (0, None), "differences": frozenset("a")}
    assert mix(one, 1, trained.body, np.zeros(3, np.uint8), **fields).wanted == ("a",)
    trained = train(one, 2)
    far = mix(one, 2, trained.body, np.zeros_like(one.site_model.get_weights()), **(fields | {"bases": (7, None)}))
    assert far.wanted == ("a",)
    trained = train(one, 3, whole=("a",))
    assert trained.apart["a"].payload.encoding == ""
    assert trained.apart["a"].base == 2


def test_copies_start_from_what_all_know_even_where_a_peer_starts_from_its_own() -> None:
    common = peer(Choco()).site_model.get_weights()
    draws = np.random.default_rng(0)
    site_model = SiteModel(
        MLP(hidden=(4,), momentum=0.0, dtype="float64"), draws.normal(size=(30, 3)), np.arange(30) % 3
    )
    site_model.model.build(3, 3, np.random.default_rng(9))
    own = site_model.get_weights()
    one = GossipWorker(site_model, Choco(), node="b", seed=1, init="own")
    survey = do(one, e.Survey())
    assert isinstance(survey, ev.Surveyed)
    do(one, e.ApplyAgreement({"b": (survey.fields, survey.body)}))
    assert (one.state["copy/"] == common).all()
    assert (site_model.get_weights() == own).all()
    assert not (own == common).all()


@pytest.mark.parametrize("algorithm", [DPSGD(), SGP(), Choco(codec="int8"), GradientTracking()])
def test_what_is_kept_of_a_round_is_all_that_the_next_depends_on(algorithm: Algorithm, tmp_path: Path) -> None:
    one = peer(algorithm, tmp_path / "b")
    for number in range(1, 3):
        trained = train(one, number)
        fields = {"masses": (0.5 * number, 1.0)} if algorithm.needs.mass else {}
        mix(
            one,
            number,
            trained.body,
            np.ones(trained.body.size) if trained.payload.encoding == "" else np.ones(31),
            **fields,
        )
        assert keep(one, number) == [ev.Saved(number)]
    again = peer(algorithm, tmp_path / "b")
    assert writer_of(again).held == (2, 1)
    settled = do(again, e.ApplyAgreement(round=2))
    assert isinstance(settled, ev.ModelReady)
    assert settled.round == 2
    assert (settled.body == one.site_model.get_weights()).all()
    first, second = train(one, 3), train(again, 3)
    assert (first.body == second.body).all()
    assert first.base == second.base


def writer_of(one: GossipWorker) -> CheckpointWriter:
    assert one.writer is not None
    return one.writer


def keep(one: GossipWorker, number: int, **fields: Any) -> list[ev.Event]:
    """Save the state of a round, and wait for what comes of it."""
    posted: list[ev.Event] = []
    worker, done = Worker(one), threading.Event()
    worker.start(posted.append)
    agreement = {"agreement": one.site_model.preprocessing.to_dict()}
    worker.submit(e.SaveState(number, agreement, last=True, **fields))
    worker.when_done(done.set)
    assert done.wait(60)
    worker.close()
    return posted


def test_what_is_one_array_under_two_names_is_written_once_and_comes_back_as_one(tmp_path: Path) -> None:
    one = peer(Choco(codec="int8"), tmp_path / "b")
    keep(one, 1)
    arrays = writer_of(one).read(1).arrays
    assert arrays["algorithm/common"] is arrays["algorithm/copy/"]
    assert arrays["weights"] is arrays["algorithm/common"]
    assert len(state_file.read_state(tmp_path / "b", 1).arrays) < len(arrays)


def test_a_broken_state_is_named_and_the_one_before_it_counts(tmp_path: Path) -> None:
    one = peer(DPSGD(), tmp_path / "b")
    for number in (1, 2, 3):
        keep(one, number)
    keep(one, 4, forget=(1,))
    path = state_file.path_of(tmp_path / "b", 4)
    path.write_bytes(path.read_bytes()[:-1])
    writer = CheckpointWriter(tmp_path / "b", PLAN)
    assert writer.held == (3, 2)
    assert (
        "round-000000004.safetensors: is damaged: its checksum differs; the one before it is used" in writer.warnings[0]
    )
    writer.read(2)
    assert state_file.rounds_in(tmp_path / "b") == [2], "the rounds after it are run anew"


def test_states_of_another_experiment_are_refused(tmp_path: Path) -> None:
    keep(peer(DPSGD(), tmp_path / "b"), 1)
    other = Experiment.from_dict({"mode": "gossip", "nodes": 2, "seed": 5})
    with pytest.raises(ExperimentError, match="of another experiment: found seed = 0, expected 5"):
        CheckpointWriter(tmp_path / "b", other)


def test_a_disk_that_refuses_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (failed,) = keep(peer(DPSGD(), tmp_path / "file" / "b"), 1)
    assert isinstance(failed, ev.WorkFailed)
    assert failed.kind == "save state"
    assert "file" in failed.reason


def test_a_model_that_is_not_finite_is_an_error_by_name() -> None:
    one = peer(DPSGD())
    trained = train(one)
    with pytest.raises(ArithmeticError, match="the mixture must be finite"):
        mix(one, 1, trained.body, np.full_like(trained.body, np.inf))
