"""The nodes of a simulation, made as the roles make them: a deployed machine and a deployed worker each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, TypeVar

from nervenet.broker.messages import MemberState
from nervenet.models.data.written import WrittenColumns
from nervenet.models.mlp.mlp import MLP
from nervenet.models.model import Model
from nervenet.models.site_model import SiteModel

from ..checkpoint.client_state import ClientStateStore
from ..config.compatibility import shared_config_of
from ..config.factory import (
    build_model,
    build_schedule,
    build_site_model,
    initial_model,
    task_settings,
    training_settings,
)
from ..config.schema import Experiment, TrainingConfig
from ..consent.requests import Policy
from ..federated.client_machine import ClientConfig, ClientMachine
from ..federated.client_worker import ClientWorker
from ..federated.coordinator_config import CoordinatorConfig
from ..federated.coordinator_machine import CoordinatorMachine
from ..federated.coordinator_worker import Aggregator, CoordinatorWorker, population_of
from ..federated.hierarchy.ordered import ordered_from_above
from ..federated.hierarchy.worker import RegionWorker
from ..federated.strategies import Strategy
from ..federated.strategies.averaging import FedAvg
from ..federated.strategies.registry import build_strategy
from ..gossip.algorithms.registry import build_algorithm, encoding_of, has_rounds
from ..gossip.algorithms.requirements import suitable_mixing
from ..gossip.all_reduce.worker import worker_of
from ..gossip.asynchronous.machine import AsyncPeerMachine
from ..gossip.asynchronous.worker import AsyncGossipWorker
from ..gossip.membership.service import MembershipRules, MembershipService
from ..gossip.membership.swim import SwimRules
from ..gossip.round_machine import PeerMachine, PeerRules
from ..gossip.survey_tree import shortcuts_of, tree_of
from ..runtime.model_worker import ModelWorker
from ..topology import TOPOLOGIES, Schedule, every_neighbor
from .stacking import PreparedMLP

COORDINATOR = "coordinator"
INCARNATION = 1

AnyCoordinatorWorker = TypeVar("AnyCoordinatorWorker", bound=CoordinatorWorker)

Machine = CoordinatorMachine | ClientMachine | PeerMachine | AsyncPeerMachine


class Stopped(Exception):
    """A run was stopped while its nodes were made, of which there may be many."""


def unless_stopped(names: Iterable[str], stopped: Callable[[], bool]) -> Iterator[str]:
    """Yield names, and raise Stopped at the one before which the run was stopped."""
    for name in names:
        if stopped():
            raise Stopped
        yield name


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a run: those of each node, and the test set."""

    nodes: Mapping[str, tuple[Any, ...]]  # X, y and weights if there are any, by name, in the order of names
    test: tuple[Any, ...] | None
    columns: Sequence[str]
    task: str
    written: WrittenColumns = field(default_factory=dict)


def site_model_of(experiment: Experiment, rows: Rows, name: str, model: Model | None = None) -> SiteModel:
    """Return the model of a node, tied to its rows, as its own process would make it; `model`, where it is never built
    and may be shared.
    """
    federated = experiment.mode == "federated"
    at_clients = experiment.evaluation.sites or experiment.personalized
    if model is None:
        model = build_model(experiment)
        if type(model) is MLP:
            model = PreparedMLP.from_parameters(model.describe()["parameters"])
    return build_site_model(
        model,
        rows.nodes.get(name),
        experiment,
        columns=rows.columns,
        task=rows.task,
        test=rows.test if name == COORDINATOR or not federated else None,
        holdout=experiment.data.test_size if federated and name in rows.nodes and at_clients else 0.0,
        written=rows.written,
    )


def coordinator(
    experiment: Experiment, rows: Rows, clients: Sequence[str]
) -> tuple[CoordinatorMachine, CoordinatorWorker]:
    federated = experiment.federated
    strategy = build_strategy(federated.strategy, federated.arguments)
    worker = _coordinator_worker(CoordinatorWorker, experiment, rows, COORDINATOR, strategy)
    return CoordinatorMachine(_coordinator_config(experiment, clients, worker, strategy)), worker


def region_coordinator(
    experiment: Experiment, rows: Rows, name: str, clients: Sequence[str]
) -> tuple[CoordinatorMachine, RegionWorker]:
    """Return the half of an aggregator that its clients know; `experiment` is that of its region."""
    strategy = FedAvg()  # the step is made above
    worker = _coordinator_worker(RegionWorker, experiment, rows, name, strategy)
    config = _coordinator_config(experiment, clients, worker, strategy)
    return CoordinatorMachine(ordered_from_above(config, experiment.hierarchy)), worker


def _coordinator_worker(
    kind: type[AnyCoordinatorWorker], experiment: Experiment, rows: Rows, name: str, strategy: Strategy
) -> AnyCoordinatorWorker:
    federated, site_model = experiment.federated, site_model_of(experiment, rows, name)
    population = population_of(strategy, experiment.nodes, federated.participation)
    return kind(
        site_model,
        Aggregator(strategy, population, report=federated.report_outliers),
        node=name,
        seed=experiment.seed,
        scale=experiment.data.scaling,
        initial=initial_model(experiment),
        personal=federated.personal,
    )


def _coordinator_config(
    experiment: Experiment, clients: Sequence[str], worker: CoordinatorWorker, strategy: Strategy
) -> CoordinatorConfig:
    site_model = worker.site_model
    return CoordinatorConfig.of(experiment, clients, strategy, has_test=site_model.has_test, model=site_model.model)


def client(
    experiment: Experiment, rows: Rows, name: str, run: str, coordinator: str = COORDINATOR
) -> tuple[ClientMachine, ClientWorker]:
    from nervenet.models.compress import supported

    site_model = site_model_of(experiment, rows, name)
    settings = training_settings(experiment, site_model.model)
    config = ClientConfig(
        coordinator,
        site_model.examples,
        timing=experiment.timing,
        codecs=supported(),
        settings=settings,
        sends_own=experiment.evaluation.site_matrix is True,
        policy=Policy.of(experiment, run, site_model),
        told={key: value for key, value in settings.items() if value != getattr(TrainingConfig, key)},
    )
    worker = ClientWorker(
        site_model,
        node=name,
        seed=experiment.seed,
        states=ClientStateStore(),
        scale=experiment.data.scaling,
        report_rows=experiment.evaluation.report_rows,
    )
    return ClientMachine(config), worker


class Peers:
    """Makes the peers of a run, which share what follows from the experiment alone."""

    def __init__(self, experiment: Experiment, rows: Rows, run: str) -> None:
        self._experiment, self._rows, self._run = experiment, rows, run
        self.names = sorted(rows.nodes)
        self._layout: Callable[[tuple[str, ...]], Schedule] = lru_cache(64)(
            lambda members: build_schedule(experiment, list(members))
        )
        self._members = {
            name: MemberState(name, INCARNATION, "alive", addresses={"control": f"virtual://{name}"})
            for name in self.names
        }
        self.schedule = self.layout(self.names)
        self.neighbors = every_neighbor(self.schedule)
        self._tree = tree_of(self.schedule)
        self._shared_config: dict[str, Any] | None = None

    def layout(self, members: Sequence[str]) -> Schedule:
        return self._layout(tuple(members))

    def peer(self, name: str) -> tuple[PeerMachine | AsyncPeerMachine, ModelWorker]:
        gossip, site_model = self._experiment.gossip, site_model_of(self._experiment, self._rows, name)
        common: dict[str, Any] = {
            "node": name,
            "seed": self._experiment.seed,
            "scale": self._experiment.data.scaling,
            "sketches": True,
            "initial": initial_model(self._experiment),
        }
        algorithm = build_algorithm(gossip.algorithm, gossip.arguments, gossip.compression)
        if has_rounds(gossip.algorithm):
            worker = worker_of(algorithm)(site_model, algorithm, **common)
            return self._by_rounds(name, algorithm, site_model), worker
        rules = replace(
            self._rules(name, site_model),
            neighbors=self.neighbors[name],
            shortcuts={
                peer: self._members[peer].addresses for peer in shortcuts_of(self._tree, name, self.neighbors[name])
            },
            seed=self._experiment.seed,
            incarnation=INCARNATION,
        )
        machine: AsyncPeerMachine = algorithm.machine(rules)
        return machine, AsyncGossipWorker(site_model, **common)

    def _by_rounds(self, name: str, algorithm: Any, site_model: SiteModel) -> PeerMachine:
        experiment, needs = self._experiment, algorithm.needs
        gossip, allowed = experiment.gossip, experiment.site.allow
        if self._shared_config is None:
            self._shared_config = dict(shared_config_of(experiment, site_model))
        membership = MembershipService(
            MembershipRules(
                me=self._members[name],
                founders=tuple(self.names),
                others=tuple(state for other, state in self._members.items() if other != name),
                layout=self.layout,
                relaid=TOPOLOGIES[gossip.topology].relaid_on_change,
                mixing=gossip.mixing or suitable_mixing(needs, self.schedule),
                doubly=needs.doubly,
                shortcuts=shortcuts_of(self._tree, name, self.neighbors[name]),
                shared_config=self._shared_config,
                swim=SwimRules(seed=experiment.seed).slower(1, experiment.network.suspect_after_s),
            )
        )
        rules = replace(
            self._rules(name, site_model),
            needs=needs,
            encoding=encoding_of(algorithm),
            min_peers=max(gossip.min_peers or 0, allowed.min_clients or 0),
            wait_deadline_s=gossip.wait_deadline_s or experiment.network.rejoin_deadline_s,
        )
        return PeerMachine(rules, membership)

    def _rules(self, name: str, site_model: SiteModel) -> PeerRules:
        experiment = self._experiment
        return PeerRules(
            name=name,
            members=tuple(self.names),
            tree=self._tree,
            timing=experiment.timing,
            evaluation=experiment.evaluation,
            evaluate_on="test" if site_model.has_test else "holdout",
            settings=task_settings(experiment, site_model.model),
            policy=Policy.of(experiment, self._run, site_model),
        )
