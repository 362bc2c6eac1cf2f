"""A view of a run of many peers: what looks at all of them is done before it is read, and not with each event."""

from __future__ import annotations

from ..monitoring.event_fields import Fields
from ..monitoring.run_view import RunView

# What peers say in each round, and what leaves who is there as it is.
_FREQUENT = frozenset(("round.started", "round.completed", "metric.test", "metric.local", "exchange.sent"))
_FREQUENT |= {"exchange.received"}


class LargeView(RunView):
    """A `RunView` that is as it should be after `settle`: call it before you look."""

    _peers_moved = False
    _peers_judged = False

    def update(self, event: Fields) -> None:
        if event.get("type") not in _FREQUENT:
            self.settle()  # by those who are there until now
        super().update(event)

    def settle(self) -> None:
        if self._peers_moved:
            self._peers_moved = False
            super()._follow_peers()
        if self._peers_judged:
            self._peers_judged = False
            super()._evaluate_peers()

    def _follow_peers(self) -> None:
        self._peers_moved = True

    def _evaluate_peers(self) -> None:
        self._peers_judged = True
