"""The worker of a node: a lane of heavy effects, performed one by one, and two of what is concurrent with them.

Whatever touches a large vector or takes long happens here, never on the event loop. What an effect means to a role is
the role's own affair (`RoleWorker`); threads, cancellation, the choice of what is done at once, and failures by name
are the same for all. What takes less than the hop to a thread is done on the loop: see `submit`.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeAlias

from msgspec.structs import replace
from nervenet.broker.event_log import attributes
from nervenet.broker.messages import Payload
from nervenet.models.new_vector import Lend, made_in

from . import effects as e
from . import events as ev
from .lanes import Call, HostedThreads, lanes_of
from .outgoing import Share, shared
from .pace import Pace

_SENT = (e.Train, e.Fold, e.Mix, e.Combine, e.CopyPart, e.Reduce, e.Gather)  # what comes of them is sent, or may be
INLINE_SUM = 262_144  # bytes of all vectors together; see `Worker.submit`
INLINE_BYTES = 1 << 20  # below this, looking at every value (at most 50 us) costs less than a hop to another thread

_MAY_BE_SMALL = (e.Fold, e.Mix, e.Combine, e.Merge, e.CopyPart, e.Split, e.Reduce, e.Gather)
_TRAININGS = (e.Train, e.TrainAlone, e.Personalize)
_CONCURRENT = (e.Combine, e.Merge, e.CopyPart, e.KeepRange, e.DropVector)

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
    """Has a role perform its heavy effects in daemon threads; answers each with its event.

    The threads are the node's own, and named after it, or `threads` that the nodes of a process share. Where something
    raises, only the log has the traceback; `name` and `run` are those of its lines.
    """

    def __init__(self, role: RoleWorker, name: str = "", run: str = "", threads: HostedThreads | None = None) -> None:
        self.role = role
        self._known = {"run": run, "node": name}
        self.cancellation = Cancellation()
        self.share: Share = lambda vector: vector  # puts a vector where it is sent from
        self.lend: Lend = lambda _: None  # has one made there
        self._post: Post = _not_started
        self._jobs, self._concurrent, self._writer = lanes_of(name, threads)
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
