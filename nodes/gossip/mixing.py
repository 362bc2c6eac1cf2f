"""Mixing weights: how much of each neighbour's model a peer takes in. Apart from the graph, apart from the exchange."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .topology import Neighbours


def metropolis_hastings(graph: Neighbours) -> dict[str, dict[str, float]]:
    """Weigh each edge by ``1 / (1 + max(degree_i, degree_j))``, the rest to oneself (Xiao & Boyd 2004).

    The matrix is symmetric and doubly stochastic on any undirected graph, so mixing preserves the mean over nodes.

    Returns
    -------
    dict
        For each node the weight of each neighbour and of itself; each row sums to one.
    """
    rows: dict[str, dict[str, float]] = {}
    for i, around in graph.items():
        row = {j: 1.0 / (1 + max(len(around), len(graph[j]))) for j in around}
        row[i] = 1.0 - sum(row.values())
        rows[i] = row
    return rows


def coefficients(me: str, row: Mapping[str, float], present: Iterable[str]) -> dict[str, float]:
    """Give the weights of one round: a missing neighbour's goes to oneself, so the row still sums to one.

    Returns
    -------
    dict
        Name to weight, in name order, `me` included: the order in which the worker sums.
    """
    there = {j: row[j] for j in present}
    mine = 1.0 - sum(there[j] for j in sorted(there))
    return dict(sorted((there | {me: mine}).items()))
