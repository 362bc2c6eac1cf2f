"""Rounds as their owner sees them: an asynchronous iterator over what has been completed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import effects as e
from .identity import NodeFailed


@dataclass(frozen=True)
class RoundReport:
    """What is known of a round that is complete.

    `accuracy`, `r2` and `loss` are of the rows that `evaluated_on` names, and None where there was no evaluation; the
    training loss is `train_loss`.

    Attributes
    ----------
    round
        From 1.
    metrics
        By the rows that they are of: ``test``, the test set; ``holdout``, rows that are not trained on. Those of a peer
        are its own. For a coordinator they are the mean over the sites' hold-outs, weighted by size, with ``spread``
        and the ``worst`` site. Those of a client are its own, for the model that it was sent: that of the round before.
    evaluated_on
        ``test`` or ``holdout``; empty where there was no evaluation.
    train_loss
        Of the training in this round, over the examples of all who took part; of a client or a peer, its own.
    participants
        Whose weights went into it.
    closed_by
        As in ``round.completed`` (docs/events.md).
    fields
        All that is known, as in that event.
    """

    round: int
    accuracy: float | None = None
    r2: float | None = None
    loss: float | None = None
    participants: tuple[str, ...] = ()
    closed_by: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    evaluated_on: str = ""
    train_loss: float | None = None

    @classmethod
    def of(cls, done: e.Completed) -> RoundReport:
        known = done.fields
        on = next((rows for rows in ("test", "holdout") if rows in done.metrics), "")
        found = done.metrics.get(on, {})
        return cls(
            done.round,
            found.get("accuracy"),
            found.get("r2"),
            found.get("loss"),
            tuple(known.get("participants", ())),
            str(known.get("closed_by", "")),
            known,
            done.metrics,
            on,
            known.get("loss"),
        )


TOGETHER_S = 0.01  # rounds that follow each other within this time are reported together
WAITING = 1_024  # rounds that are kept for an owner who iterates later, or never


class RoundReports:
    """What the machine completes, until its owner takes it by iterating; it ends with the machine.

    The owner of a node that goes from round to round by itself is woken once for those that follow each other closely
    (``together_s``): to wake it for each costs more than a round's messages do. The first after a pause wakes at once.
    The owner may have no use for any: of those that wait the last are kept; `warn` is told so.
    """

    def __init__(self, together_s: float = 0.0, warn: Callable[[str], None] = lambda _: None) -> None:
        self._waiting: deque[e.Completed | e.Finish] = deque()
        self._come = asyncio.Event()  # the owner looks
        self._together_s = together_s
        self._warn = warn
        self._warned = False
        self._woken_at = float("-inf")
        self._later: asyncio.TimerHandle | None = None
        self.end: e.Finish | None = None

    def put(self, item: e.Completed | e.Finish) -> None:
        ends = isinstance(item, e.Finish)
        if len(self._waiting) >= WAITING and not ends:
            self._waiting.popleft()
            self._say_that_nobody_iterates()
        self._waiting.append(item)
        if ends or not self._together_s:
            self._wake()
        elif self._later is None:
            loop = asyncio.get_running_loop()
            due, now = self._woken_at + self._together_s, loop.time()
            if now >= due:
                self._wake_at(now)
            else:
                self._later = loop.call_at(due, self._wake_at, due)

    def _wake_at(self, now: float) -> None:
        self._woken_at = now
        self._wake()

    def _wake(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None
        self._come.set()

    def _say_that_nobody_iterates(self) -> None:
        if not self._warned:
            self._warned = True
            self._warn(f"nobody iterates over rounds(): the reports of the last {WAITING:,} rounds are kept for it")

    async def until(self, last: int | None) -> AsyncIterator[RoundReport]:
        """Yield each completed round up to `last` (None: as long as the machine goes on).

        Raises
        ------
        NodeFailed
            If the machine ended with a failure.
        """
        while self.end is None:
            while not self._waiting:
                self._come.clear()
                await self._come.wait()
            item = self._waiting.popleft()
            if isinstance(item, e.Finish):
                self.end = item
                break
            yield RoundReport.of(item)
            if last is not None and item.round >= last:
                return
        if self.end is not None and self.end.status == "failed":
            raise NodeFailed(self.end.reason)
