"""The Base-(k+1) graph: exact consensus after a finite number of rounds for any number of nodes, at most k neighbors
a round, symmetric and doubly stochastic (Takezawa et al. 2023, arXiv 2305.11420).

Functions work on lists of node numbers and give one `Round` for each round of the period: for each node that talks
to another in it, the weight of each other end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import TypeAlias

from .base import Rows, Schedule, named

Round: TypeAlias = dict[int, dict[int, float]]


def base(names: Sequence[str], k: int) -> Schedule:
    n = len(names)
    rounds = base_graph(range(n), k)
    graphs = tuple(named(names, {i: talk.get(i, {}) for i in range(n)}) for talk in rounds)
    return Schedule.of(*graphs, own=tuple(_rows(names, talk) for talk in rounds))


def base_graph(nodes: Sequence[int], k: int) -> list[Round]:
    """Algorithm 3, or algorithm 2 where that is shorter.

    n = p q, where q has no factor in 2 … k+1: within each of p groups of q the simple graph, at the same time; then
    across the groups, over the j-th nodes of all, the hyper-hypercube.
    """
    n = len(nodes)
    simple = simple_base_graph(nodes, k)
    q = n
    for factor in range(2, k + 2):
        while q % factor == 0:
            q //= factor
    p = n // q
    if 1 in (p, q):
        return simple
    within = _beside(simple_base_graph(nodes[i * q : (i + 1) * q], k) for i in range(p))
    across = _beside(hyper_hypercube(nodes[j::q], k) for j in range(q))
    return min(simple, within + across, key=len)


def simple_base_graph(nodes: Sequence[int], k: int) -> list[Round]:
    """Algorithm 2: n written in base k+1, a part of the nodes for each digit.

    First each part averages itself. Then, part after part, everybody in the later parts trades with one node in each
    of the part's a blocks, with the weight that leaves those later ones with the overall mean, and the blocks with sums
    that make it theirs, too. Last each block averages itself.
    """
    n = len(nodes)
    if factors(n, k + 1) is not None:
        return hyper_hypercube(nodes, k)
    parts: list[list[Sequence[int]]] = []  # V_1 … V_L, each of its blocks V_l,1 … V_l,a of (k+1)^p nodes
    begin = 0
    for size, count in _digits(n, k + 1):
        parts.append([nodes[begin + i * size : begin + (i + 1) * size] for i in range(count)])
        begin += size * count
    whole = [hyper_hypercube(_joined(blocks), k) for blocks in parts]
    inner = [_beside(hyper_hypercube(block, k) for block in blocks) for blocks in parts]
    # A part that is done goes on round its own graph: it changes nothing there, but mixes what is learnt meanwhile.
    rounds = [_merged(own[m % len(own)] for own in whole if own) for m in range(len(whole[0]))]
    for step in range(1 + len(inner[0])):
        talk = [inner[i][(step - i - 1) % len(inner[i])] for i in range(min(step, len(parts))) if inner[i]]
        if step < len(parts) - 1:
            talk.append(_trade(parts[step], _joined([_joined(blocks) for blocks in parts[step + 1 :]]), k))
        rounds.append(_merged(talk))
    return rounds


def hyper_hypercube(nodes: Sequence[int], k: int) -> list[Round]:
    """Algorithm 1: n = n_1 n_2 … n_L with all factors at most k+1, as few as can be; in round l those average whose
    numbers, written to these bases, differ in digit l alone.
    """
    rounds, stride = [], 1
    for factor in factors(len(nodes), k + 1) or ():
        groups: dict[tuple[int, int], list[int]] = {}
        for i, node in enumerate(nodes):
            groups.setdefault((i // (stride * factor), i % stride), []).append(node)
        rounds.append(_cliques(groups.values()))
        stride *= factor
    return rounds


@cache
def factors(n: int, most: int) -> tuple[int, ...] | None:
    """The fewest factors of n, none above `most`; None: there are none, since a prime is larger."""
    if n == 1:
        return ()
    found = [
        (f, *rest) for f in range(min(n, most), 1, -1) if n % f == 0 and (rest := factors(n // f, most)) is not None
    ]
    return min(found, key=len, default=None)


def _trade(blocks: Sequence[Sequence[int]], others: Sequence[int], k: int) -> Round:
    size = sum(map(len, blocks))
    weight = size / (len(blocks) * (size + len(others)))
    talk: Round = {}
    for i, other in enumerate(others):
        for block in blocks:
            talk.setdefault(other, {})[block[i]] = weight
            talk.setdefault(block[i], {})[other] = weight
    # Those left over hold the same as each other: averaging them costs nobody a place and mixes what is learnt.
    left = [node for block in blocks for node in block[len(others) :]]
    return talk | _cliques(left[i : i + k + 1] for i in range(0, len(left), k + 1))


def _cliques(groups: Iterable[Sequence[int]]) -> Round:
    return {i: {j: 1 / len(group) for j in group if j != i} for group in groups if len(group) > 1 for i in group}


def _beside(graphs: Iterable[list[Round]]) -> list[Round]:
    return [_merged(at_once) for at_once in zip(*graphs, strict=True)]


def _merged(talks: Iterable[Round]) -> Round:
    return {i: ends for talk in talks for i, ends in talk.items()}


def _digits(n: int, to: int) -> list[tuple[int, int]]:
    found, size = [], 1
    while n:
        n, digit = divmod(n, to)
        if digit:
            found.append((size, digit))
        size *= to
    return found[::-1]


def _joined(parts: Iterable[Sequence[int]]) -> list[int]:
    return [node for part in parts for node in part]


def _rows(names: Sequence[str], talk: Round) -> Rows:
    rows: Rows = {}
    for i, me in enumerate(names):
        ends = talk.get(i, {})
        row = {names[j]: weight for j, weight in ends.items()} | {me: 1.0 - sum(ends.values())}
        rows[me] = dict(sorted(row.items()))
    return rows
