"""The graph that an experiment asks for, over whoever takes part."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .topology import Schedule, TopologyError, check, schedule
from .topology.edges import read

if TYPE_CHECKING:
    from ..experiment import Experiment


def schedule_of(experiment: Experiment, members: Sequence[str]) -> Schedule:
    """Lay the experiment's topology over the members; every peer that knows their names gets the same.

    Raises
    ------
    TopologyError
        As `nervenet.nodes.gossip.topology.schedule`.
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
    gossip, names = experiment.gossip, launched_names(experiment.nodes, "peer")
    if gossip.topology == "edges":
        words = read(gossip.edges or "").words
        strangers = [word for word in words if word not in names and not word.isdecimal()]
        names = list(words) if len(strangers) == len(words) == experiment.nodes else names
    return schedule_of(experiment, names)


def check_members(experiment: Experiment, members: Sequence[str]) -> None:
    """Raise `TopologyError` if a file of edges names others than these members."""
    if experiment.mode == "gossip" and experiment.gossip.topology == "edges":
        schedule_of(experiment, members)


def launched_names(count: int, role: str) -> list[str]:
    """The names that a launcher gives `count` nodes of one role: numbered, so that they sort in that order."""
    return [f"{role}-{i:0{len(str(count - 1))}d}" for i in range(count)]


def edges_digest(path: str) -> str:
    """A name for the contents of a file of edges, by which peers find out that theirs differ."""
    try:
        return hashlib.blake2b(Path(path).read_bytes(), digest_size=8).hexdigest()
    except OSError as error:
        raise TopologyError(f"edges = {path!r}: cannot be read: {error.strerror}") from None
