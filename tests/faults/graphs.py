"""Graphs for tests."""

from __future__ import annotations

from collections.abc import Sequence

from nervenet.nodes.topology import TOPOLOGIES, Neighbors, schedule


def neighbors(name: str, members: Sequence[str], *, degree: int | None = None, seed: int = 0) -> Neighbors:
    """Each member's neighbors on a fixed graph; `degree` is passed over where the topology takes none."""
    built = schedule(name, members, degree=degree if "degree" in TOPOLOGIES[name].takes else None, seed=seed)
    assert built.fixed
    return built.out(1)
