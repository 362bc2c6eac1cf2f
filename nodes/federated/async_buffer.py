"""Who works on which task, where every client has tasks of its own: given, taken back, counted, and numbered.

The number of a task grows with each one that its client is given. With it go a client's random draws and what it
carries from task to task, so it is never the same twice in a life of the coordinator; and it runs beside the steps, so
that it means something to people, where the client keeps pace with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..runtime.events import Body


@dataclass(frozen=True, slots=True)
class Out:
    """A task that a client is working on."""

    number: int
    version: int  # steps that the model had made when it went out
    base: Body  # the weights that went with it
    since: float


class Errands:
    """The tasks that are out, and what is remembered of those that were.

    Attributes
    ----------
    life
        The attempt that all tasks carry: a coordinator that goes on after its own death has another one, so that no
        answer to a task of its former life counts.
    out
        By client.
    counted
        The last task of each client that is in the model.
    """

    def __init__(self) -> None:
        self.life = 0
        self.out: dict[str, Out] = {}
        self.counted: dict[str, int] = {}
        self._given: dict[str, int] = {}
        self._answered: dict[str, int] = {}
        self._failures: dict[str, int] = {}  # in a row
        self._resting: dict[str, float] = {}  # until when nothing is asked
        self._repeats: set[str] = set()  # of a former life: their next task is the one after that in the model
        self._began: dict[str, int] = {}
        self._writing: dict[str, int] = {}
        self._durable: dict[str, int] = {}  # what `counted` was in the last checkpoint that is on the disk

    # ------------------------------------------------------------------------------------------------------------ tasks

    def give(self, name: str, version: int, base: Body, now: float) -> None:
        """Note that a client is given its next task, with the weights of a version."""
        number = self._given.get(name, 0) + 1
        if name not in self._repeats:
            number = max(number, version + 1)
        self._repeats.discard(name)
        self._given[name] = number
        self.out[name] = Out(number, version, base, now)

    def take_back(self, name: str) -> Out | None:
        """Forget the task that a client has: its answer does not count any more."""
        return self.out.pop(name, None)

    def holds(self, name: str, number: int) -> bool:
        """Whether that is the task that a client has."""
        return name in self.out and self.out[name].number == number

    def answered(self, name: str) -> Out:
        """Note that a client has done its task well; gives the task."""
        out = self.out.pop(name)
        self._answered[name] = out.number
        self._failures.pop(name, None)
        return out

    def failed(self, name: str, now: float, first_s: float, most_s: float) -> None:
        """Take a task back that failed; the rest that its client gets doubles each time that it fails in a row."""
        failures = self._failures[name] = self._failures.get(name, 0) + 1
        self._resting[name] = now + min(most_s, first_s * 2.0 ** min(failures - 1, 30))
        self.take_back(name)

    def awaken(self, name: str) -> None:
        """End a rest."""
        self._resting.pop(name, None)

    def count(self, tasks: Iterable[tuple[str, int]]) -> None:
        """Note whose tasks, by number, a step has taken up."""
        self.counted |= dict(tasks)

    # -------------------------------------------------------------------------------------------------------- questions

    def idle(self, names: Iterable[str], now: float) -> list[str]:
        """Give those who have no task and no rest."""
        return [name for name in names if name not in self.out and self._resting.get(name, now) <= now]

    def known(self, name: str) -> bool:
        """Whether a client was ever given a task in this life."""
        return name in self._given and name not in self._repeats

    def has_answered(self, name: str, number: int) -> bool:
        """Whether that is the last task that a client has answered."""
        return self._answered.get(name) == number

    def newest(self) -> int:
        """Give the largest number of all."""
        return max(self._given.values(), default=0)

    def began(self, name: str) -> int:
        """Give the last task of a client that was in the model when this life began."""
        return self._began.get(name, 0)

    def durable(self, name: str) -> int:
        """Give the last task of a client that will never be asked for again, whatever happens."""
        return self._durable.get(name, 0)

    # ----------------------------------------------------------------------------------------------------- checkpoints

    def writing(self) -> None:
        """Note that what is counted now is being written."""
        self._writing = dict(self.counted)

    def written(self) -> None:
        """Note that it is on the disk."""
        self._durable = self._writing

    def to_dict(self) -> dict[str, Any]:
        """Give what the next life must know, as JSON can say it."""
        return {"life": self.life, "counted": dict(self.counted)}

    def remember(self, told: Mapping[str, Any]) -> None:
        """Take up what `to_dict` gave, in another life."""
        self.life = int(told["life"]) + 1
        self.counted = {str(name): int(number) for name, number in told["counted"].items()}
        self._given, self._repeats = dict(self.counted), set(self.counted)
        self._began = self._durable = dict(self.counted)
