"""Fixed graphs that follow from the number of nodes alone: ring, line, star, complete, torus, hypercube."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

Numbered: TypeAlias = Mapping[int, Iterable[int]]


def ring(n: int) -> Numbered:
    # Two nodes are joined once, not twice; networkx's cycle would give node 0 of one a loop.
    return {i: {(i - 1) % n, (i + 1) % n} for i in range(n)}


def line(n: int) -> Numbered:
    """A ring that was cut open between the last and the first."""
    return {i: {j for j in (i - 1, i + 1) if 0 <= j < n} for i in range(n)}


def star(n: int) -> Numbered:
    return {0: range(1, n)} | dict.fromkeys(range(1, n), (0,))


def complete(n: int) -> Numbered:
    return {i: range(n) for i in range(n)}


def torus_sides(n: int) -> tuple[int, int] | None:
    """The most nearly square rectangle of n nodes whose sides are 2 or more; None: there is none."""
    rows = max((r for r in range(2, int(n**0.5) + 1) if n % r == 0), default=0)
    return (rows, n // rows) if rows else None


def torus(n: int) -> Numbered:
    """A grid without borders: the nodes above, below, left and right."""
    rows, columns = torus_sides(n) or (1, n)
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


def hypercube(n: int) -> Numbered:
    """Those whose number differs in one binary digit."""
    return {i: [i ^ (1 << bit) for bit in range((n - 1).bit_length())] for i in range(n)}
