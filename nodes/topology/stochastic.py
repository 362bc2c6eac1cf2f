"""What a mixing matrix must be, checked on its rows: whoever builds one asserts what it promises.

Rows that sum to one keep an agreement once it is there; columns that sum to one keep the sum over nodes, and with it
the mean; a symmetric matrix that has one has the other.
"""

from __future__ import annotations

from math import fsum

from . import Rows

TOLERANCE = 1e-12  # a sum of a few thousand shares in float64 strays less


class MixingError(ValueError):
    """A matrix that is not what it must be, or a rule on a graph that it is not for; names the node."""


def rows_sum_to_one(rows: Rows) -> Rows:
    """Give the rows back, or raise `MixingError`: a weight is negative, or a row does not sum to one."""
    for node, row in rows.items():
        _not_negative(node, row)
        if abs(fsum(row.values()) - 1) > TOLERANCE:
            raise MixingError(f"row {node}: its weights must sum to 1; found {fsum(row.values()):.15g}")
    return rows


def columns_sum_to_one(rows: Rows) -> Rows:
    """Give the rows back, or raise `MixingError`: a weight is negative, or what a node gives away is not all it had."""
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
    """Give the rows back, or raise `MixingError`: two nodes weigh each other differently."""
    for node, row in rows.items():
        for other, weight in row.items():
            back = rows[other].get(node, 0.0)
            if back != weight:
                raise MixingError(f"{node} weighs {other} with {weight:.15g}, and is weighed with {back:.15g}")
    return rows


def doubly_stochastic(rows: Rows) -> Rows:
    """Give the rows back, or raise `MixingError`: not all rows and columns sum to one."""
    return columns_sum_to_one(rows_sum_to_one(rows))


def _not_negative(node: str, row: dict[str, float]) -> None:
    for other, weight in row.items():
        if not weight >= 0:
            raise MixingError(f"{node} weighs {other} with {weight:.15g}; a weight is not negative")
