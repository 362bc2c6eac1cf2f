"""Graphs: who may talk to whom in which round. Pure functions of the members' names and the seed.

A graph says nothing of how much (`nervenet.nodes.topology.mixing`) nor of how (the exchange). networkx draws what is
random; it and NumPy are imported by the graphs that need them, when they are built.
"""

from .base import Neighbors, Rows, Schedule, TopologyError, components, every_neighbor, incoming
from .registry import (
    TOPOLOGIES,
    Arguments,
    Topology,
    check,
    default_degree,
    default_probability,
    schedule,
)

__all__ = [
    "TOPOLOGIES",
    "Arguments",
    "Neighbors",
    "Rows",
    "Schedule",
    "Topology",
    "TopologyError",
    "check",
    "components",
    "default_degree",
    "default_probability",
    "every_neighbor",
    "incoming",
    "schedule",
]
