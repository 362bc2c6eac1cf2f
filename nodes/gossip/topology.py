"""Graphs: who talks to whom. Pure functions of the members' names and the seed; networkx generates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from nervenet.models.randomness import generator

Neighbours: TypeAlias = dict[str, tuple[str, ...]]


class TopologyError(ValueError):
    """A graph that cannot be, with the reason and what could be."""


def neighbours(name: str, members: Sequence[str], *, degree: int = 4, seed: int = 0) -> Neighbours:
    """Lay the topology `name` over `members`, taken in name order.

    Parameters
    ----------
    name
        ``ring``, ``torus``, ``complete``, ``star`` (the first member is the hub) or ``random-regular``.
    members
        The nodes' names; every node that passes the same names gets the same graph.
    degree
        Of ``random-regular`` only: each node's number of neighbours, below n, with n * degree even.
    seed
        Of ``random-regular`` only.

    Returns
    -------
    dict
        Each member's neighbours in name order, never itself.

    Raises
    ------
    TopologyError
        If the name is unknown or no such graph exists over so many members.
    """
    if name not in TOPOLOGIES:
        raise TopologyError(f"gossip.topology must be one of {', '.join(TOPOLOGIES)}; found {name!r}")
    names = sorted(members)
    if len(set(names)) != len(names):
        raise TopologyError("two members have one name")
    if len(names) == 1:
        return {names[0]: ()}
    graph = TOPOLOGIES[name](len(names), degree, seed)
    return {names[i]: tuple(names[j] for j in sorted(graph[i]) if j != i) for i in range(len(names))}


def _ring(n: int, _degree: int, _seed: int) -> Mapping[int, Any]:
    # Two nodes are joined once, not twice; networkx's cycle would give node 0 of one a loop.
    return {i: {(i - 1) % n, (i + 1) % n} for i in range(n)}


def _complete(n: int, _degree: int, _seed: int) -> Mapping[int, Any]:
    return {i: set(range(n)) - {i} for i in range(n)}


def _star(n: int, _degree: int, _seed: int) -> Mapping[int, Any]:
    return {0: set(range(1, n))} | {i: {0} for i in range(1, n)}


def _torus(n: int, _degree: int, _seed: int) -> Mapping[int, Any]:
    rows = max((r for r in range(2, int(n**0.5) + 1) if n % r == 0), default=0)
    if not rows:
        raise TopologyError(f"a torus needs a number of nodes that is a rectangle of at least 2 x 2; {n} is not")
    columns = n // rows
    return {
        r * columns + c: {
            ((r - 1) % rows) * columns + c,
            ((r + 1) % rows) * columns + c,
            r * columns + (c - 1) % columns,
            r * columns + (c + 1) % columns,
        }
        for r in range(rows)
        for c in range(columns)
    }


def _random_regular(n: int, degree: int, seed: int) -> Mapping[int, Any]:
    if not 0 < degree < n or (n * degree) % 2:
        raise TopologyError(
            f"a random-regular graph needs 0 < degree < nodes and nodes x degree even; found nodes {n}, degree {degree}"
        )
    import networkx as nx

    # Draw again until it is connected; at degree 2 or more nearly every draw is, at degree 1 none is beyond two nodes.
    for attempt in range(100):
        graph = nx.random_regular_graph(degree, n, seed=int(generator(seed, "topology", attempt).integers(2**32)))
        if nx.is_connected(graph):
            return {i: set(graph[i]) for i in range(n)}
    raise TopologyError(
        f"no connected random-regular graph of degree {degree} over {n} nodes in 100 draws; raise gossip.degree"
    )


TOPOLOGIES: Mapping[str, Callable[[int, int, int], Mapping[int, Any]]] = {
    "ring": _ring,
    "torus": _torus,
    "complete": _complete,
    "star": _star,
    "random-regular": _random_regular,
}
