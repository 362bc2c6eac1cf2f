"""How long a launcher waits: by the time in which it was awake itself, and by the last sign of progress."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

from ..config.schema import Experiment
from ..runtime.awake_time import AwakeTime
from .processes import ProcessTable

STEP_S = 1.0  # between two looks, at most


class Patience:
    """Waits. While this process is stopped no deadline comes nearer.

    It waits for changes of `processes`; `between` is called before each wait; `check` raises what ends all of them.
    """

    def __init__(self, processes: ProcessTable, between: Callable[[], None], check: Callable[[], None]) -> None:
        self.awake = AwakeTime(monotonic())
        self._progress_at = 0.0  # by that clock
        self._relayed_at = 0.0  # when the broker last relayed an event, whosever
        self._doubted_at = -1.0  # the sign of progress after which it was doubted that it relays any
        self._processes, self._between, self._check = processes, between, check

    @property
    def now(self) -> float:
        """The seconds that this process was awake."""
        return self.awake.seconds

    @property
    def idle_s(self) -> float:
        """The seconds since the last sign of progress."""
        return self.now - self._progress_at

    @property
    def sees(self) -> bool:
        """Whether an event has come since the last sign of progress: rounds are seen by events alone, and of a broker
        that relays none it cannot be concluded that nothing goes on.
        """
        return self._relayed_at >= self._progress_at

    def progressed(self) -> None:
        self._progress_at = self.now

    def relayed(self) -> None:
        self._relayed_at = self.now

    def doubts(self) -> bool:
        """Return whether to ask now whether it sees anything, by an event of its own; once a sign of progress."""
        doubts = not self.sees and self._doubted_at != self._progress_at
        self._doubted_at = self._progress_at
        return doubts

    async def until(self, condition: Callable[[], bool], within_s: float, *, of_progress: bool = False) -> bool:
        """Wait for a condition, and return whether it holds; not longer than that, maybe since the last progress."""
        until = self.awake.deadline(monotonic(), within_s)
        while not condition():
            self._check()
            until = max(until, self._progress_at + within_s) if of_progress else until
            if self.now >= until:
                return False
            await self.pause(until - self.now)
        return True

    async def pause(self, within_s: float = STEP_S) -> None:
        """Wait for a change, a second at most."""
        step_s = min(STEP_S, max(0.0, within_s))
        self._between()
        self.awake.begin(monotonic())
        await self._processes.change(step_s)
        self.awake.waited(monotonic(), step_s)


def grace_of(missing: list[str], results: Mapping[str, Mapping[str, Any]], experiment: Experiment) -> float:
    """Return for how many seconds after the last sign of progress the results of `missing` are waited for."""
    silent = {name for fields in results.values() for name in fields.get("silent", ())}
    # The others have not heard them either; or the result is here already, and what clients add are figures.
    if silent.issuperset(missing) or ("coordinator" in results and not experiment.personalized):
        return experiment.timing.lost_after_s
    return longest_s(experiment)


def longest_s(experiment: Experiment) -> float:
    """Return for how long those are waited for who may still be working."""
    return 2 * experiment.deadline_s + experiment.network.join_deadline_s
