"""Lanes of a node's work: the calls of one are made one by one, off the event loop.

A node by itself has a thread a lane. Where many nodes share a process they share a few threads: those of one
interpreter gain nothing by a thread each, and a change from one to another costs as much as a small model's training.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Protocol, TypeAlias

from nervenet.models.parallel import cores

Call: TypeAlias = Callable[[], None]
Job: TypeAlias = Callable[[], Call | None]

FEWEST, MOST = 2, 8  # threads that nodes share, as the machine has processors
PATIENCE_S = 0.25  # without a thread for any lane that waits, until there is one more


class Lane(Protocol):
    """Makes calls one by one; what a call returns is called next, when the lane may be idle again."""

    @property
    def idle(self) -> bool:
        """Whether all that was put here is done."""
        ...

    def put(self, call: Job) -> None: ...

    def close(self) -> None:
        """Take note that nothing more is put here; what was is still done."""
        ...


class OwnLane:
    """A lane with a thread of its own."""

    def __init__(self, name: str) -> None:
        self.thread: threading.Thread | None = None
        self._name = name
        self._calls: SimpleQueue[Job | None] = SimpleQueue()
        self._put = self._done = 0  # calls; each is counted by one thread alone

    @property
    def idle(self) -> bool:
        return self._put == self._done

    def put(self, call: Job) -> None:
        self._put += 1
        if self.thread is None:
            self.thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self.thread.start()
        self._calls.put(call)

    def close(self) -> None:
        self._calls.put(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            then = call()
            self._done += 1
            if then is not None:
                then()
            call = then = None  # with the vectors that they hold, or these would be there until the next call has come


class SharedLane:
    """A lane whose calls are made by any of some threads, one after the other all the same."""

    def __init__(self, threads: LaneThreads) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._calls: deque[Job] = deque()
        self._due = False  # whether it waits for a thread, or has one
        self._put = self._done = 0

    @property
    def idle(self) -> bool:
        return self._put == self._done

    def put(self, call: Job) -> None:
        self._put += 1
        with self._lock:
            self._calls.append(call)
            if self._due:
                return
            self._due = True
        try:
            self._threads.serve(self)
        except RuntimeError:  # it has no thread, and gets none
            with self._lock:
                self._calls.pop()
                self._due = False
            self._put -= 1
            raise

    def close(self) -> None:
        """Do nothing: the threads are those of others, too."""

    def turn(self) -> None:
        """Make one call, and wait for a thread again if there are more: no lane keeps one from the others."""
        with self._lock:
            call = self._calls.popleft()
        try:
            then = call()
            self._done += 1
            if then is not None:
                then()
        finally:
            with self._lock:
                self._due = again = bool(self._calls)
            if again:  # and not whether it is due by now: who has put a call since then has had it served
                self._threads.serve(self)


class LaneThreads:
    """Threads for the lanes of many nodes: `usual` of them, started as they are needed.

    A call may take for ever. When no lane that waits has been given a thread for `patience_s`, there is one more, which
    ends when nothing waits: so a node whose training hangs keeps no other from its own.
    """

    def __init__(self, name: str, usual: int, patience_s: float = PATIENCE_S) -> None:
        self._name, self._usual, self._patience_s = name, usual, patience_s
        self._ready: SimpleQueue[SharedLane | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._count = 0  # threads,
        self._idle = 0  # and those of them that wait for a lane
        self._waiting = 0  # lanes that wait for a thread
        self._given = 0  # turns so far
        self._watched = False
        self._over = threading.Event()

    def serve(self, lane: SharedLane) -> None:
        """Have a lane given its turn, once. Raises RuntimeError if the system gives no thread, and there is none."""
        with self._lock:
            self._waiting += 1
            if self._waiting > self._idle:
                try:
                    self._provide()
                except RuntimeError:
                    if not self._count:
                        self._waiting -= 1
                        raise
        self._ready.put(lane)

    def _provide(self) -> None:
        """Start one more thread for what waits, or have it watched whether one is needed."""
        if self._count < self._usual:
            self._start()
        elif not self._watched and not self._over.is_set():
            threading.Thread(target=self._watch, name=f"{self._name}, watched", daemon=True).start()
            self._watched = True

    def close(self) -> None:
        """Let all threads end, each after its call."""
        self._over.set()
        for _ in range(self._count):
            self._ready.put(None)

    def _start(self) -> None:
        threading.Thread(target=self._run, name=f"{self._name} {self._count + 1}", daemon=True).start()
        self._count += 1

    def _run(self) -> None:
        while True:
            with self._lock:
                if self._count > self._usual and not self._waiting:
                    self._count -= 1
                    return
                self._idle += 1
            lane = self._ready.get()
            with self._lock:
                self._idle -= 1
                if lane is None and self._waiting:  # what was put before the end is still done
                    self._ready.put(None)
                    continue
                if lane is None:
                    self._count -= 1
                    return
                self._waiting -= 1
                self._given += 1
            try:
                lane.turn()
            except BaseException:
                self._broken()
                raise  # for what the process does with such errors

    def _broken(self) -> None:
        with self._lock:
            self._count -= 1
            if self._waiting:
                with suppress(RuntimeError):
                    self._start()

    def _watch(self) -> None:
        given = -1
        while not self._over.wait(self._patience_s):
            with self._lock:
                if not self._waiting:
                    self._watched = False
                    return
                if self._given == given:
                    with suppress(RuntimeError):  # the system gives none now
                        self._start()
                given = self._given


class HostedThreads:
    """The threads of all nodes of a process: for what a node does one by one, for what is concurrent, for writing."""

    def __init__(self) -> None:
        usual = usual_threads()
        self.jobs = LaneThreads("worker", usual)
        self.concurrent = LaneThreads("concurrent", usual)
        self.writer = LaneThreads("writer", usual)

    def close(self) -> None:
        for each in (self.jobs, self.concurrent, self.writer):
            each.close()


def usual_threads() -> int:
    """Return how many threads the nodes of a process share, for each kind of work."""
    return min(MOST, max(FEWEST, cores()))


def lanes_of(name: str, hosted: HostedThreads | None) -> tuple[Lane, Lane, Lane]:
    """Return a node's lanes: for what it does one by one, for what is concurrent with that, for writing."""
    if hosted is None:
        return OwnLane(f"worker {name}"), OwnLane(f"concurrent {name}"), OwnLane(f"writer {name}")
    return SharedLane(hosted.jobs), SharedLane(hosted.concurrent), SharedLane(hosted.writer)
