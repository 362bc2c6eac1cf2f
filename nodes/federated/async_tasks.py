"""Which client works on which task of an asynchronous run, and which updates wait for a step: plain records.

The number of a task grows with each one that its client is given. With it go a client's random draws and what it
carries from task to task, so it is never the same twice in an incarnation of the coordinator. It keeps up with the
steps, so that it means something to people, where the client keeps pace with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..runtime.events import Body
from .strategies import Contribution


@dataclass(frozen=True, slots=True)
class OpenTask:
    number: int
    version: int  # steps that the model had made when it went out
    base: Body  # the weights that went with it
    since: float


class TaskLedger:
    def __init__(self) -> None:
        # Of all tasks: a coordinator that was started again has another one, so that no answer to a task of its
        # previous incarnation counts.
        self.attempt = 0
        self.out: dict[str, OpenTask] = {}  # by client
        self.counted: dict[str, int] = {}  # the last task of each client that is in the model
        self.answered: dict[str, int] = {}  # the last task that each client has answered
        self.resting: dict[str, float] = {}  # until when a client is asked nothing
        self.draws = 0  # how often some of those who are idle had to be drawn
        self._given: dict[str, int] = {}
        self._failures: dict[str, int] = {}  # in a row
        self._repeats: set[str] = set()  # clients of a previous incarnation: they repeat what is not in the model
        self._resumed_from: dict[str, int] = {}
        self._saving: dict[str, int] = {}
        self._durable: dict[str, int] = {}  # what `counted` was in the last checkpoint that is on the disk

    def give(self, name: str, version: int, base: Body, now: float) -> None:
        number = self._given.get(name, 0) + 1
        if name not in self._repeats:
            number = max(number, version + 1)
        self._repeats.discard(name)
        self._given[name] = number
        self.out[name] = OpenTask(number, version, base, now)

    def holds(self, name: str, number: int) -> bool:
        return name in self.out and self.out[name].number == number

    def done(self, name: str) -> OpenTask:
        task = self.out.pop(name)
        self.answered[name] = task.number
        self._failures.pop(name, None)
        return task

    def failed(self, name: str, now: float, first_s: float, most_s: float) -> None:
        """Take a task back that failed; its client rests, twice as long each time that it fails in a row."""
        failures = self._failures[name] = self._failures.get(name, 0) + 1
        self.resting[name] = now + min(most_s, first_s * 2.0 ** min(failures - 1, 30))
        self.out.pop(name, None)

    def idle(self, names: Iterable[str], now: float) -> list[str]:
        return [name for name in names if name not in self.out and self.resting.get(name, now) <= now]

    def known(self, name: str) -> bool:
        return name in self._given and name not in self._repeats

    def newest(self) -> int:
        return max(self._given.values(), default=0)

    def address(self, name: str) -> tuple[int, int, int]:
        return self.out[name].number, self._durable.get(name, 0), self._resumed_from.get(name, 0)

    def saving(self) -> None:
        self._saving = dict(self.counted)

    def saved(self) -> None:
        self._durable = self._saving

    def to_dict(self) -> dict[str, Any]:
        """Return what the next incarnation must know, as JSON can say it."""
        return {"attempt": self.attempt, "counted": dict(self.counted), "draws": self.draws}

    def restore(self, record: Mapping[str, Any]) -> None:
        """Take up what `to_dict` returned in the previous incarnation."""
        self.attempt, self.draws = int(record["attempt"]) + 1, int(record["draws"])
        self.counted = {str(name): int(number) for name, number in record["counted"].items()}
        self._given, self._repeats = dict(self.counted), set(self.counted)
        self._resumed_from = self._durable = dict(self.counted)


@dataclass(frozen=True, slots=True)
class WaitingUpdate:
    task: OpenTask
    update: Contribution

    @property
    def address(self) -> tuple[str, int]:
        return self.update.client, self.task.number


@dataclass(frozen=True, slots=True)
class Step:
    """A step that is being made of a full buffer; `last` completed it, and is tasked with what comes of it."""

    number: int
    attempt: int
    taken: Sequence[WaitingUpdate]
    last: str

    def contributions(self) -> tuple[Contribution, ...]:
        pairs = zip(self.taken, self.staleness(), strict=True)
        return tuple(replace(waiting.update, staleness=staleness) for waiting, staleness in pairs)

    def staleness(self) -> list[int]:
        return [self.number - 1 - waiting.task.version for waiting in self.taken]

    def numbers_of(self, client: str) -> list[int]:
        return [waiting.task.number for waiting in self.taken if waiting.update.client == client]

    def counted(self, rejected: Iterable[str]) -> dict[str, Contribution]:
        """Return its updates by client and task, without those of clients that were rejected."""
        left = set(rejected)
        return {f"{w.update.client} {w.task.number}": w.update for w in self.taken if w.update.client not in left}

    def newest(self, rejected: Iterable[str]) -> dict[str, Contribution]:
        left = set(rejected)
        return {waiting.update.client: waiting.update for waiting in self.taken if waiting.update.client not in left}


@dataclass(slots=True)
class UpdateBuffer:
    """Updates in the order of arrival, and the step that is being made of the oldest."""

    size: int
    waiting: list[WaitingUpdate] = field(default_factory=list)
    step: Step | None = None

    def would_fill_alone(self, name: str) -> bool:
        """Whether one more update of this client would complete a buffer that no other has a part in."""
        open_ = self.waiting[len(self.waiting) // self.size * self.size :]
        return len(open_) == self.size - 1 > 0 and all(waiting.update.client == name for waiting in open_)

    def version_at_arrival(self, completed: int) -> int:
        """Return the version from which the step will be made that takes the next update to arrive."""
        return completed + (self.step is not None) + len(self.waiting) // self.size

    def take(self, completed: int, attempt: int) -> Step | None:
        """Begin a step with the oldest updates, if enough have come and none is being made."""
        if self.step is not None or len(self.waiting) < self.size:
            return None
        taken, self.waiting = self.waiting[: self.size], self.waiting[self.size :]
        self.step = Step(completed + 1, attempt, sorted(taken, key=lambda w: w.address), taken[-1].update.client)
        return self.step

    def counted_as(self, updates: Sequence[Contribution]) -> Step:
        """Replace the updates of the step that is being made by these, in their order."""
        if self.step is None:
            raise RuntimeError("no step is being made")
        taken = [replace(waiting, update=update) for waiting, update in zip(self.step.taken, updates, strict=True)]
        self.step = replace(self.step, taken=taken)
        return self.step
