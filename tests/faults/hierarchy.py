"""A coordinator, aggregators and clients on virtual time, with real models; and the flat run of the same clients."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, TypeAlias

from federated_config import coordinator_config
from nervenet.models.data.partition import partition
from nervenet.models.data.splits import split
from nervenet.models.datasets import load
from nervenet.models.mlp.mlp import MLP
from nervenet.models.site_model import SiteModel
from nervenet.nodes.checkpoint.client_state import ClientStateStore
from nervenet.nodes.federated.client_machine import ClientConfig, ClientMachine
from nervenet.nodes.federated.client_worker import ClientWorker
from nervenet.nodes.federated.coordinator_machine import CoordinatorMachine
from nervenet.nodes.federated.coordinator_worker import Aggregator, CoordinatorWorker
from nervenet.nodes.federated.hierarchy.upward import UpwardMachine
from nervenet.nodes.federated.hierarchy.worker import RegionWorker
from nervenet.nodes.federated.strategies.averaging import FedAvg
from nervenet.nodes.federated.strategies.registry import build_strategy
from nervenet.nodes.large.sizes import Sizes
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.simulator import Simulation
from nervenet.nodes.runtime.worker import Worker

WORK = {"epochs": 1, "local_steps": None, "batch_size": 16, "carry_optimizer": False}
Below: TypeAlias = Sequence[int] | Mapping[str, Any]
"""The clients of an aggregator, by number, or further aggregators, by name."""

BELOW = " below"  # after the name of an aggregator: its half that its clients know


def model() -> MLP:
    return MLP(hidden=(4,), dtype="float64")


class Federation:
    """`regions` has what is below each aggregator; without any, all clients are the coordinator's own.

    `region` are settings of their coordinators, with the `deadline_s` and `region_rounds` of their own experiments.
    """

    def __init__(
        self,
        sizes: Sequence[int] = (30, 22, 25, 21, 22),
        regions: Mapping[str, Any] = {},
        *,
        network: Any = None,
        strategy: str = "fedavg",
        evaluate_sites: bool = False,
        region: Mapping[str, Any] = {},
        **settings: Any,
    ) -> None:
        train, test = split(load("iris"), 0.2, 42)
        bounds = [sum(sizes[:i]) for i in range(len(sizes) + 1)]
        order = [row for part in partition(train, 4, "iid", seed=0) for row in part]
        self.rows = [order[a:b] for a, b in pairwise(bounds)]
        self.train, self.sim = train, Simulation(network)
        self.roles: dict[str, Any] = {}
        self.counts: dict[str, int] = {}
        self._settings = {"seed": 7, "settings": WORK} | settings
        rounds = self._settings.pop("rounds", 4)
        learns = build_strategy(strategy, {})
        children = list(regions) or [f"client-{i}" for i in range(len(sizes))]
        held = None if evaluate_sites else (test.X, test.y)
        self.roles["coordinator"] = CoordinatorWorker(
            SiteModel(model(), test=held), Aggregator(learns), node="coordinator", seed=7
        )
        config = coordinator_config(children, rounds, **self._settings)
        config = replace(config, strategy=learns, evaluate_sites=evaluate_sites, evaluate_test=not evaluate_sites)
        config = replace(config, federated=replace(config.federated, strategy=strategy))
        config = replace(config, settings={**config.settings, **learns.demands.settings})
        self.sim.add("coordinator", CoordinatorMachine(config), self._worker("coordinator"))
        self._region, self._held_out = region, evaluate_sites
        for name, below in regions.items():
            self._aggregator(name, below, "coordinator")
        for site in () if regions else range(len(sizes)):
            self._client(f"client-{site}", "coordinator", site)

    def _aggregator(self, name: str, below: Below, above: str) -> None:
        region = self._region
        self.roles[name] = RegionWorker(SiteModel(model()), Aggregator(FedAvg()), node=name, seed=7)
        deadline_s = region.get("deadline_s")
        own = {k: v for k, v in region.items() if k not in ("deadline_s", "region_rounds")}
        given = {**self._settings, "settings": {}, **own}
        children = list(below) if isinstance(below, Mapping) else [f"client-{site}" for site in below]
        config = coordinator_config(children, 1, **given)
        config = replace(config, ordered=True, region_deadline_s=deadline_s, evaluate_test=False, evaluate_sites=True)
        config = replace(config, region_rounds=region.get("region_rounds", 1))
        worker, sim = self._worker(name), self.sim

        def perform(effect: e.Effect) -> tuple[float, Any]:
            if not isinstance(effect, e.Pass):
                return worker(effect)
            if isinstance(effect.event, ev.Gathered):
                self._enroll(name, effect.event, deadline_s, above)
            elif name in sim.nodes:
                sim.post(name, effect.event)
            return 0.0, None

        self.sim.add(name + BELOW, CoordinatorMachine(config), perform)
        for child in below:
            if isinstance(below, Mapping):
                self._aggregator(str(child), below[str(child)], name + BELOW)
            else:
                self._client(f"client-{child}", name + BELOW, int(child))

    def _enroll(self, name: str, gathered: ev.Gathered, deadline_s: float | None, above: str) -> None:
        def ordered(effect: e.Effect) -> tuple[float, Any]:
            assert isinstance(effect, e.Pass)
            self.sim.post(name + BELOW, effect.event)
            return 0.0, None

        client = ClientMachine(ClientConfig(above, gathered.examples))
        self.sim.add(name, UpwardMachine(client, deadline_s, Sizes()), ordered)
        self.sim.connect(above, name, ("coordinator", "aggregator"))

    def _client(self, name: str, coordinator: str, site: int) -> None:
        rows, train = self.rows[site], self.train
        holdout = 0.2 if self._held_out else 0.0
        site_model = SiteModel(model(), train.X[rows], train.y[rows], columns=train.columns, holdout=holdout)
        self.roles[name] = ClientWorker(site_model, node=name, seed=7, states=ClientStateStore())
        machine = ClientMachine(ClientConfig(coordinator, site_model.examples))
        self.sim.add(name, machine, self._worker(name))
        self.sim.connect(coordinator, name, ("coordinator", "client"))

    def _worker(self, name: str) -> Any:
        answer = Worker(self.roles[name]).answer
        return lambda effect: (0.01, answer(effect))

    def run(self, until: float = 1000.0) -> "Federation":
        self.sim.run(until)
        return self

    @property
    def finished(self) -> dict[str, Any]:
        return {name: node.finished for name, node in self.sim.nodes.items()}

    def events(self, name: str, kind: str) -> list[Any]:
        return [fields for _, found, fields in self.sim.nodes[name].published if found == kind]

    @property
    def weights(self) -> Any:
        return self.sim.nodes["coordinator"].machine.run.weights
