"""Graphs that are drawn from the seed, by networkx: fixed ones, and a fresh one for each round."""

from __future__ import annotations

from collections.abc import Sequence

from .base import Neighbors, Schedule, TopologyError, named

DRAWS = 100  # a fixed graph is drawn again until it is connected, so many times


def random_regular(names: Sequence[str], degree: int, seed: int) -> Neighbors:
    """Draw a connected graph in which all have `degree` neighbors (Steger & Wormald 1999)."""
    # At degree 2 or more nearly every draw is connected, at degree 1 none is beyond two nodes.
    what = (
        f"degree = {degree}: no connected random-regular graph over {len(names)} nodes in {DRAWS} draws; raise degree"
    )
    return _connected(names, seed, what, "random_regular_graph", degree, len(names))


def erdos_renyi(names: Sequence[str], probability: float, seed: int) -> Neighbors:
    """Draw a connected graph in which each pair is an edge with the given probability (Erdős & Rényi 1959)."""
    n = len(names)
    what = (
        f"probability = {probability:g}: no connected erdos-renyi graph over {n} nodes in {DRAWS} draws; "
        f"twice ln(n)/n, {connecting(n):.3g}, suffices nearly always"
    )
    return _connected(names, seed, what, "gnp_random_graph", n, probability)


def connecting(n: int) -> float:
    """Twice ln(n)/n, the probability at which a random graph begins to be connected; at most 1."""
    from math import log

    return min(1.0, 2 * log(n) / n)


def small_world(names: Sequence[str], degree: int, probability: float, seed: int) -> Neighbors:
    """Draw a ring in which each is joined with its `degree` nearest, and each edge's far end moved anywhere with the
    given probability; connected (Watts & Strogatz 1998).
    """
    n = len(names)
    what = (
        f"probability = {probability:g}: no connected small-world graph of degree {degree} over {n} nodes in {DRAWS} "
        "draws; raise degree or lower probability"
    )
    return _connected(names, seed, what, "watts_strogatz_graph", n, degree, probability)


def epidemic_oracle(names: Sequence[str], degree: int, seed: int) -> Schedule:
    """A fresh random regular graph each round, known to all (De Vos et al. 2023, EL-Oracle)."""

    def draw(number: int) -> Neighbors:
        import networkx as nx

        graph = nx.random_regular_graph(degree, len(names), seed=_integer(seed, "epidemic-oracle", number))
        return named(names, {i: graph[i] for i in range(len(names))})

    return Schedule(draw)


def epidemic_local(names: Sequence[str], degree: int, seed: int) -> Schedule:
    """Each node sends to `degree` others that it draws by itself each round (De Vos et al. 2023, EL-Local).

    A draw is addressed by (seed, node, round): a node can make its own without knowing anybody else's.
    """

    def draw(number: int) -> Neighbors:
        from nervenet.models.rng import generator

        graph = {}
        for i, name in enumerate(names):
            chosen = generator(seed, name, number, "targets").choice(len(names) - 1, size=degree, replace=False)
            graph[i] = [j + (j >= i) for j in map(int, chosen)]  # over all but itself
        return named(names, graph)

    return Schedule(draw, directed=True)


def _connected(names: Sequence[str], seed: int, otherwise: str, generator: str, *arguments: float) -> Neighbors:
    """Draw by a generator of networkx until the graph is connected; a `TopologyError` says `otherwise`."""
    import networkx as nx

    for attempt in range(DRAWS):
        graph = getattr(nx, generator)(*arguments, seed=_integer(seed, "topology", attempt))
        if nx.is_connected(graph):
            return named(names, {i: graph[i] for i in range(len(names))})
    raise TopologyError(otherwise)


def _integer(seed: int, *address: str | int) -> int:
    from nervenet.models.rng import generator

    return int(generator(seed, *address).integers(2**32))
