"""What the scripts beside it share: two federations in one process, and a notebook for long computations.

`Simulated` is the deployed machines and workers on virtual time: who is asked, what is admitted and when a round closes
is decided by the very code that runs in production. `Federation` is the same training and merging in a plain loop,
without the messages: for tables of hundreds of runs, and for those that meddle with what is sent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from nervenet.models import MLP, SiteModel, generator
from nervenet.models.compress import parse
from nervenet.models.data.data import Dataset
from nervenet.models.data.partition import partition
from nervenet.models.local import LocalSettings, LocalTraining
from nervenet.models.site_statistics import agree
from nervenet.nodes.checkpoint.client_state import ClientStateStore
from nervenet.nodes.config.schema import FederatedConfig
from nervenet.nodes.federated.client_machine import ClientConfig, ClientMachine
from nervenet.nodes.federated.client_worker import ClientWorker
from nervenet.nodes.federated.coordinator_config import CoordinatorConfig
from nervenet.nodes.federated.coordinator_machine import CoordinatorMachine
from nervenet.nodes.federated.coordinator_worker import Aggregator, CoordinatorWorker
from nervenet.nodes.federated.strategies import Contribution, Strategy
from nervenet.nodes.federated.strategies.averaging import FedAvg
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.simulator import Simulation
from nervenet.nodes.runtime.worker import RoleWorker, Worker
from numpy.typing import NDArray

Rows: TypeAlias = tuple[NDArray[Any], NDArray[Any]]
"""Inputs (n, d), and targets (n,)."""

JOB_S = 0.1  # virtual seconds that every job is said to take
COORDINATOR = "coordinator"


def sites_of(data: Dataset, nodes: int, scheme: str, *, seed: int, alpha: float = 0.5) -> dict[str, Rows]:
    """Cut a data set into named sites; see `nervenet.models.data.partition.partition`."""
    parts = partition(data, nodes, scheme, seed=seed, alpha=alpha, min_rows=10)
    return {f"client-{k:03}": (data.X[part], data.y[part]) for k, part in enumerate(parts)}


def subset(data: Dataset, rows: int, *, seed: int) -> Dataset:
    """Draw some rows of a data set."""
    return data.take(np.sort(generator(seed, "subset").permutation(len(data))[:rows]))


class Federation:
    """One round after another: train, meddle, fold.

    Parameters
    ----------
    sites
        Rows of each client, raw: the inputs are used as they are, without scaling.
    test
        What accuracy is measured on.
    model
        Makes a model; every client gets its own.
    seed
        Of the initial weights and the order of batches.
    strategy
        What folds; federated averaging where none is given.
    """

    def __init__(
        self,
        sites: Mapping[str, Rows],
        test: Rows,
        model: Callable[[], MLP],
        *,
        seed: int,
        strategy: Strategy | None = None,
    ) -> None:
        site_models = {name: SiteModel(model(), *rows, task="classification") for name, rows in sites.items()}
        agreement = agree({name: site_model.statistics() for name, site_model in site_models.items()}, scale="none")
        self.judge = SiteModel(model(), test=test)
        for site_model in (*site_models.values(), self.judge):
            site_model.build(agreement, seed)
        self.clients = {
            name: LocalTraining(site_model, node=name, seed=seed) for name, site_model in site_models.items()
        }
        self.aggregator = Aggregator(strategy or FedAvg(), len(sites))
        self.weights = self.judge.get_weights()
        self.outgoing = self.aggregator.begin(self.weights)

    def train(self, settings: Mapping[str, LocalSettings], number: int) -> list[Contribution]:
        """Train the clients, each by its own settings; decode what they send as a coordinator does."""
        contributions = []
        for name in sorted(settings):
            result = self.clients[name].train(self.outgoing, settings[name], number)
            assert result.vector is not None
            body, relative = result.vector, result.encoding.startswith("delta")
            if result.encoding:
                codec = parse(result.encoding)
                body = codec.decode(body, self.weights.size, self.weights.dtype, parts=len(result.parts))
            contributions.append(Contribution(name, body, self.weights, result.examples, result.metrics, relative))
        return contributions

    def fold(self, contributions: Iterable[Contribution], number: int) -> ev.Folded:
        """Make the next model. Raises what `Aggregator.fold` raises; the model then stays as it was."""
        folded = self.aggregator.fold(e.Fold(number, 0, self.weights, tuple(contributions)))
        self.weights, self.outgoing = folded.body, folded.outgoing
        return folded

    def accuracy(self) -> float:
        """Share of the test set that the present model gets right."""
        self.judge.set_weights(self.weights)
        return self.judge.evaluate("test")["accuracy"]


class Simulated:
    """The real coordinator and clients, machines and workers, with all messages, on virtual time.

    Parameters are those of `Federation`, and those of `CoordinatorConfig`.
    """

    def __init__(
        self,
        sites: Mapping[str, Rows],
        test: Rows,
        model: Callable[[], MLP],
        *,
        seed: int,
        rounds: int,
        participation: float,
        settings: Mapping[str, Any],
        strategy: Strategy | None = None,
    ) -> None:
        strategy = strategy or FedAvg()
        self.simulation = Simulation()
        config = CoordinatorConfig(
            rounds=rounds,
            clients=frozenset(sites),
            seed=seed,
            federated=FederatedConfig(participation=participation),
            settings=settings,
            strategy=strategy,
        )
        aggregator = Aggregator(strategy, len(sites))
        judge = CoordinatorWorker(SiteModel(model(), test=test), aggregator, node=COORDINATOR, seed=seed, scale="none")
        self.coordinator = self.simulation.add(COORDINATOR, CoordinatorMachine(config), _working(judge))
        for name, rows in sites.items():
            site_model = SiteModel(model(), *rows, task="classification")
            machine = ClientMachine(ClientConfig(COORDINATOR, site_model.examples))
            client = ClientWorker(site_model, node=name, seed=seed, states=ClientStateStore(), scale="none")
            self.simulation.add(name, machine, _working(client))
            self.simulation.connect(COORDINATOR, name, ("coordinator", "client"))

    def rounds(self) -> Iterator[Mapping[str, Any]]:
        """Return what the coordinator tells its owner of each round, as soon as it is known."""
        told = 0
        while True:
            for report in self.coordinator.completed[told:]:
                yield {**report.fields, **report.metrics.get("test", {})}
            told = len(self.coordinator.completed)
            ended = self.coordinator.finished
            if ended is not None:
                if ended.status != "completed":
                    raise RuntimeError(ended.reason)
                return
            self.simulation.run(self.simulation.now + JOB_S)


def _working(role: RoleWorker) -> Callable[[Any], tuple[float, ev.Event | None]]:
    worker = Worker(role)
    return lambda job: (JOB_S, worker.answer(job))


class Notebook:
    """Results by the words they belong to, kept as JSON lines, so that a long computation goes on where it stopped.

    Parameters
    ----------
    path
        Where to keep them; None: in memory only.
    compute
        False: only what is there already is given.
    """

    def __init__(self, path: Path | None, *, compute: bool = True) -> None:
        self.path = path
        self.compute = compute
        lines = path.read_text().splitlines() if path is not None and path.exists() else []
        self._known: dict[str, Any] = dict(map(json.loads, lines))

    def get(self, words: tuple[object, ...], compute: Callable[[], Any]) -> Any:
        """Return the result that belongs to these words, computed now if it is new; None if it may not be."""
        key = " | ".join(map(str, words))
        if key not in self._known and self.compute:
            self._known[key] = value = compute()
            if self.path is not None:
                with self.path.open("a") as file:
                    file.write(json.dumps([key, value]) + "\n")
        return self._known.get(key)
