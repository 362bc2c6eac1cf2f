"""backend="processes": real nodes over real sockets, and the bits of a run in this process."""

import asyncio
import logging
import signal
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from nervenet.models import MLPClassifier
from nervenet.nodes import Experiment, FederatedClassifier, GossipClassifier
from nervenet.nodes.estimators import processes
from sklearn.datasets import load_iris
from sklearn.linear_model import SGDClassifier

pytestmark = pytest.mark.e2e
X, Y = load_iris(return_X_y=True)
WEIGHTS = np.linspace(0.5, 2.0, len(Y))


@pytest.fixture(autouse=True)
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine, too, nobody is left out of a round."""
    launch = processes.launch

    def patient(experiment: Experiment, **more: Any) -> Any:
        network = replace(experiment.network, suspect_after_s=20.0)
        return launch(replace(experiment, network=network), **more)

    monkeypatch.setattr(processes, "launch", patient)


async def test_a_federated_fit_within_a_running_loop_has_the_same_bits_and_is_a_good_guest() -> None:
    def fitted(backend: str) -> FederatedClassifier:
        inner = SGDClassifier(class_weight="balanced")
        own = FederatedClassifier(inner, n_clients=3, rounds=3, participation=0.7, random_state=0, backend=backend)
        return own.fit(X, Y, sample_weight=WEIGHTS)

    loop, handler, handlers = asyncio.get_running_loop(), signal.getsignal(signal.SIGINT), list(logging.root.handlers)
    state = np.random.get_state()[1].tobytes()  # noqa: NPY002
    real = fitted("processes")
    assert asyncio.get_running_loop() is loop
    assert signal.getsignal(signal.SIGINT) is handler
    assert logging.root.handlers == handlers
    assert np.random.get_state()[1].tobytes() == state  # noqa: NPY002
    memory = fitted("memory")
    assert real.estimator_.coef_.tobytes() == memory.estimator_.coef_.tobytes()
    assert real.estimator_.t_ == memory.estimator_.t_
    assert [record["participants"] for record in real.history_] == [3, 3, 3]
    assert [set(record) for record in real.history_] == [set(record) for record in memory.history_]


def test_a_gossip_fit_has_the_same_bits_at_every_peer() -> None:
    def fitted(backend: str) -> GossipClassifier:
        inner = MLPClassifier((4,), dtype="float32")
        return GossipClassifier(inner, n_peers=3, rounds=3, random_state=0, backend=backend).fit(X, Y)

    real, memory = fitted("processes"), fitted("memory")
    assert real.estimator_.coefs_[0].tobytes() == memory.estimator_.coefs_[0].tobytes()
    peers = [[each.coefs_[0].tobytes() for each in learned.estimators_] for learned in (real, memory)]
    assert peers[0] == peers[1]
    with pytest.raises(ValueError, match="does whole runs"):
        real.partial_fit(X, Y)
