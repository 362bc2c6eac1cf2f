"""Which client of a launch is in which region, and what each node goes by there; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from nervenet.broker.enrollment import run_below

from ...config.factory import default_node_names, node_names
from ...config.hierarchy import HierarchyConfig
from ...config.schema import Experiment, FederatedConfig
from ...config.site_names import listed_sites

AGGREGATOR = "aggregator"
PREFIX = "region"


@dataclass(frozen=True)
class Region:
    """One of them: its name, which is that of its aggregator, too, its run, and its clients."""

    name: str
    run: str
    clients: tuple[str, ...]

    @property
    def roles(self) -> dict[str, str]:
        """The roles of its nodes, by name, in its run."""
        return {self.name: "coordinator", **dict.fromkeys(self.clients, "client")}


@dataclass(frozen=True)
class Regions:
    """Those of a launch, in their order; none in one without.

    `servers` are where nodes report, by the name of their region: the launcher takes part in each region's run.
    """

    all: tuple[Region, ...] = ()
    servers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    rounds: int = 1  # of a region for each of the launched run

    def __bool__(self) -> bool:
        return bool(self.all)

    @property
    def clients(self) -> dict[str, list[str]]:
        """The names of the clients, by that of their region."""
        return {region.name: list(region.clients) for region in self.all}

    @property
    def below(self) -> dict[str, dict[str, str]]:
        """The roles of all nodes, by the names of their runs."""
        return {region.run: region.roles for region in self.all}

    @property
    def aggregators(self) -> dict[str, str]:
        """Their roles in the launched run, by name."""
        return dict.fromkeys((region.name for region in self.all), AGGREGATOR)

    def of(self, node: str) -> Region | None:
        """Return the region that a client or an aggregator is in, None for others."""
        return next((region for region in self.all if node == region.name or node in region.clients), None)

    def has(self, node: str) -> bool:
        """Whether a node is a client of a region, and so none of the launched run."""
        region = self.of(node)
        return region is not None and node != region.name

    def told(self, node: str) -> dict[str, Any]:
        """Return what the job of a node says beyond that of one in a launch without regions."""
        region = self.of(node)
        if region is None:
            return {}
        where = {"name": region.name, "run": region.run, "clients": len(region.clients)}
        return {"region": {**where, "report_server": dict(self.servers.get(region.name, {}))}}


def regions_of(experiment: Experiment, run: str = "") -> Regions:
    """Divide the clients of a launch of this name among its regions, in their order: parts as equal as can be.

    The order of sites is that in which their files are listed.
    """
    count = experiment.hierarchy.regions
    if count is None or experiment.mode != "federated":
        return Regions()
    sites, prefix = experiment.data.sites, PREFIX
    names = list(listed_sites(sites)) if sites else node_names(experiment)
    while any(name.startswith(f"{prefix}-") for name in names):
        prefix += "-x"
    bounds = [len(names) * i // count for i in range(count + 1)]
    parts = (tuple(names[start:end]) for start, end in pairwise(bounds))
    labels = default_node_names(count, prefix)
    found = (Region(name, run_below(run, name), part) for name, part in zip(labels, parts, strict=True))
    return Regions(tuple(found), rounds=experiment.hierarchy.region_rounds)


def roles_of(experiment: Experiment) -> dict[str, str]:
    """Return the role of each node of a launch, by its name."""
    if experiment.mode == "gossip":
        return dict.fromkeys(node_names(experiment), "peer")
    clients = dict.fromkeys(node_names(experiment), "client")
    return {"coordinator": "coordinator", **regions_of(experiment).aggregators, **clients}


def at_the_top(experiment: Experiment) -> Experiment:
    """Return the experiment of a launch as its coordinator has it: its clients are the aggregators, and all are asked.

    Which share of the clients is asked is decided in their regions.
    """
    count = experiment.hierarchy.regions
    if count is None or experiment.mode != "federated":
        return experiment
    plain = FederatedConfig()
    federated = replace(
        experiment.federated,
        participation=plain.participation,
        over_selection=plain.over_selection,
        sampling=plain.sampling,
    )
    network = replace(experiment.network, min_nodes=None)
    return replace(
        experiment, nodes=count, processes=None, federated=federated, network=network, hierarchy=HierarchyConfig()
    )


def in_a_region(experiment: Experiment, clients: int) -> Experiment:
    """Return the experiment of a launch as the nodes of a region of so many clients have it."""
    network = replace(experiment.network, min_nodes=None)
    return replace(experiment, nodes=clients, processes=None, init=None, network=network)
