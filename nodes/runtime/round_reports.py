"""Rounds as their owner sees them: an asynchronous iterator over what has been completed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import effects as e
from .identity import NodeFailed


@dataclass(frozen=True)
class RoundReport:
    round: int  # from 1
    # On the test set, or on this node's own hold-out where it has no test set; None where it was not evaluated: `loss`
    # is the training loss then.
    accuracy: float | None = None
    r2: float | None = None
    loss: float | None = None
    participants: tuple[str, ...] = ()  # whose weights went into it
    closed_by: str = ""  # all, quorum, suspected, deadline or overtaken
    fields: Mapping[str, Any] = field(default_factory=dict)  # all that is known, as in the event round.completed

    @classmethod
    def of(cls, done: e.Completed) -> RoundReport:
        known = done.fields
        return cls(
            done.round,
            known.get("accuracy"),
            known.get("r2"),
            known.get("loss"),
            tuple(known.get("participants", ())),
            str(known.get("closed_by", "")),
            known,
        )


class RoundReports:
    """A queue between the machine and its owner, who iterates; it ends with the machine."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[e.Completed | e.Finish] = asyncio.Queue()
        self.end: e.Finish | None = None

    def put(self, item: e.Completed | e.Finish) -> None:
        self._queue.put_nowait(item)

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
