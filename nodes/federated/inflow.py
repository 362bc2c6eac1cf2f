"""What has come in since the last step, where there are no rounds: plain records with the questions asked of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .async_buffer import Out
from .round import Admitted
from .strategies import Contribution


@dataclass(frozen=True, slots=True)
class Waiting:
    """An admitted update that no step has taken up yet."""

    client: str
    out: Out
    update: Admitted

    def contribution(self, version: int) -> Contribution:
        """Describe it to the strategy that is to make a step from `version`."""
        update, staleness = self.update, version - self.out.version
        return Contribution(
            self.client, update.body, self.out.base, update.examples, update.metrics, update.relative, staleness
        )


@dataclass(frozen=True, slots=True)
class Step:
    """A step that is being made of a full buffer; `last` completed it, and is tasked with what comes of it."""

    number: int
    attempt: int
    taken: Sequence[Waiting]
    last: str

    def contributions(self) -> tuple[Contribution, ...]:
        """Give its updates in the order of (client, task)."""
        return tuple(waiting.contribution(self.number - 1) for waiting in self.taken)

    def staleness(self) -> list[int]:
        """Give the staleness of each, in the same order."""
        return [self.number - 1 - waiting.out.version for waiting in self.taken]

    def numbers_of(self, client: str) -> list[int]:
        """Give the tasks of a client that it is made of."""
        return [waiting.out.number for waiting in self.taken if waiting.client == client]

    def counted(self, without: Iterable[str]) -> dict[str, Admitted]:
        """Give its updates by client and task, without those of some clients."""
        left = set(without)
        return {f"{w.client} {w.out.number}": w.update for w in self.taken if w.client not in left}


@dataclass(slots=True)
class Inflow:
    """The buffer, and the step that is being made of it."""

    size: int
    waiting: list[Waiting] = field(default_factory=list)  # in the order of arrival
    step: Step | None = None

    def version_at_arrival(self, completed: int) -> int:
        """Give the version from which the step will be made that takes the next update to arrive."""
        return completed + (self.step is not None) + len(self.waiting) // self.size

    def take(self, completed: int, attempt: int) -> Step | None:
        """Begin a step with the oldest updates, if enough have come and none is being made."""
        if self.step is not None or len(self.waiting) < self.size:
            return None
        taken, self.waiting = self.waiting[: self.size], self.waiting[self.size :]
        last = taken[-1].client
        self.step = Step(completed + 1, attempt, sorted(taken, key=lambda w: (w.client, w.out.number)), last)
        return self.step


def newest(taken: Iterable[Waiting], without: Iterable[str]) -> dict[str, Admitted]:
    """Give the last update of each client, in name order, without those of some."""
    left = set(without)
    return {waiting.client: waiting.update for waiting in taken if waiting.client not in left}
