"""The worker: one model, one thread. Whatever touches a large vector or takes long happens here, never on the event
loop.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from nervenet.broker.messages import Payload
from nervenet.models.aggregate import combine
from nervenet.models.model import LocalWork
from nervenet.models.rng import generator
from nervenet.models.weights import is_finite, sketch

from . import effects as e
from . import events as ev

if TYPE_CHECKING:
    from nervenet.models.site_model import SiteModel

    from ..federated.aggregator import Aggregator
    from ..federated.checkpoint_writer import CheckpointWriter
    from ..federated.client_worker import ClientWorker
    from ..gossip.worker import GossipWorker

Beside: TypeAlias = e.Combine | e.Merge | e.CopyPart
Job: TypeAlias = (
    e.Survey
    | e.ApplyAgreement
    | e.Train
    | e.Personalize
    | e.Fold
    | e.Checkpoint
    | e.SaveState
    | e.Mix
    | e.Evaluate
    | e.LoadWeights
    | Beside
    | e.Forget
)
Post: TypeAlias = Callable[[ev.Event], None]

Scale: TypeAlias = Literal["standard", "unit", "none"]

INLINE_SUM = 262_144  # bytes of all vectors together; the same for averaging them
INLINE_BYTES = 1 << 20  # below this, looking at every value (at most 50 us) costs less than a hop to another thread


class Worker:
    """Performs the heavy effects one after another in a daemon thread, and answers each with its event.

    Parameters
    ----------
    learner
        The model and its data; from `start` on, nobody else touches it while a job runs.
    node
        This node's name: part of the address of its batches.
    seed
        Of the run.
    scale
        How inputs are scaled: ``data.scale`` of the experiment.
    init
        ``"common"``: start from the weights that the seed gives to all; ``"own"``: keep those of a model that has been
        built already.
    sketches
        Whether an evaluation tells a 64-number projection of the weights, from which a monitor can compute distances.
    merger
        A coordinator's: does its folds.
    work
        A client's: does its tasks, and keeps what it carries from one to the next.
    personal
        A coordinator's: names of arrays that stay with the clients, which must be arrays of the model.
    memory
        A coordinator's: writes its checkpoints. Without one there is nothing to go on with, and nothing to lose.
    gossip
        A peer's: trains and mixes as its algorithm has it.
    """

    def __init__(
        self,
        site_model: SiteModel,
        *,
        node: str,
        seed: int,
        scale: Scale = "standard",
        init: str = "common",
        sketches: bool = False,
        merger: Aggregator | None = None,
        work: ClientWorker | None = None,
        personal: Sequence[str] = (),
        memory: CheckpointWriter | None = None,
        gossip: GossipWorker | None = None,
    ) -> None:
        if init not in ("common", "own"):
            raise ValueError(f'init must be "common" or "own", found {init!r}')
        self.site_model = site_model
        self.scale = scale
        self.init = init
        self.node = node
        self.seed = seed
        self.sketches = sketches
        self.merger = merger
        self.work = work
        self.personal = tuple(personal)
        self.memory = memory
        self.gossip = gossip
        self._jobs: SimpleQueue[Job | Callable[[], None] | None] = SimpleQueue()
        self._checks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._writes: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._writer: threading.Thread | None = None
        self._stop = threading.Event()
        self._unwanted = threading.Event()  # beside it: nobody takes what is done so far
        self._post: Post = _nowhere
        self._threads: list[threading.Thread] = []
        self._inspector: threading.Thread | None = None

    def start(self, post: Post) -> None:
        """Begin to work; `post` is called from the worker thread with each answer."""
        self._post = post
        self._spawn(self._work, "trainer")

    def submit(self, job: Job) -> None:
        """Queue a job; returns at once."""
        if isinstance(job, (e.Train, e.Personalize)):
            self._stop.clear()
            self._unwanted.clear()
        if isinstance(job, e.Checkpoint) and self.memory is not None:
            job = self.memory.complete(job)
        if isinstance(job, e.SaveState) and self.gossip is not None and self.gossip.states is not None:
            job = self.gossip.states.complete(job)
        self._jobs.put(job)

    def when_done(self, then: Callable[[], None]) -> None:
        """Call `then` in the worker thread as soon as all that was submitted so far is done."""
        self._jobs.put(then)

    def abandon(self, *, keep: bool = False) -> None:
        """Let the training that runs stop at its next mini-batch; `keep`: and hand out what it has, where it may."""
        if not keep:
            self._unwanted.set()
        self._stop.set()

    def inspect(self, array: Any, payload: Payload | None, then: Callable[[Any, str | None], None]) -> None:
        """`unpack` a large array beside a training that may be running; `then` is called in that thread."""
        self._aside(lambda: then(*self.unpack(array, payload)))

    def beside(self, job: Beside) -> None:
        """Queue a job that touches no model, to be done while one may be training; returns at once."""

        def do() -> None:
            if (answer := self.answer(job)) is not None:
                self._post(answer)

        self._aside(do)

    def _aside(self, work: Callable[[], None]) -> None:
        if self._inspector is None:
            self._inspector = self._spawn(self._inspect, "inspector")
        self._checks.put(work)

    def unpack(self, array: Any, payload: Payload | None) -> tuple[Any, str | None]:
        """Give the vector that came, decoded if it was encoded, and what is wrong with its values (None: nothing)."""
        if payload is not None and payload.encoding:
            if self.gossip is not None and not self.site_model.built:
                return array, None  # came early, and is decoded when it is wanted
            try:
                array = self._decoded(array, payload)
            except ValueError as error:
                return None, f"cannot be decoded as {payload.encoding}: {error}"
        return array, flaw_of(array)

    def _decoded(self, array: Any, payload: Payload) -> Any:
        from nervenet.models.compress import parse

        if not self.site_model.built:
            raise ValueError("no layout is settled yet")
        layout = self.site_model.layout
        return parse(payload.encoding).decode(array, layout.size, layout.dtype, parts=len(payload.parts))

    def close(self) -> None:
        """Let the threads end; they are daemons, so nobody waits for a fit that goes on."""
        self.abandon()
        self._jobs.put(None)
        self._checks.put(None)
        self._writes.put(None)

    def _spawn(self, target: Callable[[], None], name: str) -> threading.Thread:
        thread = threading.Thread(target=target, name=f"{name} {self.node}", daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _inspect(self) -> None:
        while (work := self._checks.get()) is not None:
            work()

    def _write(self) -> None:
        while (work := self._writes.get()) is not None:
            work()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if callable(job):
                job()
                continue
            answer = self.answer(job)
            if answer is not None:
                self._post(answer)

    def answer(self, job: Job) -> ev.Event | None:
        """Do one job here and now; whatever the model raises becomes a named event."""
        try:
            return self.perform(job)
        except BaseException as error:  # noqa: BLE001  (a SystemExit of a user's model, too, must not end the thread unsaid)
            number, attempt = getattr(job, "round", 0), getattr(job, "attempt", 0)
            return ev.WorkFailed(kind_of(job), number, attempt, f"{type(error).__name__}: {error}")

    def perform(self, job: Job) -> ev.Event | None:
        """Do one job here and now, and give its answer; raises whatever the model raises."""
        match job:
            case e.Train():
                return self._train(job)
            case e.Personalize():
                if self.work is None:
                    raise RuntimeError("only a client's worker makes a model of its own")
                return self.work.personalize(job, self._stop.is_set)
            case e.Fold():
                if self.merger is None:
                    raise RuntimeError("only a coordinator's worker folds")
                return self.merger.fold(job)
            case e.Checkpoint():
                return ev.Saved(job.round) if self.memory is None else self.memory.write(job)
            case e.SaveState():
                return self._keep(job)
            case e.Mix() | e.Forget():
                return self._mix_or_forget(job)
            case e.Combine(number, bodies, coefficients):
                return ev.Combined(number, _finite(combine(bodies, coefficients), "the sum of models"))
            case e.Merge(number, mine, theirs, shares, part):
                from ..gossip.asynchronous.model_merge import merged

                return ev.Combined(number, _finite(merged(mine, theirs, shares, part), "the merged model"))
            case e.CopyPart(number, body, part):
                from ..gossip.asynchronous.model_merge import taken

                return ev.Combined(number, taken(body, part))
            case e.Evaluate(number, which, body):
                return ev.Evaluated(number, which, self._evaluate(which, body))
            case e.Survey():
                statistics = self.site_model.statistics()
                return ev.Surveyed(statistics.header(), statistics.vector())
            case e.ApplyAgreement(surveys, agreement, number):
                return self._settle(surveys, agreement, number)
            case e.LoadWeights(body):
                (self.site_model.set_weights if self.gossip is None else self.gossip.adopt)(body)
                return None

    def _mix_or_forget(self, job: e.Mix | e.Forget) -> ev.Mixed | None:
        if isinstance(job, e.Forget):
            if self.gossip is not None:
                self.gossip.forget(job.peer)
            return None
        if self.gossip is not None:
            return self.gossip.mix(job)
        mixed = _finite(combine(job.bodies, job.coefficients), "the mixture")
        self.site_model.set_weights(mixed)
        return ev.Mixed(job.round, mixed)

    def _keep(self, job: e.SaveState) -> ev.Event | None:
        """Have the writer write what there is now: no array of it is changed any more, training makes new ones."""
        gossip = self.gossip
        if gossip is None or gossip.states is None:
            raise RuntimeError("only a peer's worker with a folder keeps states")
        states, kept, done = gossip.states, gossip.kept(), threading.Event()

        def write() -> None:
            try:
                states.write(job, kept)
                self._post(ev.Saved(job.round))
            except Exception as error:  # noqa: BLE001  (told by name; the run goes on without it)
                self._post(ev.WorkFailed(kind_of(job), job.round, 0, f"{type(error).__name__}: {error}"))
            finally:
                done.set()

        if self._writer is None:
            self._writer = self._spawn(self._write, "writer")
        self._writes.put(write)
        if job.last:
            done.wait()
        return None

    def _train(self, job: e.Train) -> ev.Trained:
        if self.gossip is not None:
            return self.gossip.train(job, self._stop.is_set)
        if self.work is not None:
            return self.work.train(job, self._stop.is_set, self._unwanted.is_set)
        if job.body is not None:
            self.site_model.set_weights(job.body)
        metrics: dict[str, float] = {}
        if job.evaluate:
            metrics = {f"holdout_{k}": v for k, v in self.site_model.evaluate("holdout").items()}
        settings = dict(job.settings)
        clock = settings.pop("clock", None)
        if clock is not None:  # of a model that walks
            self.site_model.schedule_step = clock
        work = LocalWork(**settings)
        before = self.site_model.schedule_step
        report = self.site_model.train(work, generator(self.seed, self.node, job.round, "batches"), self._stop.is_set)
        after = self.site_model.schedule_step
        steps = report.steps if before is None or after is None else after - before
        if report.cancelled:
            return ev.Trained(job.round, job.attempt, None, report.examples, metrics, cancelled=True)
        body = _finite(
            self.site_model.get_weights(), "the weights after training (a smaller training.learning_rate may help)"
        )
        metrics |= {"loss": report.loss, "steps": steps}
        return ev.Trained(job.round, job.attempt, body, report.examples, finite(metrics))

    def _evaluate(self, which: str, body: ev.Body) -> Mapping[str, Any]:
        if body is not None:
            (self.site_model if self.work is None else self.work).set_weights(body)
        metrics: dict[str, Any] = finite(self.site_model.evaluate("test" if which == "test" else "holdout"))
        if self.sketches:
            metrics["sketch"] = sketch(self.site_model.get_weights(), self.seed)
        return metrics

    def _settle(self, surveys: Mapping[str, Any], given: Mapping[str, Any] | None, number: int) -> ev.ModelReady:
        from nervenet.models.moments import IncompatibleSites
        from nervenet.models.preprocessing import Preprocessing
        from nervenet.models.site_statistics import SiteStatistics, agree

        past = None
        if number and self.gossip is not None and self.gossip.states is not None:
            past = self.gossip.states.read(number)
            given = past.record["agreement"]
        if given is not None:
            agreement = Preprocessing.from_dict(given)
        else:
            sites: dict[str, SiteStatistics] = {}
            for name, (fields, body) in surveys.items():
                try:
                    sites[name] = SiteStatistics.from_parts(fields, body)
                except IncompatibleSites as error:
                    raise IncompatibleSites(f"site {name}: {error}") from error
            agreement = agree(sites, scale=self.scale)
        layout = self.site_model.build(agreement, self.seed, keep_weights=self.init == "own")
        payload = Payload(rule=self.site_model.rule, layout=layout.hash, dtype=layout.dtype, length=layout.size)
        if self.personal:
            from nervenet.models.local.personal import personal_names

            personal_names(layout, self.personal)
        weights = self.site_model.get_weights()
        if self.gossip is not None:
            self.gossip.begin(
                weights, weights if self.site_model.common_weights is None else self.site_model.common_weights
            )
            if past is not None:
                self.gossip.restore(past.arrays)
                weights = self.site_model.get_weights()
        sizes = tuple(math.prod(shape) for shape in layout.shapes)
        outgoing = self.merger.begin(weights) if self.merger else weights
        return ev.ModelReady(agreement.to_dict(), payload, weights, outgoing, sizes, number)


def flaw_of(array: Any) -> str | None:
    """Say what is wrong with the values of an array that came in, or None."""
    return None if is_finite(array) else "values must be finite, found NaN or infinity"


def finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Leave out what is not a finite number: nobody can average it, and JSON cannot say it."""
    return {k: float(v) for k, v in metrics.items() if math.isfinite(v)}


def _finite(vector: Any, what: str) -> Any:
    if not is_finite(vector):
        raise ArithmeticError(f"{what} must be finite, found NaN or infinity")
    return vector


def kind_of(job: e.Effect) -> str:
    """Return the name of an effect as `WorkFailed` has it: ``apply agreement`` for `ApplyAgreement`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(job).__name__).lower()


def _nowhere(_event: ev.Event) -> None:
    raise RuntimeError("a trainer must be started before it works")
