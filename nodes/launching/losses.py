"""Which nodes of a run are lost, and whether it can go on without them; pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping

from .regions.plan import Regions


class RunAborted(RuntimeError):
    """The run cannot go on; the message says why."""


class Losses:
    """By node, why it is `lost`.

    Parameters
    ----------
    roles
        Of all nodes, by name.
    regions
        An aggregator is lost with the clients of its region.
    ready
        Who has been ready, as it is known at any time.
    needed
        How many clients or peers there must be for the run to begin.
    on_lost
        Called once with each node that is lost, and the reason.
    """

    def __init__(
        self,
        roles: Mapping[str, str],
        regions: Regions,
        ready: Container[str],
        needed: int,
        on_lost: Callable[[str, str], None],
    ) -> None:
        self.lost: dict[str, str] = {}
        self.fatal = ""  # why the run cannot go on, whoever is left
        self._roles, self._regions, self._ready, self._needed = roles, regions, ready, needed
        self._on_lost = on_lost

    def survivors(self) -> set[str]:
        return set(self._roles) - set(self.lost)

    def lose(self, node: str, reason: str) -> None:
        """Note that a node is lost, unless it is known, and what that means before the run begins."""
        if node in self.lost:
            return
        self.lost[node] = reason
        self._on_lost(node, reason)
        for client in self._regions.clients.get(node, ()):  # nobody asks it any more, and it is waited for in vain
            self.lose(client, f"its aggregator, {node}, was lost")
        there = len(training(self.survivors(), self._roles))
        if node not in self._ready and there < self._needed:  # the others would wait for it until their deadline
            few = f"{there} nodes are left, and network.min_nodes = {self._needed}"
            self.fatal = f"{node}: {reason} before the run began; {few}"

    def check(self) -> None:
        """Raise `RunAborted` where the run cannot go on: for what was fatal, without a coordinator or learners."""
        if self.fatal:
            raise RunAborted(self.fatal)
        if "coordinator" in self.lost:
            raise RunAborted(f"coordinator: {self.lost['coordinator']}")
        if not training(self.survivors(), self._roles):
            first = next(iter(self.lost))  # an aggregator before its clients, which are lost with it
            raise RunAborted(f"every node was lost; {first}: {self.lost[first]}")


def training(names: Collection[str], roles: Mapping[str, str]) -> set[str]:
    """Return those of some nodes that train: clients, or peers."""
    return {name for name in names if roles[name] in ("client", "peer")}
