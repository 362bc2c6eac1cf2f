"""The worker of a node: a thread that performs its heavy effects one by one, and two for what is concurrent with it.

Whatever touches a large vector or takes long happens here, never on the event loop. What an effect means to a role is
the role's own affair (`RoleWorker`); threads, cancellation, the choice of what is done at once, and failures by name
are the same for all. What takes less than the hop to a thread is done on the loop: see `submit`.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from queue import SimpleQueue
from typing import Any, Protocol, TypeAlias

from msgspec.structs import replace
from nervenet.broker.event_log import attributes
from nervenet.broker.messages import Payload
from nervenet.models.new_vector import Lend, made_in

from . import effects as e
from . import events as ev
from .outgoing import Share, shared

_SENT = (e.Train, e.Fold, e.Mix, e.Combine, e.CopyPart, e.Reduce, e.Gather)  # what comes of them is sent, or may be
INLINE_SUM = 262_144  # bytes of all vectors together; see `Worker.submit`
INLINE_BYTES = 1 << 20  # below this, looking at every value (at most 50 us) costs less than a hop to another thread

Call: TypeAlias = Callable[[], None]

HOP_S = 5e-4  # the longest training on the loop: twice what the hop to a thread and back costs on a busy machine
LAST = 8  # trainings that are looked at
WAITED_S = 2e-3  # who takes longer each time, whatever the processor spends on it, waits for something
LONG_S, STOPPED_S = 5e-3, 0.1

_MAY_BE_SMALL = (e.Fold, e.Mix, e.Combine, e.Merge, e.CopyPart, e.Split, e.Reduce, e.Gather)
_TRAININGS = (e.Train, e.TrainAlone, e.Personalize)
_CONCURRENT = (e.Combine, e.Merge, e.CopyPart, e.KeepRange)

Post: TypeAlias = Callable[[ev.Event], None]

_logger = logging.getLogger(__name__)


class Cancellation:
    """Whether the work that runs is to stop; asked between two mini-batches."""

    def __init__(self) -> None:
        self._requested = threading.Event()
        self._discarded = threading.Event()

    def request(self, *, keep: bool = False) -> None:
        """Ask for the end; `keep`: and for what is done so far."""
        if not keep:
            self._discarded.set()
        self._requested.set()

    def reset(self) -> None:
        if self._requested.is_set():
            self._requested.clear()
            self._discarded.clear()

    def requested(self) -> bool:
        return self._requested.is_set()

    def discarded(self) -> bool:
        """Whether nobody takes what is done so far."""
        return self._discarded.is_set()


Deferred: TypeAlias = Callable[[], ev.Event]
"""The rest of an effect that only writes what no later effect changes: it is done concurrently with those."""


class RoleWorker(Protocol):
    def snapshot(self, effect: e.Effect) -> e.Effect:
        """Return the effect with all that may be another by the time it is performed; called on the event loop."""
        ...

    def perform(self, effect: e.Effect, cancellation: Cancellation) -> ev.Event | Deferred | None: ...

    def unpack(self, array: Any, payload: Payload | None) -> tuple[Any, str | None]: ...


class Worker:
    """Has a role perform its heavy effects in daemon threads named after the node; answers each with its event.

    Where something raises, only the log has the traceback; `name` and `run` are those of its lines.
    """

    def __init__(self, role: RoleWorker, name: str = "", run: str = "") -> None:
        self.role = role
        self._known = {"run": run, "node": name}
        self.cancellation = Cancellation()
        self.share: Share = lambda vector: vector  # puts a vector where it is sent from
        self.lend: Lend = lambda _: None  # has one made there
        self._post: Post = _not_started
        self._jobs = Lane(f"worker {name}")
        self._concurrent = Lane(f"concurrent {name}")
        self._writer = Lane(f"writer {name}")
        self._pace = Pace() if getattr(role, "trains_at_once", False) else None

    def start(self, post: Post) -> None:
        """Begin to work; `post` is called from the threads with each answer."""
        self._post = post

    def submit(self, effect: e.Effect) -> ev.Event | None:
        """Queue an effect and return None at once, or perform one that is small, and return its answer.

        Averaging 8 x 5,000 float32 takes 15 us, the hop to the thread and back 100 us. The thread is idle whenever a
        mix is asked for, and the others that may be done at once touch nothing that its jobs do. A training is done at
        once, too, where the role admits it, the thread is idle and trainings have proven to be as short (`Pace`).
        """
        if isinstance(effect, _MAY_BE_SMALL) and _bytes(effect) <= INLINE_SUM:
            return self.answer(effect)
        if isinstance(effect, _TRAININGS):
            self.cancellation.reset()
        job = self.role.snapshot(effect)
        if self._pace is not None and isinstance(effect, e.Train):
            if self._pace.at_once and self._jobs.idle:
                return self._pace.timed(partial(self.answer, job), at_once=True)
            timed = partial(self._pace.timed, partial(self.answer, job), at_once=False)
            self._jobs.put(lambda: self._posting(timed()))
            return None
        (self._concurrent if isinstance(effect, _CONCURRENT) else self._jobs).put(
            lambda: self._posting(self.answer(job))
        )
        return None

    def when_done(self, then: Callable[[], None]) -> None:
        """Call `then` in the thread as soon as all that was submitted so far is done."""
        self._jobs.put(then)

    def unpack(self, arrived: ev.Arrived) -> ev.Arrived | None:
        """Return the event with its array decoded and looked at, or None: a large one is posted when that is done."""
        if arrived.body.nbytes <= INLINE_BYTES:
            return self._unpacked(arrived)
        self._concurrent.put(lambda: self._post(self._unpacked(arrived)))
        return None

    def _unpacked(self, arrived: ev.Arrived) -> ev.Arrived:
        body, flaw = self.role.unpack(arrived.body, getattr(arrived.message, "payload", None))
        if flaw is None and body is arrived.body:
            return arrived
        return replace(arrived, body=body, flaw=flaw)

    def close(self) -> None:
        self.cancellation.request()
        for lane in (self._jobs, self._concurrent, self._writer):
            lane.close()

    def answer(self, effect: e.Effect) -> ev.Event | None:
        """Perform one effect here and now; whatever the model raises becomes a named event."""
        try:
            answer = self._performed(effect)
        except BaseException as error:  # (a SystemExit of a user's model, too, must not end the thread unsaid)
            if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
                raise  # Ctrl-C, while this is done on the loop: not the model's
            return self._failed(effect, error)
        if callable(answer):
            self._write(effect, answer)
            return None
        return None if answer is None else shared(answer, self.share)

    def _performed(self, effect: e.Effect) -> ev.Event | Deferred | None:
        if not isinstance(effect, _SENT):
            return self.role.perform(effect, self.cancellation)
        with made_in(self.lend):
            return self.role.perform(effect, self.cancellation)

    def _failed(self, effect: e.Effect, error: BaseException) -> ev.WorkFailed:
        kind, number, attempt = kind_of(effect), getattr(effect, "round", 0), getattr(effect, "attempt", 0)
        known = attributes({**self._known, "round": number, "attempt": attempt})
        _logger.warning("%s failed", kind, exc_info=error, extra=known)
        return ev.WorkFailed(kind, number, attempt, f"{type(error).__name__}: {error}")

    def _posting(self, answer: ev.Event | None) -> Call | None:
        return None if answer is None else partial(self._post, answer)

    def _write(self, effect: e.Effect, deferred: Deferred) -> None:
        done = threading.Event()

        def write() -> None:
            try:
                try:
                    answer = deferred()
                except Exception as error:  # noqa: BLE001  (becomes an event; the run goes on without it)
                    answer = self._failed(effect, error)
                self._post(answer)
            finally:
                done.set()  # whatever happens: the worker thread may be waiting

        self._writer.put(write)
        if isinstance(effect, e.SaveState) and effect.last:
            done.wait()


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


class Lane:
    """A thread that makes calls one by one; what a call returns is called next, when the thread is idle again."""

    def __init__(self, name: str) -> None:
        self.thread: threading.Thread | None = None
        self._name = name
        self._calls: SimpleQueue[Callable[[], Call | None] | None] = SimpleQueue()
        self._put = self._done = 0  # calls; each is counted by one thread alone

    @property
    def idle(self) -> bool:
        """Whether all that was put here is done."""
        return self._put == self._done

    def put(self, call: Callable[[], Call | None]) -> None:
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


def _bytes(
    effect: e.Fold | e.Mix | e.Combine | e.Merge | e.CopyPart | e.Split | e.Reduce | e.Gather,
) -> int:
    bodies: Sequence[Any]
    match effect:
        case e.Split():  # which touches none of them
            bodies = []
        case e.Fold():
            bodies = [contribution.body for contribution in effect.contributions]
        case e.Merge(_, mine, theirs):
            bodies = [mine, theirs]
        case e.CopyPart(_, body):
            bodies = [body]
        case e.Mix() | e.Combine() | e.Reduce() | e.Gather():
            bodies = effect.bodies
    return sum(body.nbytes for body in bodies)


def kind_of(effect: e.Effect) -> str:
    """Return the name of an effect as `WorkFailed` has it: ``apply agreement`` for `ApplyAgreement`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(effect).__name__).lower()


def _not_started(_event: ev.Event) -> None:
    raise RuntimeError("a worker must be started before it works")
