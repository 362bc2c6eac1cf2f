"""When a checkpoint is written: after every round, at most one a second, one at a time, and always the last."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..runtime import effects as e
from ..runtime import events as ev

EVERY_S = 1.0  # between two beginnings: rounds of milliseconds are cheaper to run again than to write
RETRY = ("checkpoint",)


class CheckpointPolicy:
    """Asks for checkpoints and knows what has become of them.

    A checkpoint that failed is not tried again: that of the next round is.
    """

    def __init__(self, work_deadline_s: float, *, durable: int = 0) -> None:
        self.durable = durable  # the last round on the disk, which will not be asked for again
        self._work_deadline_s = work_deadline_s
        self._newest = self._handled = durable - 1 if durable == 0 else durable
        self._saving: int | None = None
        self._began_at = float("-inf")
        self.urgent = False  # the run is over: what is left is written without a pause
        self.grown = False  # more is known of the round that is written than was written

    @property
    def busy(self) -> bool:
        return self.grown or self._saving is not None or self._newest > self._handled

    def completed(self, number: int) -> None:
        self._newest = number

    def write(
        self, now: float, body: ev.Body, record: Callable[[], Mapping[str, Any]], best: ev.Body = None
    ) -> list[e.Effect]:
        """Ask for a checkpoint if one is due: `body` and `record` of the round last completed, `best` of the best."""
        if not self.busy or self._saving is not None:
            return []
        if not self.urgent and now < self._began_at + EVERY_S:
            return [e.SetTimer(RETRY, self._began_at + EVERY_S)]
        self._saving, self._began_at, self.grown = self._newest, now, False
        deadline = e.SetTimer(self._timer(self._newest), now + self._work_deadline_s)
        return [e.CancelTimer(RETRY), deadline, e.Checkpoint(self._newest, body, record(), best)]

    def ended(self, number: int, *, saved: bool) -> list[e.Effect]:
        if number != self._saving:
            return []
        self._saving, self._handled = None, number
        if saved:
            self.durable = number
        return [e.CancelTimer(self._timer(number))]

    @staticmethod
    def _timer(number: int) -> ev.Key:
        return ("work", "checkpoint", number)
