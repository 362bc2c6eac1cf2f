"""What a graph is to the rest: for each round, whom each member sends to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

Neighbors: TypeAlias = dict[str, tuple[str, ...]]
"""For each member, in name order, the members at the other end, in name order and never itself."""

Rows: TypeAlias = dict[str, dict[str, float]]
"""For each node, the weight of each node it hears and of itself: the rows of a mixing matrix."""

SHOWN = 8  # members of a component that an error names; the rest are counted
KEPT = 8  # fresh graphs that are remembered: a peer looks at this round's, the last and the next, many times


class TopologyError(ValueError):
    """A graph that cannot be: begins with the setting that is wrong, what was found, and says what could be."""


@dataclass(frozen=True, eq=False)
class Schedule:
    """A graph for each round. One is like no other: what is made of it is kept by it."""

    draw: Callable[[int], Neighbors]  # the graph of a round, counted from 1: a pure function
    directed: bool = False  # i -> j does not imply j -> i
    period: int | None = None  # rounds until it repeats; None: never, each round draws a fresh graph
    own: tuple[Rows, ...] | None = None  # mixing weights of the graphs of a period; None: a mixing rule decides
    _drawn: dict[int, Neighbors] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, *graphs: Neighbors, own: tuple[Rows, ...] | None = None, directed: bool = False) -> Schedule:
        """Return graphs that repeat; one of them: a fixed graph."""
        return cls(lambda number: graphs[number - 1], directed, len(graphs), own)

    @property
    def fixed(self) -> bool:
        return self.period == 1

    def out(self, round: int) -> Neighbors:  # noqa: A002  (the field's word)
        """Whom each member sends to in that round, counted from 1; nobody (``()``) in some rounds of some graphs."""
        number = self._in_period(round)
        if number not in self._drawn:
            while len(self._drawn) >= KEPT:
                del self._drawn[next(iter(self._drawn))]
            self._drawn[number] = self.draw(number)
        return self._drawn[number]

    def weights(self, round: int) -> Rows | None:  # noqa: A002
        """The mixing weights of that round, where the graph brings its own."""
        return None if self.own is None else self.own[self._in_period(round) - 1]

    def _in_period(self, number: int) -> int:
        if number < 1:
            raise ValueError(f"rounds count from 1; found {number}")
        return number if self.period is None else 1 + (number - 1) % self.period


def named(names: Sequence[str], graph: Mapping[int, Iterable[int]]) -> Neighbors:
    """Lay a graph of numbers over names in name order; a loop is dropped."""
    return {me: tuple(names[j] for j in sorted(set(graph[i])) if j != i) for i, me in enumerate(names)}


def incoming(out: Neighbors) -> Neighbors:
    """Turn every edge round: for each member, in name order, who sends to it."""
    heard: dict[str, list[str]] = {name: [] for name in out}
    for sender in sorted(out):
        for receiver in out[sender]:
            heard[receiver].append(sender)
    return {name: tuple(senders) for name, senders in heard.items()}


@lru_cache(maxsize=8)
def every_neighbor(schedule: Schedule) -> Neighbors:
    """Whom each member may ever send to or hear from: over a period, or everybody where graphs never repeat.

    It is made once for all peers of a process; nobody may change it.
    """
    first = schedule.out(1)
    if schedule.period is None:
        return {me: tuple(name for name in sorted(first) if name != me) for me in first}
    graphs = map(schedule.out, range(1, schedule.period + 1))
    return union(both for out in graphs for both in (out, incoming(out)))


def union(graphs: Iterable[Neighbors]) -> Neighbors:
    ever: dict[str, set[str]] = {}
    for out in graphs:
        for sender, receivers in out.items():
            ever.setdefault(sender, set()).update(receivers)
    return {name: tuple(sorted(receivers)) for name, receivers in ever.items()}


def components(out: Neighbors) -> list[tuple[str, ...]]:
    """The parts of a graph within which everybody reaches everybody, the largest first; one: it is connected.

    Of a directed graph these are the strong components: a member that is heard but hears nobody is one by itself.
    """
    names = sorted(out)
    if not names or (_reached(names[0], out) == _reached(names[0], incoming(out)) == set(names)):
        return [tuple(names)] if names else []
    into, rest, found = incoming(out), set(names), []
    while rest:
        start = min(rest)
        part = _reached(start, out) & _reached(start, into)
        rest -= part
        found.append(tuple(sorted(part)))
    return sorted(found, key=lambda part: (-len(part), part))


def check_connected(out: Neighbors, directed: bool, what: str) -> None:
    """Raise `TopologyError`, beginning with `what`, that names the components if there are several."""
    parts = components(out)
    if len(parts) > 1:
        shown = "; ".join(", ".join(part[:SHOWN]) + _more(len(part) - SHOWN) for part in parts[:SHOWN])
        strongly = "strongly " if directed else ""
        hint = "each member must reach every other along the arrows" if directed else "join them by an edge"
        raise TopologyError(
            f"{what}: the graph is not {strongly}connected but falls into {len(parts)} components: "
            f"{shown}{_more(len(parts) - SHOWN)}; {hint}"
        )


def _more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""


def _reached(start: str, out: Neighbors) -> set[str]:
    seen, edge = {start}, [start]
    while edge:
        for name in out[edge.pop()]:
            if name not in seen:
                seen.add(name)
                edge.append(name)
    return seen
