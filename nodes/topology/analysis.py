"""What a graph is worth: how fast repeated mixing over it leads to the mean, and what a round costs.

Everything here is measured on the matrices that peers mix with (`nervenet.nodes.topology.mixing.weigh`), whose rows and
columns stand in name order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, count, islice
from typing import TypeAlias

import numpy as np
from nervenet.models.rng import generator
from numpy.typing import NDArray

from .base import Rows, Schedule
from .mixing import weigh
from .registry import TOPOLOGIES

Matrix: TypeAlias = NDArray[np.float64]

STARTS = 64  # random starts at once: their mean error differs little from one seed to the next
SAMPLED = 64  # fresh graphs that figures of a schedule without a period are taken over
FALLEN = 1e-3
EXACT = 1e-12


@dataclass(frozen=True)
class Measured:
    """A topology in figures."""

    name: str
    nodes: int
    directed: bool
    period: int | None
    degree: tuple[int, float, int]  # others that a node sends to in a round: least, mean, greatest
    edges: float  # of a round, mean over rounds; of a directed graph, arrows
    mixing: str
    gap: float  # 1 - ρ, where each round leaves a share of ρ of the distance to the mean: see `spectral_gap`
    rounds: int | None  # until the distance of a random start has fallen by 1e-3; None: not within those looked at
    exact: int | None  # rounds after which the mean is reached exactly; None: it is approached


def measure(name: str, schedule: Schedule, *, seed: int = 0, most: int = 10_000) -> Measured:
    """Take all the figures of a topology; `most` is the number of rounds after which consensus is given up."""
    looked_at = range(1, (schedule.period or SAMPLED) + 1)
    graphs = [schedule.out(number) for number in looked_at]
    degrees = [len(receivers) for out in graphs for receivers in out.values()]
    arrows = sum(degrees) / len(graphs)
    rule = rule_of(name, schedule)
    errors = consensus_errors(schedule, rule, seed=seed)
    return Measured(
        name=name,
        nodes=len(graphs[0]),
        directed=schedule.directed,
        period=schedule.period,
        degree=(min(degrees), sum(degrees) / len(degrees), max(degrees)),
        edges=arrows if schedule.directed else arrows / 2,
        mixing="its own" if schedule.weights(1) is not None else rule,
        gap=spectral_gap(schedule, rule),
        rounds=next((number for number, error in zip(range(most + 1), errors, strict=False) if error <= FALLEN), None),
        exact=exact_after(schedule, rule),
    )


def rule_of(name: str, schedule: Schedule) -> str:
    """The mixing rule that suits a topology which brings no weights: push-sum for a directed file of edges."""
    return "push-sum" if name == "edges" and schedule.directed else TOPOLOGIES[name].mixing


def matrix(rows: Rows) -> Matrix:
    """The mixing matrix W: W[i, j] is the weight that the i-th node in name order gives the j-th."""
    at = {name: i for i, name in enumerate(sorted(rows))}
    W = np.zeros((len(at), len(at)))
    for node, row in rows.items():
        for sender, weight in row.items():
            W[at[node], at[sender]] = weight
    return W


def matrices(schedule: Schedule, rule: str) -> Iterator[Matrix]:
    """The matrices of round 1, 2, …, without end."""
    if schedule.period is None:
        return (matrix(weigh(schedule, number, rule)) for number in count(1))
    cycle = [matrix(weigh(schedule, number, rule)) for number in range(1, schedule.period + 1)]
    return (cycle[number % len(cycle)] for number in count())


def spectral_gap(schedule: Schedule, rule: str) -> float:
    """1 - ρ, by which a round shrinks the distance to the mean, in the long run or in expectation.

    Of a fixed graph ρ is the second largest modulus of W's eigenvalues. Of graphs that repeat after τ rounds, the
    τ-th root of that of their product: 0 where the product is the exact average. Of fresh random graphs, the root of
    the mean factor that a round leaves of the variance over nodes (`variance_factor`).
    """
    if len(schedule.out(1)) == 1:
        return 1.0
    if schedule.period is None:
        by_round = matrices(schedule, rule)
        return 1.0 - float(np.sqrt(np.mean([variance_factor(next(by_round)) for _ in range(SAMPLED)])))
    *_, product = _products(schedule, rule)
    second = float(np.sort(np.abs(np.linalg.eigvals(product)))[-2])
    # What is zero in exact arithmetic is some 1e-17 here, of which a root would make a figure.
    return 1.0 - (second ** (1 / schedule.period) if second > EXACT else 0.0)


def variance_factor(W: Matrix) -> float:
    """What one mixing leaves of the variance over nodes, in expectation over independent starts of equal variance.

    ``||W (I - J)||² / (n - 1)`` in the Frobenius norm, with all entries of J 1/n: the mean squared distance from the
    mean that there was before.
    """
    return float(((W - W.mean(axis=1, keepdims=True)) ** 2).sum() / (len(W) - 1))


def exact_after(schedule: Schedule, rule: str) -> int | None:
    """The number of rounds, at most a period, whose product is the exact average; None: there is none."""
    products = enumerate(_products(schedule, rule), start=1)
    return next((number for number, product in products if np.abs(product - 1 / len(product)).max() < EXACT), None)


def consensus_errors(schedule: Schedule, rule: str, *, seed: int = 0, starts: int = STARTS) -> Iterator[float]:
    """The distance from their mean, sqrt(mean ||x - x̄||²), after 0, 1, 2, … rounds, of random starts; 1 at first.

    With the rule ``push-sum`` a mass is mixed beside x, and x over mass is compared with the mean of all that there
    is; else the nodes are compared with their own mean.
    """
    n = len(schedule.out(1))
    x = generator(seed, "consensus").standard_normal((n, starts))
    mass = np.ones((n, 1))
    pushed = rule == "push-sum" and schedule.weights(1) is None
    first = _spread(x)
    yield 1.0 if n > 1 else 0.0
    for W in matrices(schedule, rule):
        x = W @ x
        if pushed:
            mass = W @ mass
        yield _spread(x / mass, x.mean(axis=0)) / first if n > 1 else 0.0


def _products(schedule: Schedule, rule: str) -> Iterator[Matrix]:
    """The products of the first matrix, the first two, … of a period; of graphs that never repeat, none."""
    return accumulate(islice(matrices(schedule, rule), schedule.period or 0), lambda product, W: W @ product)


def _spread(x: Matrix, around: Matrix | None = None) -> float:
    return float(np.sqrt(((x - (x.mean(axis=0) if around is None else around)) ** 2).mean()))
