"""Peers of a graph that is drawn share a process with their neighbors, as many in each as before."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import pytest
from nervenet.nodes.config.factory import build_schedule, default_node_names
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.launching.jobs import group_nodes
from nervenet.nodes.topology import every_neighbor


def gossip(nodes: int, processes: int, topology: str = "random-regular", **more: Any) -> Experiment:
    tables = {"gossip": {"topology": topology, **more}, "nodes": nodes, "processes": processes}
    return Experiment.from_dict({"mode": "gossip", **tables})


def apart(experiment: Experiment, groups: Sequence[Sequence[str]]) -> float:
    """Return the share of edges whose ends are in two groups."""
    of = {name: place for place, group in enumerate(groups) for name in group}
    near = every_neighbor(build_schedule(experiment, sorted(of)))
    edges = [of[name] != of[peer] for name, peers in near.items() for peer in peers]
    return sum(edges) / len(edges)


@pytest.mark.parametrize(("nodes", "processes"), [(256, 4), (100, 3), (64, 5), (20, 2)])
def test_neighbors_share_a_process_and_each_has_as_many(nodes: int, processes: int) -> None:
    experiment, names = gossip(nodes, processes, degree=4), default_node_names(nodes, "peer")
    groups = group_nodes(experiment, names)
    by_name = group_nodes(gossip(nodes, processes, "ring"), names)
    assert [len(group) for group in groups] == [len(group) for group in by_name]
    assert sorted(name for group in groups for name in group) == names
    assert all(list(group) == sorted(group) for group in groups)
    assert apart(experiment, groups) < 0.75 * apart(experiment, by_name)


@pytest.mark.parametrize("topology", ["ring", "torus", "one-peer-exponential", "epidemic-local"])
def test_others_are_together_by_name(topology: str) -> None:
    names = default_node_names(16, "peer")
    assert group_nodes(gossip(16, 4, topology), names) == [names[i : i + 4] for i in range(0, 16, 4)]


@pytest.mark.parametrize("processes", [1, 12])
def test_where_there_is_nothing_to_choose_nothing_is_drawn(processes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "networkx", None)
    names = default_node_names(12, "peer")
    assert len(group_nodes(gossip(12, processes, degree=4), names)) == processes
