"""Which runs the owner of a key has joined here, and so may publish for; pure."""

from __future__ import annotations

from collections import OrderedDict

_MOST = 1_000  # runs that are remembered; of the oldest nothing is known any more
_BY_THE_BROKER = frozenset({"client", "coordinator", "aggregator"})
"""Roles that have no other way into a run. A peer may join by another peer; the launcher's processes do not join."""


class Memberships:
    """Remembers who has joined which run, beyond the end of a lease: last words come late."""

    def __init__(self) -> None:
        self._nodes: OrderedDict[str, set[str]] = OrderedDict()

    def joined(self, node: str, *runs: str) -> None:
        for run in runs:
            self._nodes.setdefault(run, set()).add(node)
            self._nodes.move_to_end(run)
            if len(self._nodes) > _MOST:
                self._nodes.popitem(last=False)

    def wrong_run(self, node: str, role: str, run: str, begun: bool) -> str | None:
        """Return why a node may not publish for a run, or None; ``begun``: its members have joined, and are known.

        Where that run is not known, as to a broker that was restarted, only who has joined another one is refused.
        """
        if role not in _BY_THE_BROKER or node in self._nodes.get(run, ()):
            return None
        others = sorted(name for name, nodes in self._nodes.items() if node in nodes)
        if others:
            return f"{node} has joined run '{others[-1]}', and speaks for run '{run}'"
        return f"{node} has not joined run '{run}'" if begun else None
