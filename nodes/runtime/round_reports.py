"""Rounds as their owner sees them: an asynchronous iterator over what has been completed."""

from __future__ import annotations

import asyncio
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
    """A queue between the machine and its owner, who iterates; it ends with the machine.

    The owner of a node that goes from round to round by itself gets those together that follow each other closely
    (``together_s``): to wake it for each costs more than a round's messages do. The first after a pause comes at once.
    The owner may have no use for any: of those that wait the last are kept; `warn` is told so.
    """

    def __init__(self, together_s: float = 0.0, warn: Callable[[str], None] = lambda _: None) -> None:
        self._queue: asyncio.Queue[e.Completed | e.Finish] = asyncio.Queue()
        self._together_s = together_s
        self._warn = warn
        self._warned = False
        self._held: list[e.Completed | e.Finish] = []
        self._released_at = float("-inf")
        self._later: asyncio.TimerHandle | None = None
        self.end: e.Finish | None = None

    def put(self, item: e.Completed | e.Finish) -> None:
        self._held.append(item)
        if isinstance(item, e.Finish) or not self._together_s:
            self._release()
        elif self._later is None:
            loop = asyncio.get_running_loop()
            if loop.time() >= self._released_at + self._together_s:
                self._release()
                self._released_at = loop.time()
            else:
                self._later = loop.call_at(self._released_at + self._together_s, self._release_in_time)

    def _release_in_time(self) -> None:
        self._released_at = asyncio.get_running_loop().time()
        self._release()

    def _release(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None
        for item in self._held:
            if isinstance(item, e.Completed) and self._queue.qsize() >= WAITING:
                self._queue.get_nowait()
                self._say_that_nobody_iterates()
            self._queue.put_nowait(item)
        self._held.clear()

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
            item = await self._queue.get()
            if isinstance(item, e.Finish):
                self.end = item
                break
            yield RoundReport.of(item)
            if last is not None and item.round >= last:
                return
        if self.end is not None and self.end.status == "failed":
            raise NodeFailed(self.end.reason)
