"""Which processes have a place at which worker, and what is done when a worker is lost. Pure.

A process is asked for once, and may have several places one after another: the engine gives it another where a worker
was lost. What it is to do is delivered to the place, and to none before all processes have one: the nodes wait for each
other from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from ...runtime.printable import listed

SAY_FIRST_S = 2.0
SAY_EVERY_S = 15.0
SHOWN = 4


@dataclass(frozen=True)
class Place:
    """One that a process has: at a worker, by the token that the worker has made for it."""

    token: str
    worker: str


@dataclass(frozen=True)
class Deliver:
    """Tell a place what its process is to do."""

    number: int
    place: Place


@dataclass(frozen=True)
class Release:
    """Give up what was asked of the engine for a process, and the place that it has, if any."""

    number: int
    place: Place | None


@dataclass(frozen=True)
class Exited:
    """A process has ended, and has no other place: by its exit code, or in words."""

    number: int
    how: int | str


@dataclass(frozen=True)
class Say:
    """What people should know."""

    reason: str


Effect: TypeAlias = Deliver | Release | Exited | Say


@dataclass
class _Process:
    nodes: tuple[str, ...]
    since: float  # when it began to wait for a place
    place: Place | None = None
    lost: str = ""  # the worker that it was at before
    ended: bool = False


@dataclass
class Placing:
    """The processes of one run at the workers of one engine.

    Parameters
    ----------
    deadline_s
        How long a process may wait for a place.
    version
        Of this program: a worker must have the same.
    reachable
        Returns why a worker could not reach this launcher; empty: it can.
    finished
        Whether nothing is missing of some nodes.
    """

    deadline_s: float
    version: str
    reachable: Callable[[str], str] = lambda _: ""
    finished: Callable[[tuple[str, ...]], bool] = lambda _: False
    begun: bool = False
    _processes: dict[int, _Process] = field(default_factory=dict)
    _said_at: float | None = None

    def wanted(self, number: int, nodes: tuple[str, ...], now: float) -> None:
        """Note that a process was asked for."""
        self._processes[number] = _Process(nodes, now)
        self._said_at = self._said_at or now + SAY_FIRST_S - SAY_EVERY_S

    @property
    def waiting(self) -> tuple[int, ...]:
        """The processes without a place."""
        return tuple(n for n, process in self._processes.items() if process.place is None and not process.ended)

    def place_of(self, number: int) -> Place | None:
        process = self._processes.get(number)
        return None if process is None or process.ended else process.place

    def workers(self) -> set[str]:
        """Return those that have a process now."""
        return {p.place.worker for p in self._processes.values() if p.place is not None and not p.ended}

    def announced(self, number: int, place: Place, version: str) -> list[Effect]:
        """A place is there for a process; its worker has that version."""
        process = self._processes.get(number)
        if process is None or process.ended or self.finished(process.nodes):
            return [Release(number, place)]
        wrong = self.reachable(place.worker)
        if version != self.version:
            wrong = f"it has nervenet {version}, and this is {self.version}"
        if wrong:
            process.ended = True
            return [Release(number, place), Exited(number, f"placed at worker {place.worker}, and {wrong}")]
        again = process.lost
        process.place, process.lost = place, ""
        if not self.begun:
            return self._begin()
        said = f"{listed(process.nodes, SHOWN)}: started again at worker {place.worker}, since {again} is gone"
        return [*([Say(said)] if again else []), Deliver(number, place)]

    def _begin(self) -> list[Effect]:
        """Deliver everything, once nobody waits."""
        if self.waiting:
            return []
        self.begun = True
        return [
            Deliver(number, process.place)
            for number, process in self._processes.items()
            if process.place is not None and not process.ended
        ]

    def worker_gone(self, worker: str, now: float) -> list[Effect]:
        """A worker is lost: its processes wait for another place, unless nothing is missing of their nodes."""
        effects: list[Effect] = []
        waiting: list[str] = []
        for number, process in self._processes.items():
            if process.ended or process.place is None or process.place.worker != worker:
                continue
            if self.finished(process.nodes):
                process.ended = True
                effects += [Release(number, None), Exited(number, 0)]
                continue
            process.place, process.lost, process.since = None, worker, now
            waiting += process.nodes
        if waiting:
            who = listed(waiting, SHOWN)
            effects.append(Say(f"worker {worker} is gone: {who} to start again where there is a place"))
            self._said_at = now
        return effects

    def ended(self, number: int, how: int | str) -> list[Effect]:
        """A process has ended at its place, or the engine has given it up."""
        process = self._processes.get(number)
        if process is None or process.ended:
            return []
        process.ended = True
        return [Exited(number, how)]

    def tick(self, now: float, there: Sequence[int]) -> list[Effect]:
        """Return what is due; `there` are the threads of each worker that the engine has."""
        effects: list[Effect] = []
        for number in self.waiting if self.begun else ():
            process = self._processes[number]
            if now - process.since >= self.deadline_s:
                process.ended = True
                how = f"lost with worker {process.lost}, and no other took it within {self.deadline_s:g} s"
                effects += [Release(number, None), Exited(number, how)]
        if self.waiting and self._said_at is not None and now >= self._said_at + SAY_EVERY_S:
            self._said_at = now
            effects.append(Say(self.lacking(there)))
        return effects

    def lacking(self, there: Sequence[int]) -> str:
        """Return who waits for what."""
        waiting, asked = len(self.waiting), sum(not process.ended for process in self._processes.values())
        return f"{waiting} of {asked} processes wait for a worker; the engine has {workers_in_words(there)}"


def workers_in_words(threads: Sequence[int]) -> str:
    """Return how many workers there are, and their threads."""
    count, total = len(threads), sum(threads)
    return "none" if not count else f"{count} worker{'s' * (count != 1)} with {total} thread{'s' * (total != 1)}"


def shared_threads(processes: int, threads: Sequence[int]) -> str:
    """Return what to say where processes have to share the workers' threads; empty: each has one."""
    if not threads or processes <= sum(threads):
        return ""
    return f"{processes} processes share {workers_in_words(threads)}: a round takes as long as its slowest worker"
