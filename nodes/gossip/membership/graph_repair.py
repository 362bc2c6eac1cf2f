"""What becomes of a graph when its members change: the ring closes, a regular graph rewires; few edges are touched.

Every peer repairs for itself, and peers that know of the same members come to the same graph, whatever the order in
which they heard of the changes: the result is a function of the graph that the run began with and of who is here now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import pairwise

from ...topology import Neighbors

Adjacent = dict[str, set[str]]


def repair(founding: Mapping[str, Sequence[str]], members: Iterable[str], *, seed: int = 0) -> Neighbors:
    """Fit an undirected graph to who is here now.

    Newcomers are put in first, in name order, each into the middle of half as many edges as a member of the founding
    graph has on average: that keeps all other degrees. Then those who are not here are taken out, and the ends that
    hang loose are tied to each other: of a ring the two sides of the gap, of a regular graph all but a few. The order
    in which edges are cut and ends are tied is that of a hash, so one change moves few of them. What has fallen apart
    is joined by one edge a piece.

    Returns
    -------
    dict
        The neighbors of each of the `members` that are here now, in name order; connected if there is more than one.
    """
    present = sorted(set(members))
    graph: Adjacent = {node: set(around) for node, around in founding.items()}
    degree = round(sum(map(len, graph.values())) / len(graph)) if graph else 0
    for node in present:
        if node not in graph:
            _insert(graph, node, max(1, degree // 2), seed)
    loose: dict[str, int] = {}
    for node in sorted(graph.keys() - set(present)):
        for other in graph.pop(node):
            graph[other].discard(node)
            loose[other] = loose.get(other, 0) + 1
    _tie(graph, {node: count for node, count in loose.items() if node in graph}, seed)
    _join(graph, seed)
    return {node: tuple(sorted(graph[node])) for node in present}


def _edges(graph: Mapping[str, Iterable[str]]) -> set[tuple[str, str]]:
    return {(min(i, j), max(i, j)) for i, around in graph.items() for j in around}


def _rank(seed: int, *names: str) -> bytes:
    return blake2b("\0".join((str(seed), *names)).encode(), digest_size=8).digest()


def _insert(graph: Adjacent, node: str, splits: int, seed: int) -> None:
    """Put a node into the middle of `splits` edges that share no end."""
    graph[node] = set()
    if len(graph) == 2:  # no edge to split yet
        (other,) = graph.keys() - {node}
        graph[node].add(other)
        graph[other].add(node)
        return
    for one, other in sorted(_edges(graph), key=lambda edge: _rank(seed, "split", node, *edge)):
        if splits and not graph[node] & {one, other} and node not in (one, other):
            graph[one].discard(other)
            graph[other].discard(one)
            for end in (one, other):
                graph[end].add(node)
                graph[node].add(end)
            splits -= 1


def _tie(graph: Adjacent, loose: dict[str, int], seed: int) -> None:
    """Tie loose ends to each other, pair by pair in the order of their hash, but none to itself or twice."""
    ends = sorted(loose)
    pairs = [(i, j) for at, i in enumerate(ends) for j in ends[at + 1 :]]
    for one, other in sorted(pairs, key=lambda pair: _rank(seed, "tie", *pair)):
        if loose[one] and loose[other] and other not in graph[one]:
            graph[one].add(other)
            graph[other].add(one)
            loose[one] -= 1
            loose[other] -= 1


def _join(graph: Adjacent, seed: int) -> None:
    pieces = _pieces(graph)
    for one, other in pairwise(pieces):
        i, j = (min(piece, key=lambda node: (len(graph[node]), _rank(seed, "join", node))) for piece in (one, other))
        graph[i].add(j)
        graph[j].add(i)


def _pieces(graph: Adjacent) -> list[list[str]]:
    left = set(graph)
    pieces = []
    while left:
        reached: set[str] = set()
        edge = {min(left)}
        while edge:
            reached |= edge
            edge = {other for node in edge for other in graph[node]} - reached
        pieces.append(sorted(reached))
        left -= reached
    return pieces
