"""The graph that an experiment asks for, over whoever takes part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..topology import Schedule, check, schedule
from ..topology.edge_list import read

if TYPE_CHECKING:
    from ..config.schema import Experiment


def build_schedule(experiment: Experiment, members: Sequence[str]) -> Schedule:
    """Lay the experiment's topology over the members; every peer that knows their names gets the same.

    Raises
    ------
    TopologyError
        As `nervenet.nodes.topology.schedule`.
    """
    gossip = experiment.gossip
    return schedule(
        gossip.topology,
        members,
        degree=gossip.degree,
        seed=experiment.seed,
        probability=gossip.probability,
        edges=gossip.edges,
    )


def rehearse(experiment: Experiment) -> None:
    """Raise `TopologyError` for what can be known before anybody has a name, drawing a graph only where it may fail.

    The members of a file of edges are numbers, names that `launch` gives, or names of the users' own; of the last it
    is checked that there are as many as nodes.
    """
    gossip = experiment.gossip
    check(gossip.topology, experiment.nodes, degree=gossip.degree, probability=gossip.probability, edges=gossip.edges)
    if gossip.topology in ("edges", "erdos-renyi"):
        rehearsal(experiment)


def rehearsal(experiment: Experiment) -> Schedule:
    """Lay the topology over the names that `launch` gives, or those of a file of edges that has as many of its own."""
    gossip = experiment.gossip
    if gossip.topology == "edges":
        return build_schedule(experiment, edge_list_members(gossip.edges or "", experiment.nodes))
    return build_schedule(experiment, default_node_names(experiment.nodes, "peer"))


def edge_list_members(edges: str, count: int | None) -> list[str]:
    """The names in a file of edges, if they are the users' own and as many as `count`; else those that launch gives.

    Without a count: as many as the file names, or as its greatest number asks for.
    """
    words = read(edges).words
    numbers = [int(word) for word in words if word.isdecimal()]
    names = default_node_names(count or max(len(words), max(numbers, default=0) + 1), "peer")
    own = len(words) == len(names) and not numbers and not set(words) & set(names)
    return words if own else names


def check_members(experiment: Experiment, members: Sequence[str]) -> None:
    """Raise `TopologyError` if a file of edges names others than these members."""
    if experiment.mode == "gossip" and experiment.gossip.topology == "edges":
        build_schedule(experiment, members)


def default_node_names(count: int, role: str) -> list[str]:
    """The names that a launcher gives `count` nodes of one role: numbered, so that they sort in that order."""
    return [f"{role}-{i:0{len(str(count - 1))}d}" for i in range(count)]
