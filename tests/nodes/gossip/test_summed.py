"""Peers whose models are sums put their own in once, and then mix: also after a pause, and after their own death."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nervenet.models.agreement.questions import settle
from nervenet.models.site_model import SiteModel
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.gossip.algorithms import Algorithm
from nervenet.nodes.gossip.algorithms.averaging import DPSGD
from nervenet.nodes.gossip.algorithms.push_sum import SGP
from nervenet.nodes.gossip.checkpoint_writer import CheckpointWriter
from nervenet.nodes.gossip.worker import GossipWorker
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.worker import Cancellation
from sklearn.linear_model import LinearRegression

WORK = {"epochs": 1, "local_steps": None, "batch_size": 16}
NAMES = ("a", "b", "c", "d")
RING = {name: tuple(sorted({name, NAMES[(n + 1) % 4], NAMES[n - 1]})) for n, name in enumerate(NAMES)}
ALL = dict.fromkeys(NAMES, NAMES)


def rows() -> dict[str, tuple[Any, Any]]:
    draws = np.random.default_rng(0)
    X = draws.normal(size=(60, 3)) + np.array([1e6, 0, 0])
    y = X @ [1.0, 2.0, 3.0] + draws.normal(size=60)
    return dict(zip(NAMES, zip(np.split(X, [3, 30, 45]), np.split(y, [3, 30, 45]), strict=True), strict=True))


def peers(algorithm: Algorithm, folder: Path | None = None) -> dict[str, GossipWorker]:
    made = {}
    for name, own in rows().items():
        writer = CheckpointWriter(folder / name, Experiment.from_dict({"mode": "gossip"})) if folder else None
        made[name] = GossipWorker(
            SiteModel(LinearRegression(), *own), algorithm, node=name, seed=0, scale="none", writer=writer
        )
    models = {name: one.site_model for name, one in made.items()}
    agreed = settle(models["a"].questions("none"), {n: m.answer for n, m in models.items()}).preprocessing  # type: ignore[arg-type]
    for one in made.values():
        do(one, e.ApplyAgreement(agreement=agreed.to_dict()))
    return made


def do(one: GossipWorker, effect: e.Effect) -> Any:
    return one.perform(effect, Cancellation())


def exchange(made: dict[str, GossipWorker], graph: dict[str, tuple[str, ...]], number: int) -> None:
    sent: dict[str, ev.Trained] = {}
    for name, one in made.items():
        to = tuple(other for other in graph[name] if other != name)
        sent[name] = do(one, e.Train(number, 0, None, WORK, to=to))
    for name, one in made.items():
        share = tuple(1 / len(graph[name]) for _ in graph[name])
        apart = [sent[other].apart.get(name) for other in graph[name]]
        bodies = tuple(sent[n].body if a is None else a.body for n, a in zip(graph[name], apart, strict=True))
        masses = tuple(1.0 if a is None else a.mass for a in apart)
        do(one, e.Mix(number, bodies, share, graph[name], masses=masses if any(apart) else ()))


def worst(made: dict[str, GossipWorker]) -> float:
    """Return how far the farthest peer's coefficients are from those of all rows."""
    X, y = (np.concatenate(part) for part in zip(*rows().values(), strict=True))
    wanted = LinearRegression().fit(X, y).coef_
    return max(np.abs(one.site_model.model.estimator.coef_ / wanted - 1).max() for one in made.values())  # type: ignore[attr-defined]


@pytest.mark.parametrize("algorithm", [DPSGD(), SGP()])
def test_where_all_hear_all_one_round_is_enough(algorithm: Algorithm) -> None:
    made = peers(algorithm)
    exchange(made, ALL, 1)
    assert worst(made) < 1e-10


@pytest.mark.parametrize("algorithm", [DPSGD(), SGP()])
def test_on_a_ring_all_come_to_the_fit_of_all_rows(algorithm: Algorithm) -> None:
    made, found = peers(algorithm), []
    for number in range(1, 25):
        exchange(made, RING, number)
        found.append(worst(made))
    assert found[0] > 1e-3
    assert found[-1] < 1e-9


def test_sums_that_are_put_in_each_round_never_come_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nervenet.nodes.gossip.worker.in_one_round", lambda _: False)
    made = peers(DPSGD())
    for number in range(1, 25):
        exchange(made, RING, number)
    assert worst(made) > 1e-3


def test_a_peer_that_comes_back_has_put_its_sums_in_before(tmp_path: Path) -> None:
    made = peers(DPSGD(), tmp_path)
    for number in (1, 2):
        exchange(made, RING, number)
        for one in made.values():
            write = do(one, e.SaveState(number, {"agreement": one.site_model.preprocessing.to_dict()}, (), last=False))
            write()
    again = peers(DPSGD(), tmp_path)
    for one in again.values():
        do(one, e.ApplyAgreement(round=2))
    for number in range(3, 25):
        exchange(again, RING, number)
    assert worst(again) < 1e-9


def test_a_peer_that_takes_a_neighbors_model_adds_its_rows_unless_they_are_in_it(tmp_path: Path) -> None:
    made = peers(DPSGD(), tmp_path)
    exchange(made, ALL, 1)
    mixture = made["a"].site_model.get_weights()
    late = peers(DPSGD())["b"]
    do(late, e.LoadWeights(mixture, 0.0))
    assert (do(late, e.Train(2, 0, None, WORK)).body != mixture).any()
    do(made["b"], e.SaveState(1, {"agreement": made["b"].site_model.preprocessing.to_dict()}, (), last=False))()
    back = peers(DPSGD(), tmp_path)["b"]
    do(back, e.LoadWeights(mixture, 0.0))
    assert (do(back, e.Train(2, 0, None, WORK)).body == mixture).all()
