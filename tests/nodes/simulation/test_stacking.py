"""Trainings of several nodes are done together where they are alike, and nobody can tell by the bits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from nervenet.models import generator
from nervenet.models.model import FitReport, LocalWork
from nervenet.models.site_model import SiteModel
from nervenet.nodes.checkpoint.client_state import ClientStateStore
from nervenet.nodes.federated.client_worker import ClientWorker
from nervenet.nodes.results.run_result import RunResult
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.simulation import stacking, work
from nervenet.nodes.simulation.stacking import Done, PreparedMLP, Stacks
from nervenet.nodes.simulation.work import VirtualWorker

Simulate = Callable[..., Awaitable[RunResult]]
WORK = {"epochs": 5, "local_steps": None, "batch_size": 8}


@pytest.mark.parametrize(
    "more",
    [
        {"mode": "federated"},
        {"mode": "federated", "federated": {"strategy": "fedprox"}, "training": {"optimizer": "adam"}},
        {"mode": "gossip", "training": {"optimizer": "adam"}},
        {"mode": "gossip", "gossip": {"algorithm": "choco", "compression": "top-k:0.3"}},
        {"mode": "gossip", "gossip": {"algorithm": "ad-psgd"}, "nodes": 3},
    ],
    ids=str,
)
async def test_the_bits_are_those_of_trainings_one_by_one(
    more: dict[str, Any], simulated: Simulate, monkeypatch: pytest.MonkeyPatch
) -> None:
    machines = {"simulation": {"engine": "machines", "jitter_s": 0.05, "spread": 0.1}, **more}
    together = await simulated(out="together", **machines)
    monkeypatch.setattr(work, "planned", lambda *_: None)
    alone = await simulated(out="alone", **machines)
    assert together.weights.tobytes() == alone.weights.tobytes()
    assert together["virtual_s"] == alone["virtual_s"]


async def test_clients_that_train_at_a_time_are_one_stack(simulated: Simulate, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    train = Stacks._train
    monkeypatch.setattr(Stacks, "_train", lambda self, some: (sizes.append(len(some)), train(self, some)))
    await simulated()
    assert sizes == [4, 4, 4], "of three rounds"
    sizes.clear()
    await simulated(out="prox", federated={"strategy": "fedprox"})
    assert sizes == [], "a proximal term is more than a plain training"


def built(rows: int = 40) -> ClientWorker:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((rows, 3))
    site = SiteModel(PreparedMLP((4,)), X, (X[:, 0] > 0).astype(int))
    worker = ClientWorker(site, node="client-0", seed=0, states=ClientStateStore())
    fields, body = site.answer({})
    worker.perform(e.ApplyAgreement(surveys={"client-0": (fields, body)}), work.Cancellation())
    return worker


def test_what_was_done_from_other_weights_is_not_taken() -> None:
    worker = built()
    model = worker.site_model.model
    assert isinstance(model, PreparedMLP)
    start, wanted = model.get_weights(), LocalWork(1, batch_size=8)
    report = FitReport(0.5, 40, 5, False)
    for first, taken in ((start, True), (start + 1, False)):
        model.set_weights(start)
        model.done = Done(first, wanted, np.full_like(start, 7), model.get_state(), report)
        worker.site_model.train(wanted, generator(0, "a"))
        assert (model.get_weights() == 7).all() == taken
        assert model.done is None


def test_a_training_that_is_cut_short_has_done_what_there_was_time_for() -> None:
    for elapsed_s, steps in ((0.035, 3), (0.2, 20)):
        worker = VirtualWorker(built(), 0.01, Stacks())
        seconds, _ = worker(e.Train(1, 0, None, {**WORK, "partial": True}))
        assert seconds == pytest.approx(0.25)
        answer = worker.cancel(elapsed_s)
        assert isinstance(answer, ev.Trained)
        assert answer.metrics["steps"] == steps
        assert answer.metrics["partial"] == 1.0


def test_a_training_that_was_cancelled_is_never_done(monkeypatch: pytest.MonkeyPatch) -> None:
    stacks = Stacks()
    workers = [VirtualWorker(built(), 0.01, stacks) for _ in range(3)]
    monkeypatch.setattr(stacking, "MOST_AT_ONCE", 8)
    answers = []
    for worker in workers:
        body = worker.site.site_model.get_weights()
        answers.append(worker(e.Train(1, 0, body, WORK))[1])
    assert workers[0].cancel() is None
    assert callable(answers[1])
    answers[1]()
    models = [worker.site.site_model.model for worker in workers]
    assert [isinstance(model, PreparedMLP) and model.done is not None for model in models] == [False, False, True]
