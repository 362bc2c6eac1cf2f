"""The worker: effects are answered in order from a daemon thread, failures by name, and nobody waits for a fit."""

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest
from nervenet.broker.messages import Payload, Update
from nervenet.nodes.federated.strategies import Contribution
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.lanes import HostedThreads
from nervenet.nodes.runtime.pace import HOP_S, LAST, LONG_S, STOPPED_S, Pace
from nervenet.nodes.runtime.worker import INLINE_BYTES, INLINE_SUM, Cancellation, Deferred, Worker

PATIENCE_S = 60.0


class Role:
    """Performs what a test says; a training goes on until it is stopped."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.performed: list[tuple[e.Effect, str]] = []
        self.writes: Callable[[], ev.Event] = lambda: ev.Saved(1)

    def snapshot(self, effect: e.Effect) -> e.Effect:
        return e.Checkpoint(effect.round, "vectors", {}) if isinstance(effect, e.Checkpoint) else effect

    def perform(self, effect: e.Effect, cancellation: Cancellation) -> ev.Event | Deferred | None:
        self.thread = threading.current_thread()
        self.performed.append((effect, self.thread.name))
        match effect:
            case e.Train(number, attempt):
                while not cancellation.requested():
                    self.entered.set()
                return ev.Trained(number, attempt, None, 0, {}, cancelled=cancellation.discarded())
            case e.Evaluate(number, which):
                return ev.Evaluated(number, which, {})
            case e.Combine(number, bodies):
                return ev.Combined(number, sum(bodies))
            case e.SaveState():
                return self.writes
            case e.LoadWeights() | e.Checkpoint():
                return None
        raise SystemExit("no")

    def unpack(self, array: Any, payload: Payload | None) -> tuple[Any, str | None]:
        return 2 * array, None if payload is None else "odd"


Answers = SimpleQueue[ev.Event]


@pytest.fixture
def role() -> Role:
    return Role()


@pytest.fixture(params=["own threads", "shared threads"])
def worker(role: Role, request: pytest.FixtureRequest) -> Iterator[Worker]:
    shared = HostedThreads() if request.param == "shared threads" else None
    one = Worker(role, "a", threads=shared)
    yield one
    one.close()
    if shared is not None:
        shared.close()


@pytest.fixture
def answers(worker: Worker) -> Answers:
    queue: Answers = SimpleQueue()
    worker.start(queue.put)
    return queue


TRAIN = e.Train(1, 2, None, {})


def test_effects_are_answered_in_order_from_a_daemon_thread(worker: Worker, role: Role, answers: Answers) -> None:
    assert worker.submit(e.Evaluate(1, "test")) is None
    worker.submit(e.Survey())
    worker.submit(e.LoadWeights(None))
    worker.submit(e.Evaluate(3, "test"))
    kinds = [type(answers.get(timeout=PATIENCE_S)) for _ in range(3)]
    assert kinds == [ev.Evaluated, ev.WorkFailed, ev.Evaluated], "and it goes on after a failure"
    assert {thread for _, thread in role.performed} <= {"worker a", "worker 1", "worker 2"}
    assert role.thread.daemon


def test_its_own_thread_is_named_after_it_and_ends_with_it(role: Role) -> None:
    worker, answers = Worker(role, "a"), Answers()
    worker.start(answers.put)
    worker.submit(e.Evaluate(1, "test"))
    answers.get(timeout=PATIENCE_S)
    assert role.thread.name == "worker a"
    worker.close()
    role.thread.join(PATIENCE_S)
    assert not role.thread.is_alive()


def test_whatever_is_raised_becomes_an_event_that_names_the_effect(worker: Worker) -> None:
    assert worker.answer(e.Survey()) == ev.WorkFailed("survey", 0, 0, "SystemExit: no")
    assert worker.answer(e.ApplyAgreement()) == ev.WorkFailed("apply agreement", 0, 0, "SystemExit: no")
    assert worker.answer(e.Fold(2, 1, None, ())) == ev.WorkFailed("fold", 2, 1, "SystemExit: no")


def test_the_log_has_the_traceback_and_whose_it_is(role: Role, caplog: pytest.LogCaptureFixture) -> None:
    failed = Worker(role, "client-1", "r").answer(e.Fold(3, 1, None, ()))
    (record,) = caplog.records
    assert (record.getMessage(), record.levelname) == ("fold failed", "WARNING")
    assert [getattr(record, key) for key in ("run", "node", "round", "attempt")] == ["r", "client-1", 3, 1]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], SystemExit)
    assert failed == ev.WorkFailed("fold", 3, 1, "SystemExit: no")


@pytest.mark.parametrize("keep", [False, True])
def test_a_cancelled_training_stops_and_the_next_one_runs(
    worker: Worker, role: Role, answers: Answers, *, keep: bool
) -> None:
    worker.submit(TRAIN)
    assert role.entered.wait(PATIENCE_S)
    worker.cancellation.request(keep=keep)
    assert answers.get(timeout=PATIENCE_S) == ev.Trained(1, 2, None, 0, {}, cancelled=not keep)
    role.entered.clear()
    worker.submit(e.Train(2, 0, None, {}))
    assert role.entered.wait(PATIENCE_S), "an old request does not stop it"
    assert not worker.cancellation.discarded()
    worker.close()
    assert isinstance(answers.get(timeout=PATIENCE_S), ev.Trained), "closing ends a training too"


def test_an_effect_is_completed_before_it_is_queued(worker: Worker, role: Role, answers: Answers) -> None:
    done = threading.Event()
    worker.submit(e.Checkpoint(3, "body", {}))
    worker.when_done(done.set)
    assert done.wait(PATIENCE_S)
    assert role.performed[0][0] == e.Checkpoint(3, "vectors", {})


def vectors(nbytes: int) -> list[np.ndarray]:
    return [np.ones(nbytes // 16), np.ones(nbytes // 16)]


def test_a_small_sum_is_answered_at_once(worker: Worker, role: Role, answers: Answers) -> None:
    answer = worker.submit(e.Combine(7, vectors(INLINE_SUM), (0.5, 0.5)))
    assert isinstance(answer, ev.Combined)
    assert role.performed[0][1] == threading.current_thread().name
    small = Contribution("a", vectors(INLINE_SUM)[0], None, 1)
    assert isinstance(worker.submit(e.Fold(1, 0, None, (small,))), ev.WorkFailed)


def test_a_large_sum_is_made_concurrently_with_training(worker: Worker, role: Role, answers: Answers) -> None:
    worker.submit(TRAIN)
    assert role.entered.wait(PATIENCE_S)
    assert worker.submit(e.Combine(7, vectors(2 * INLINE_SUM), (0.5, 0.5))) is None
    assert isinstance(answers.get(timeout=PATIENCE_S), ev.Combined)
    assert [thread.split()[0] for _, thread in role.performed] == ["worker", "concurrent"]


def arrived(nbytes: int) -> ev.Arrived:
    payload = Payload("abc", "float64", nbytes // 8)
    return ev.Arrived("b", Update(1, 0, 3, {}, None, payload), np.ones(nbytes // 8), None, nbytes)


def test_a_small_array_is_unpacked_at_once(worker: Worker) -> None:
    event = worker.unpack(arrived(INLINE_BYTES))
    assert event is not None
    assert (event.flaw, event.nbytes, event.body[0]) == ("odd", INLINE_BYTES, 2.0)


def test_a_large_array_is_unpacked_concurrently_with_training(worker: Worker, role: Role, answers: Answers) -> None:
    worker.submit(TRAIN)
    assert role.entered.wait(PATIENCE_S)
    assert worker.unpack(arrived(INLINE_BYTES + 8)) is None
    event = answers.get(timeout=PATIENCE_S)
    assert isinstance(event, ev.Arrived)
    assert event.body[0] == 2.0


def test_what_is_saved_is_written_concurrently_with_training(worker: Worker, role: Role, answers: Answers) -> None:
    worker.submit(e.SaveState(1, {}))
    worker.submit(TRAIN)
    assert answers.get(timeout=PATIENCE_S) == ev.Saved(1)
    assert role.entered.wait(PATIENCE_S)


def test_the_last_state_is_written_before_anything_else_is_done(worker: Worker, role: Role, answers: Answers) -> None:
    may_write = threading.Event()

    def write() -> ev.Event:
        assert may_write.wait(PATIENCE_S)
        return ev.Saved(4)

    role.writes = write
    worker.submit(e.SaveState(4, {}, last=True))
    worker.submit(e.Evaluate(4, "test"))
    may_write.set()
    assert [answers.get(timeout=PATIENCE_S) for _ in range(2)] == [ev.Saved(4), ev.Evaluated(4, "test", {})]


def test_a_state_that_cannot_be_written_is_a_failure_by_name(worker: Worker, role: Role, answers: Answers) -> None:
    def refuse() -> ev.Event:
        raise OSError("no space left on device")

    role.writes = refuse
    worker.submit(e.SaveState(4, {}))
    assert answers.get(timeout=PATIENCE_S) == ev.WorkFailed("save state", 4, 0, "OSError: no space left on device")


def test_a_worker_that_was_not_started_says_so() -> None:
    with pytest.raises(RuntimeError, match="must be started"):
        Worker(Role())._post(ev.Started())


def test_the_last_state_is_not_waited_for_when_its_writer_breaks(
    worker: Worker, role: Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    given: Answers = SimpleQueue()

    def post(event: ev.Event) -> None:
        if isinstance(event, ev.Saved):
            raise RuntimeError("the loop has gone")
        given.put(event)

    worker.start(post)
    worker.submit(e.SaveState(1, {}, last=True))
    worker.submit(e.Evaluate(2, "test"))
    assert given.get(timeout=PATIENCE_S) == ev.Evaluated(2, "test", {})


class Brief(Role):
    """One whose trainings take no time, and may be done on the loop."""

    trains_at_once = True

    def perform(self, effect: e.Effect, cancellation: Cancellation) -> ev.Event | Deferred | None:
        if isinstance(effect, e.Train):
            self.performed.append((effect, threading.current_thread().name))
            return ev.Trained(effect.round, effect.attempt, None, 0, {})
        return super().perform(effect, cancellation)


def test_a_training_is_done_at_once_when_those_before_it_were_short_and_the_thread_is_idle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("nervenet.nodes.runtime.pace.HOP_S", PATIENCE_S)  # whatever else this machine does
    role, answers = Brief(), Answers()
    one = Worker(role, "a")
    one.start(answers.put)
    for number in range(LAST - 1):
        assert one.submit(e.Train(number, 0, None, {})) is None
        answers.get(timeout=PATIENCE_S)
    one.when_done(lambda: answers.put(ev.Started()))
    assert isinstance(answers.get(timeout=PATIENCE_S), ev.Started)
    while not one._jobs.idle:
        pass
    assert one.submit(e.Train(9, 0, None, {})) == ev.Trained(9, 0, None, 0, {})
    assert {thread for _, thread in role.performed} == {"worker a", threading.current_thread().name}
    held = threading.Event()
    one.when_done(lambda: held.wait(PATIENCE_S) and None)
    assert one.submit(e.Train(10, 0, None, {})) is None, "the model is in use: it waits for its turn"
    held.set()
    assert answers.get(timeout=PATIENCE_S) == ev.Trained(10, 0, None, 0, {})
    one.close()


def interrupted(monkeypatch: pytest.MonkeyPatch) -> ev.Event | None:
    """Return what comes of a training on the loop in which somebody presses Ctrl-C."""
    one = Worker(Brief(), "a")

    def press(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(one.role, "perform", press)
    return one.answer(e.Train(1, 0, None, {}))


def test_ctrl_c_during_a_training_on_the_loop_is_not_taken_for_an_error_of_the_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted(monkeypatch)


def test_in_any_other_thread_it_is_an_event_as_all_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "main_thread", lambda: None)
    assert isinstance(interrupted(monkeypatch), ev.WorkFailed)


def paced(*seconds: float, at_once: bool = False) -> Pace:
    pace = Pace()
    for each in seconds:
        pace.took(each, each, at_once=at_once)
    return pace


def test_only_trainings_that_have_proven_short_are_done_at_once() -> None:
    assert not Pace().at_once
    assert not paced(*[HOP_S / 2] * (LAST - 2)).at_once
    assert paced(*[HOP_S / 2] * LAST).at_once
    assert not paced(*[2 * HOP_S] * (LAST + 1)).at_once


def test_one_of_the_last_may_have_taken_longer_and_no_two() -> None:
    pace = paced(*[HOP_S / 2] * LAST, 2 * HOP_S)
    assert pace.at_once
    pace.took(2 * HOP_S, 2 * HOP_S, at_once=True)
    assert not pace.at_once
    for _ in range(LAST - 1):
        pace.took(HOP_S / 2, HOP_S / 2, at_once=False)
    assert pace.at_once


def test_one_that_waits_for_something_is_never_short() -> None:
    pace = Pace()
    for _ in range(3 * LAST):
        pace.took(0.0, 0.05, at_once=False)
    assert not pace.at_once


def test_one_that_is_held_up_by_other_processes_stays_short() -> None:
    pace = paced(*[HOP_S / 2] * LAST)
    for _ in range(LAST - 1):
        pace.took(HOP_S / 2, 20 * HOP_S, at_once=True)
    assert pace.at_once


def test_each_long_one_on_the_loop_doubles_how_many_are_done_in_the_thread_then() -> None:
    pace, needed = paced(*[HOP_S / 2] * LAST), []
    for _ in range(4):
        pace.took(2 * LONG_S, 2 * LONG_S, at_once=True)
        count = 0
        while not pace.at_once:
            pace.took(HOP_S / 2, HOP_S / 2, at_once=False)
            count += 1
        needed.append(count)
    assert needed == [LAST, 2 * LAST, 4 * LAST, 8 * LAST]


def test_one_that_stops_the_loop_counts_as_long_whatever_it_waited_for() -> None:
    pace = paced(*[HOP_S / 2] * LAST)
    pace.took(HOP_S / 2, 2 * STOPPED_S, at_once=True)
    assert not pace.at_once


def test_one_on_the_loop_that_has_turned_slow_is_found_out_by_the_second_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = {"wall": 0.0, "spent": 0.0}
    monkeypatch.setattr("nervenet.nodes.runtime.pace.time.perf_counter", lambda: clock["wall"])
    monkeypatch.setattr("nervenet.nodes.runtime.pace.time.thread_time", lambda: clock["spent"])

    def taking(seconds: float) -> Callable[[], None]:
        def train() -> None:
            clock["wall"] += seconds
            clock["spent"] += seconds

        return train

    pace, on_the_loop = paced(*[HOP_S / 2] * LAST), 0
    for _ in range(100):
        pace.timed(taking(HOP_S / 2), at_once=pace.at_once)
    while pace.at_once:
        pace.timed(taking(2 * HOP_S), at_once=True)
        on_the_loop += 1
    assert on_the_loop == 3
