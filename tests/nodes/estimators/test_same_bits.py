"""A run in this process has the bits of the deployed machines, which exchange messages."""

from typing import Any

import numpy as np
import pytest
from nervenet.models import MLP, MLPClassifier
from nervenet.models.compress import supported
from nervenet.models.registry import as_model
from nervenet.nodes.checkpoint.client_state import ClientStateStore
from nervenet.nodes.config.factory import build_site_model, training_settings
from nervenet.nodes.estimators import federated_rounds
from nervenet.nodes.estimators.experiments import experiment_of
from nervenet.nodes.estimators.run import Job
from nervenet.nodes.federated.client_machine import ClientConfig, ClientMachine
from nervenet.nodes.federated.client_worker import ClientWorker
from nervenet.nodes.federated.coordinator_config import CoordinatorConfig
from nervenet.nodes.federated.coordinator_machine import CoordinatorMachine
from nervenet.nodes.federated.coordinator_worker import Aggregator, CoordinatorWorker
from nervenet.nodes.federated.strategies.registry import build_strategy
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime.simulator import Simulation
from nervenet.nodes.runtime.worker import Worker
from sklearn.datasets import load_iris
from sklearn.linear_model import SGDClassifier

X, Y = load_iris(return_X_y=True)
SIZES = {"client-0": slice(0, 150, 7), "client-1": slice(1, 150, 3), "client-2": slice(2, 150, 5)}


def job(model: Any, **table: Any) -> Job:
    sites: dict[str, Any] = {name: (X[rows], Y[rows]) for name, rows in SIZES.items()}
    if table.pop("weighted", False):
        sites = {name: (*rows, np.linspace(0.5, 2.0, len(rows[1]))) for name, rows in sites.items()}
    settings = table.pop("settings", {})
    experiment = experiment_of(
        "federated",
        as_model(model),
        "classification",
        nodes=3,
        rounds=3,
        seed=7,
        training={"epochs": 2},
        table={"participation": 0.67, **table},
        settings=settings,
    )
    return Job(as_model(model), experiment, "classification", sites, 3)


def by_machines(job: Job) -> bytes:
    """Return the weights that the machines of a coordinator and its clients come to, on virtual time."""
    experiment, sim = job.experiment, Simulation()
    strategy = build_strategy(experiment.federated.strategy, experiment.federated.arguments)
    config = CoordinatorConfig.of(experiment, list(job.sites), strategy, has_test=False, model=job.model)
    scale, seed = experiment.data.scaling, experiment.seed
    own = build_site_model(as_model(job.model), None, experiment, task=job.task)
    coordinator = CoordinatorWorker(own, Aggregator(strategy, 3), node="coordinator", seed=seed, scale=scale)

    def add(name: str, machine: Any, role: Any) -> None:
        worker = Worker(role)
        sim.add(name, machine, lambda effect: (0.01, worker.answer(effect)))

    add("coordinator", CoordinatorMachine(config), coordinator)
    for name, rows in job.sites.items():
        site = job.site_model(rows)
        states = ClientStateStore()
        settings = training_settings(experiment, job.model)
        known = ClientConfig("coordinator", site.examples, codecs=supported(), settings=settings)
        add(name, ClientMachine(known), ClientWorker(site, node=name, seed=seed, states=states, scale=scale))
        sim.connect("coordinator", name, ("coordinator", "client"))
    sim.run(1000.0)
    assert sim.nodes["coordinator"].finished == e.Finish("completed")
    return own.get_weights().tobytes()


@pytest.mark.parametrize(
    ("model", "table"),
    [
        (SGDClassifier(), {}),
        (SGDClassifier(), {"weighted": True, "strategy": "scaffold"}),
        (SGDClassifier(), {"strategy": "fedadam", "participation": 1.0}),
        (MLP((4,)), {"strategy": "median", "participation": 1.0}),
        (MLPClassifier((4,)), {"participation": 1.0}),
        (MLP((4,), optimizer="sgd"), {"settings": {"training.class_weight": "balanced"}}),
    ],
    ids=repr,
)
def test_federated_rounds_have_the_bits_of_the_machines(model: Any, table: dict[str, Any]) -> None:
    found = federated_rounds.learn(job(model, **table), 3).site_model.get_weights().tobytes()
    assert found == by_machines(job(model, **table))


def test_another_order_of_sums_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison itself can fail."""
    monkeypatch.setattr(
        "nervenet.nodes.federated.round.Round.contributions",
        lambda self: tuple(each for _, each in sorted(self.admitted.items(), reverse=True)),
    )
    other = federated_rounds.learn(job(MLP((4,)), participation=1.0), 3).site_model.get_weights().tobytes()
    monkeypatch.undo()
    assert other != federated_rounds.learn(job(MLP((4,)), participation=1.0), 3).site_model.get_weights().tobytes()
