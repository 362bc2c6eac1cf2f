"""Mixing weights: how much of each neighbor's model a peer takes in. Apart from the graph, apart from the exchange.

Rows that sum to one keep an agreement once it is there; columns that sum to one keep the sum over nodes, and with it
the mean; a symmetric matrix that has one has the other. Whoever builds a matrix checks what it promises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import fsum

from .base import Neighbors, Rows, Schedule, incoming

TOLERANCE = 1e-12  # a sum of a few thousand shares in float64 strays less


class MixingError(ValueError):
    """A matrix that is not what it must be, or a rule on a graph that it is not for; names the node."""


def metropolis_hastings(out: Neighbors) -> Rows:
    """Weigh each edge by ``1 / (1 + max(degree_i, degree_j))``, the rest to oneself (Xiao & Boyd 2004).

    The matrix is symmetric and doubly stochastic on any undirected graph, so mixing preserves the mean over nodes.
    Raises `MixingError` if an edge goes one way only.
    """
    rows: Rows = {}
    for i, around in out.items():
        for j in around:
            if i not in out[j]:
                raise MixingError(
                    f"metropolis-hastings: is for undirected graphs, and {i} sends to {j} but {j} not to {i}; "
                    "expected mixing = 'push-sum', or 'uniform' where the mean over nodes need not be kept"
                )
        row = {j: 1.0 / (1 + max(len(around), len(out[j]))) for j in around}
        row[i] = 1.0 - sum(row.values())
        rows[i] = row
    return doubly_stochastic(symmetric(rows))


def uniform(out: Neighbors, *, doubly: bool = False) -> Rows:
    """Weigh all that is heard, and oneself, alike: ``1 / (1 + d)`` with d the number of senders.

    Every row sums to one; every column does, too, where all send to as many as they hear and all to the same number.
    Raises `MixingError`, which names two nodes, if a `doubly` stochastic matrix is needed and the graph is not regular.
    """
    heard = incoming(out)
    if doubly:
        few, many = (choose(out, key=lambda i: len(heard[i])) for choose in (min, max))
        if len(heard[few]) != len(heard[many]):
            raise MixingError(
                f"uniform: keeps the mean on regular graphs only, and {few} hears {len(heard[few])}, {many} "
                f"{len(heard[many])}; expected mixing = 'metropolis-hastings', or 'push-sum' on directed graphs"
            )
    rows: Rows = {
        i: dict.fromkeys(sorted((i, *senders)), 1.0 / (1 + len(senders))) for i, senders in sorted(heard.items())
    }
    return doubly_stochastic(rows) if doubly else rows_sum_to_one(rows)


def push_sum_columns(out: Neighbors) -> Rows:
    """Each sender splits itself evenly over itself and those it sends to (Kempe et al. 2003; Assran et al. 2019).

    Column stochastic on any graph: what is sent and a mass that travels with it are conserved in sum, and their ratio
    tends to the mean on any strongly connected graph.
    """
    rows: Rows = {i: {} for i in out}
    for sender in sorted(out):
        share = 1.0 / (1 + len(out[sender]))
        for receiver in (sender, *out[sender]):
            rows[receiver][sender] = share
    return columns_sum_to_one({i: dict(sorted(row.items())) for i, row in rows.items()})


RULES: Mapping[str, Callable[[Neighbors], Rows]] = {
    "metropolis-hastings": metropolis_hastings,
    "uniform": uniform,
    "push-sum": push_sum_columns,
}
"""The rules by the names of ``gossip.mixing``."""


def weigh(schedule: Schedule, round: int, rule: str = "metropolis-hastings", *, doubly: bool = False) -> Rows:  # noqa: A002
    """Return the mixing matrix of a round: the graph's own, if it brings one, or that of the rule.

    Graphs' own matrices are doubly stochastic, and so serve every algorithm. Raises `MixingError` if the rule is not
    one for this graph, or not for one that needs a `doubly` stochastic matrix.
    """
    own = schedule.weights(round)
    if own is not None:
        return doubly_stochastic(own) if schedule.directed else doubly_stochastic(symmetric(own))
    if rule == "uniform":
        return uniform(schedule.out(round), doubly=doubly)
    if rule not in RULES:
        raise MixingError(f"mixing = {rule!r}: expected one of {', '.join(RULES)}")
    return RULES[rule](schedule.out(round))


def coefficients(me: str, row: Mapping[str, float], present: Iterable[str]) -> dict[str, float]:
    """Return the weights of one round in name order, in which the worker sums; a missing neighbor's goes to oneself."""
    there = {j: row[j] for j in present}
    mine = 1.0 - sum(there[j] for j in sorted(there))
    return dict(sorted((there | {me: mine}).items()))


def rows_sum_to_one(rows: Rows) -> Rows:
    """Return the rows, or raise `MixingError`: a weight is negative, or a row does not sum to one."""
    for node, row in rows.items():
        _not_negative(node, row)
        if abs(fsum(row.values()) - 1) > TOLERANCE:
            raise MixingError(f"row {node}: its weights must sum to 1; found {fsum(row.values()):.15g}")
    return rows


def columns_sum_to_one(rows: Rows) -> Rows:
    """Return the rows, or raise `MixingError`: a weight is negative, or what a node gives away is not all it had."""
    columns: dict[str, list[float]] = {node: [] for node in rows}
    for node, row in rows.items():
        _not_negative(node, row)
        for sender, weight in row.items():
            columns[sender].append(weight)
    for node, given in columns.items():
        if abs(fsum(given) - 1) > TOLERANCE:
            raise MixingError(f"column {node}: its weights must sum to 1; found {fsum(given):.15g}")
    return rows


def symmetric(rows: Rows) -> Rows:
    """Return the rows, or raise `MixingError`: two nodes weigh each other differently."""
    for node, row in rows.items():
        for other, weight in row.items():
            back = rows[other].get(node, 0.0)
            if back != weight:
                raise MixingError(f"{node} weighs {other} with {weight:.15g}, and is weighed with {back:.15g}")
    return rows


def doubly_stochastic(rows: Rows) -> Rows:
    """Return the rows, or raise `MixingError`: not all rows and columns sum to one."""
    return columns_sum_to_one(rows_sum_to_one(rows))


def _not_negative(node: str, row: dict[str, float]) -> None:
    for other, weight in row.items():
        if not weight >= 0:
            raise MixingError(f"{node} weighs {other} with {weight:.15g}; a weight is not negative")
