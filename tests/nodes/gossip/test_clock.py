"""The clock of a learning-rate schedule belongs to the model: it travels with it from peer to peer."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nervenet.broker import messages as m
from nervenet.models.artifact import SavedModel, read_model, save_model
from nervenet.models.pegasos import Pegasos
from nervenet.models.schedule import mean_clock
from nervenet.models.site_model import SiteModel
from nervenet.nodes.gossip.algorithms import Algorithm
from nervenet.nodes.gossip.algorithms.averaging import DPSGD
from nervenet.nodes.gossip.algorithms.robust import TrimmedMean
from nervenet.nodes.gossip.asynchronous.ad_psgd import AdPsgd, AdPsgdMachine
from nervenet.nodes.gossip.asynchronous.gossip_learning import GossipLearning
from nervenet.nodes.gossip.inbox import ReceivedModel, mix_of
from nervenet.nodes.gossip.outbox import Outbox
from nervenet.nodes.gossip.rules import PeerRules
from nervenet.nodes.gossip.worker import GossipWorker
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.worker import Cancellation

MODEL = m.Payload("a1b2", "float32", 5)
RULES = PeerRules("b", ("a", "b", "c"), neighbors=("a",), incarnation=100)
WORK = {"epochs": 1, "local_steps": None, "batch_size": 10, "carry_optimizer": True}


def rows() -> SiteModel:
    rng = np.random.default_rng(0)
    return SiteModel(Pegasos(), rng.normal(size=(40, 3)), np.arange(40) % 2)


def worker(algorithm: Algorithm, initial: SavedModel | None = None) -> GossipWorker:
    one = GossipWorker(rows(), algorithm, node="b", seed=1, initial=initial)
    survey = do(one, e.Survey())
    do(one, e.ApplyAgreement({"b": (survey.fields, survey.body)}))
    return one


def do(one: GossipWorker, effect: e.Effect) -> Any:
    return one.perform(effect, Cancellation())


def mixed(algorithm: Algorithm, clocks: tuple[float, ...]) -> tuple[float, float]:
    """Return the clock that a peer says it has after a mixture, and the one that it trains with."""
    one = worker(algorithm)
    trained = do(one, e.Train(1, 0, None, WORK, to=("a", "c")))
    assert trained.clock == 4.0, "four mini-batches"
    third = 1 / 3
    mix = e.Mix(1, (trained.body,) * 3, (third,) * 3, ("a", "b", "c"), clocks=clocks)
    return do(one, mix).clock, do(one, e.Train(2, 0, None, WORK, to=("a", "c"))).clock - 4.0


def test_an_exchange_says_how_far_the_model_has_come() -> None:
    trained = ev.Trained(7, 0, "x", 10, {}, clock=120.0)
    (send,) = Outbox(RULES).send(trained, ev.OutgoingModel("x", MODEL), 7, ("a",))
    assert isinstance(send.message, m.Exchange)
    assert send.message.clock == 120.0


def test_a_mixture_is_asked_for_with_the_clocks_of_all() -> None:
    received = {"a": ReceivedModel(m.Exchange(7, MODEL, clock=90.0), "y")}
    mix = mix_of(7, ("x", 30.0), received, {"a": 0.5, "b": 0.5}, RULES)
    assert mix.clocks == (90.0, 30.0)


def test_the_clock_of_a_mixture_is_the_mean_and_training_goes_on_from_it() -> None:
    assert mixed(DPSGD(), (10.0, 4.0, 16.0)) == pytest.approx((10.0, 10.0))


def test_a_neighbor_that_is_not_trusted_does_not_set_it() -> None:
    assert mixed(TrimmedMean(byzantine=1), (2.0**53, 4.0, 16.0)) == pytest.approx((16.0, 16.0))


def test_it_would_by_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrimmedMean, "clock", lambda _, clocks, weights: mean_clock(clocks, weights))
    assert mixed(TrimmedMean(byzantine=1), (2.0**53, 4.0, 16.0))[0] > 1e15


def test_one_that_comes_late_trains_with_the_clock_of_the_model_it_was_given() -> None:
    one = worker(DPSGD())
    do(one, e.LoadWeights(one.site_model.get_weights() + 1, 500.0))
    assert do(one, e.Train(9, 0, None, WORK)).clock == 504.0


def test_its_first_step_would_forget_that_model_if_its_clock_stood_at_zero() -> None:
    moved = {}
    for clock in (0.0, 500.0):
        one = worker(DPSGD())
        given = np.full(one.site_model.layout.size, 50.0, np.float32)
        do(one, e.LoadWeights(given, clock))
        moved[clock] = np.linalg.norm(do(one, e.Train(9, 0, None, WORK | {"local_steps": 1})).body - given)
    assert moved[500.0] < moved[0.0] / 10


def pairwise(mine: float, theirs: float, trained: float) -> float:
    """Return the clock that a peer of AD-PSGD proposes in its second cycle, after one average and one training."""
    peer = AdPsgdMachine(RULES, AdPsgd())
    effects: list[e.Effect] = []
    for event in (ev.Started(), ev.LinkUp("a", "peer", 1), ev.Proceed(10), ev.ModelReady({}, MODEL, "x0")):
        effects += peer.handle(event, 0.0)
    peer._clock = mine
    (propose,) = [x.message for x in effects if isinstance(x, e.Send) and isinstance(x.message, m.Propose)]
    peer.handle(ev.Arrived("a", m.Accept(propose.number, MODEL, theirs), "y"), 0.0)
    peer.handle(ev.Combined(1, "mean"), 0.0)
    effects = peer.handle(ev.Trained(1, 0, "t", 10, {}, clock=trained), 0.0)
    (train,) = [x for x in effects if isinstance(x, e.Train)] or [None]
    if train is None:
        for number in (1, 2, 3):
            effects = peer.handle(ev.Combined(number, "sum"), 0.0)
            train = next((x for x in effects if isinstance(x, e.Train)), train)
    assert train is not None
    assert train.clock is not None
    return train.clock


def test_pairwise_averages_are_of_the_clocks_as_well() -> None:
    assert pairwise(0.0, 80.0, 10.0) == 50.0, "half of the way to the other's, and what was trained meanwhile"


def settled(machine: Any, clock: float) -> float:
    machine._ready(ev.ModelReady({}, MODEL, "w", clock=clock))
    return float(machine.clock)


def test_without_rounds_a_saved_model_brings_its_clock_too() -> None:
    assert settled(AdPsgdMachine(RULES, AdPsgd()), 40.0) == 40.0
    assert settled(GossipLearning().machine(RULES), 40.0) == 40.0, "its age, in updates"


def test_a_peer_starts_from_a_saved_model_unless_another_has_settled_it(tmp_path: Path) -> None:
    first = worker(DPSGD())
    do(first, e.Train(1, 0, None, WORK, to=("a", "c")))
    save_model(tmp_path, first.site_model)
    saved = read_model(tmp_path)
    one = worker(DPSGD(), saved)
    assert np.array_equal(one.site_model.get_weights(), saved.weights)
    assert one.site_model.clock == saved.clock == 4.0
    given = GossipWorker(rows(), DPSGD(), node="b", seed=1, initial=saved)
    ready = do(given, e.ApplyAgreement({}, agreement=saved.preprocessing.to_dict()))
    assert ready.clock == 0.0
    assert not np.array_equal(ready.body, saved.weights)
