"""Which trainings are done on the event loop: those that have proven shorter than the hop to a thread."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from . import events as ev

HOP_S = 5e-4  # the longest training on the loop: twice what the hop to a thread and back costs on a busy machine
LAST = 8  # trainings that are looked at
WAITED_S = 2e-3  # who takes longer each time, whatever the processor spends on it, waits for something
LONG_S, STOPPED_S = 5e-3, 0.1


class Pace:
    """Whether the next training is done on the event loop: once the last ones took less than a hop to a thread.

    The loop stands still for that long. Of the last ones one may have taken longer, as when garbage was collected
    meanwhile. One that takes `LONG_S` there all at once, or stops it for `STOPPED_S`, is the last one for a while, of
    which each is twice as long as the one before. Processor time counts, not what other processes took meanwhile,
    unless even the quickest of the last ones waited for something.
    """

    def __init__(self) -> None:
        self._last: deque[tuple[float, float]] = deque(maxlen=LAST)  # seconds of processor time, and by the clock
        self._pause = self._after = 0  # so many are done in the thread, now and when one has been long again
        self._look = 0  # so many more are looked at on the loop
        self.at_once = False

    def timed(self, train: Callable[[], ev.Event | None], *, at_once: bool) -> ev.Event | None:
        """Train, and take note of how long that has taken.

        The processor time of a thread takes longer to ask for than any other clock: on the loop it is looked at once
        the time by the clock has not been short.
        """
        look = self._look > 0 or not at_once
        spent = time.thread_time() if look else 0.0
        began = time.perf_counter()
        answer = train()
        wall = time.perf_counter() - began
        if look:
            self.took(time.thread_time() - spent, wall, at_once=at_once)
        elif wall > HOP_S:
            self._look = LAST
            if wall > STOPPED_S:
                self.took(0.0, wall, at_once=True)
        return answer

    def took(self, spent_s: float, wall_s: float, *, at_once: bool) -> None:
        self._last.append((spent_s, wall_s))
        self._look = max(0, self._look - 1)
        self._pause = max(0, self._pause - 1)
        if at_once and (spent_s > LONG_S or wall_s > STOPPED_S):
            self._pause = self._after = max(LAST, 2 * self._after)
        short = sum(spent <= HOP_S for spent, _ in self._last) >= LAST - 1
        waits = min(wall for _, wall in self._last) > WAITED_S
        self.at_once = short and not (waits or self._pause)
