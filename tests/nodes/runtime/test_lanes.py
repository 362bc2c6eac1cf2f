"""Lanes: the calls of one are made one by one, whoever makes them, and one that hangs keeps no other from its own."""

import threading
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from queue import SimpleQueue

import pytest
from nervenet.nodes.runtime.lanes import (
    FEWEST,
    MOST,
    Call,
    HostedThreads,
    Lane,
    LaneThreads,
    OwnLane,
    SharedLane,
    lanes_of,
    usual_threads,
)

PATIENCE_S = 60.0


class Held:
    """A call that goes on until it is released."""

    def __init__(self) -> None:
        self.entered, self.released = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.entered.set()
        assert self.released.wait(PATIENCE_S)


@pytest.fixture
def threads() -> Iterator[Callable[..., LaneThreads]]:
    """Make threads for lanes, under names of their own, and see that all of them end."""
    made: list[LaneThreads] = []

    def make(usual: int, patience_s: float = PATIENCE_S) -> LaneThreads:
        made.append(LaneThreads(f"tested {id(made)} {len(made)}", usual, patience_s))
        return made[-1]

    yield make
    for each in made:
        each.close()
    for thread in threading.enumerate():
        if thread.name.startswith(f"tested {id(made)}"):
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


def said(queue: SimpleQueue[object], what: object) -> None:
    queue.put(what)


def test_calls_of_a_lane_are_made_in_order_and_never_two_at_once(threads) -> None:
    lanes = [SharedLane(shared) for shared in [threads(4)] * 3]
    order: SimpleQueue[tuple[int, int]] = SimpleQueue()
    inside = [0, 0, 0]

    def call(number: int, place: int) -> Call:
        inside[number] += 1
        assert inside[number] == 1
        order.put((number, place))
        inside[number] -= 1
        return lambda: None

    for place in range(200):
        for number, lane in enumerate(lanes):
            lane.put(partial(call, number, place))
    found = [order.get(timeout=PATIENCE_S) for _ in range(600)]
    for number in range(3):
        assert [place for of, place in found if of == number] == list(range(200))


def test_what_a_call_returns_is_called_when_the_lane_is_idle_again(threads) -> None:
    lane = SharedLane(threads(1))
    found: SimpleQueue[object] = SimpleQueue()
    assert lane.idle
    held = Held()
    lane.put(lambda: (held(), lambda: said(found, lane.idle))[1])
    assert not lane.idle
    held.released.set()
    assert found.get(timeout=PATIENCE_S) is True


class Vector:
    """What a call is about, and its answer too."""


def once(lane: Lane) -> tuple[threading.Event, threading.Event]:
    """Have one call made; return what is set once it has been answered, and once its vector is no more."""
    vector, answered, gone = Vector(), threading.Event(), threading.Event()
    weakref.finalize(vector, gone.set)

    def answer(_: Vector) -> None:
        answered.set()

    def call(of: Vector) -> Call:
        return partial(answer, of)

    lane.put(partial(call, vector))
    return answered, gone


def test_a_lane_holds_nothing_of_its_last_call(threads) -> None:
    """Or a client would hold the model of the round before while it receives the next one."""
    own = OwnLane("tested")
    for lane in (own, SharedLane(threads(1))):
        answered, gone = once(lane)
        assert answered.wait(PATIENCE_S)
        assert gone.wait(PATIENCE_S)
    own.close()


def test_a_lane_that_forgets_nothing_holds_a_vector_until_the_next_call() -> None:
    class Holding(OwnLane):
        def _run(self) -> None:
            while (call := self._calls.get()) is not None:
                then = call()
                if then is not None:
                    then()

    lane = Holding("tested")
    answered, gone = once(lane)
    assert answered.wait(PATIENCE_S)
    assert not gone.is_set()
    lane.close()
    assert lane.thread is not None
    lane.thread.join(PATIENCE_S)


def test_no_more_threads_than_usual_serve_all_lanes(threads) -> None:
    shared = threads(2)
    names: SimpleQueue[str] = SimpleQueue()
    for lane in [SharedLane(shared) for _ in range(20)]:
        lane.put(lambda: names.put(threading.current_thread().name))
    assert len({names.get(timeout=PATIENCE_S) for _ in range(20)}) <= 2


def test_a_call_that_hangs_keeps_no_other_lane_from_its_own(threads) -> None:
    """Here three of them hang, and there is one thread."""
    shared = threads(1, 0.001)
    hung = [Held() for _ in range(3)]
    for each in hung:
        SharedLane(shared).put(each)
    for each in hung:
        assert each.entered.wait(PATIENCE_S)
    found: SimpleQueue[object] = SimpleQueue()
    SharedLane(shared).put(lambda: said(found, "made"))
    assert found.get(timeout=PATIENCE_S) == "made"
    for each in hung:
        each.released.set()


def test_the_calls_of_a_lane_that_hangs_wait_for_it(threads) -> None:
    shared = threads(1, 0.001)
    held, lane, found = Held(), SharedLane(shared), SimpleQueue[object]()
    lane.put(held)
    lane.put(lambda: said(found, "after"))
    other = Held()
    SharedLane(shared).put(other)
    assert other.entered.wait(PATIENCE_S), "by a further thread"
    other.released.set()
    assert found.empty()
    held.released.set()
    assert found.get(timeout=PATIENCE_S) == "after"


def test_an_error_ends_neither_the_lane_nor_the_others(threads, monkeypatch: pytest.MonkeyPatch) -> None:
    errors: SimpleQueue[str] = SimpleQueue()
    monkeypatch.setattr(threading, "excepthook", lambda found: errors.put(str(found.exc_value)))
    shared = threads(1)
    lane, other, found = SharedLane(shared), SharedLane(shared), SimpleQueue[object]()
    held = Held()
    lane.put(held)

    def fail() -> None:
        raise ValueError("odd")

    lane.put(fail)
    lane.put(lambda: said(found, "next"))
    other.put(lambda: said(found, "other"))
    held.released.set()
    assert {found.get(timeout=PATIENCE_S), found.get(timeout=PATIENCE_S)} == {"next", "other"}
    assert errors.get(timeout=PATIENCE_S) == "odd"


class Served:
    """In place of threads: takes note of who is to be served."""

    def __init__(self) -> None:
        self.lanes: list[SharedLane] = []

    def serve(self, lane: SharedLane) -> None:
        self.lanes.append(lane)


class PutMeanwhile:
    """A lock that lets another thread put a call as soon as a turn has looked whether there are more."""

    def __init__(self, lane: SharedLane) -> None:
        self._lane, self._lock, self._left = lane, threading.Lock(), 2

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        self._left -= 1
        if not self._left:
            self._lane.put(lambda: None)


def turned(kind: type[SharedLane]) -> int:
    """How often a lane is served for two calls, the second of which is put just when the first one is done."""
    threads = Served()
    lane = kind(threads)  # type: ignore[arg-type]
    lane.put(lambda: None)
    lane._lock = PutMeanwhile(lane)  # type: ignore[assignment]
    lane.turn()
    return len(threads.lanes)


def test_a_call_that_is_put_as_the_last_one_ends_is_made_once() -> None:
    assert turned(SharedLane) == 2


def test_who_looks_a_moment_later_has_it_made_twice() -> None:
    class Late(SharedLane):
        def turn(self) -> None:
            with self._lock:
                call = self._calls.popleft()
            call()
            with self._lock:
                self._due = bool(self._calls)
            if self._due:
                self._threads.serve(self)

    assert turned(Late) == 3


class NoThread:
    """Refuses to start threads as long as the system has none."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.none, self._start = True, threading.Thread.start
        system = self

        def start(thread: threading.Thread) -> None:
            if system.none:
                raise RuntimeError("can't start new thread")
            system._start(thread)

        monkeypatch.setattr(threading.Thread, "start", start)


def test_without_any_thread_a_call_is_refused_and_the_next_one_is_made(
    threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, found = NoThread(monkeypatch), SimpleQueue[object]()
    lane = SharedLane(threads(2, 0.001))
    with pytest.raises(RuntimeError, match="can't start new thread"):
        lane.put(lambda: said(found, "refused"))
    assert lane.idle
    system.none = False
    lane.put(lambda: said(found, "made"))
    assert found.get(timeout=PATIENCE_S) == "made"
    assert found.empty()


def test_without_a_further_thread_a_lane_is_served_by_those_there_are(threads, monkeypatch: pytest.MonkeyPatch) -> None:
    shared, found, held = threads(2, 0.001), SimpleQueue[object](), Held()
    first = SharedLane(shared)
    first.put(held)
    assert held.entered.wait(PATIENCE_S)
    NoThread(monkeypatch)
    SharedLane(shared).put(lambda: said(found, "made"))
    held.released.set()
    assert found.get(timeout=PATIENCE_S) == "made"


def test_what_waits_when_threads_are_to_end_is_still_done(threads) -> None:
    shared, found, held = threads(2), SimpleQueue[object](), [Held(), Held()]
    lanes = [SharedLane(shared) for _ in held]
    for lane, each in zip(lanes, held, strict=True):
        lane.put(each)
        assert each.entered.wait(PATIENCE_S)
        for place in range(3):
            lane.put(lambda place=place: said(found, place))
    shared.close()
    for each in held:
        each.released.set()
    assert sorted(str(found.get(timeout=PATIENCE_S)) for _ in range(6)) == ["0", "0", "1", "1", "2", "2"]


def test_a_node_by_itself_has_threads_of_its_own_and_hosted_ones_share() -> None:
    names: SimpleQueue[str] = SimpleQueue()
    hosted = HostedThreads()
    own, shared = lanes_of("a", None), lanes_of("b", hosted)
    for lane in (*own, *shared):
        lane.put(lambda: names.put(threading.current_thread().name))
    found = {names.get(timeout=PATIENCE_S) for _ in range(6)}
    assert found == {"worker a", "concurrent a", "writer a", "worker 1", "concurrent 1", "writer 1"}
    for lane in (*own, *shared):
        lane.close()
    hosted.close()


def test_threads_that_are_shared_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, usual in {1: FEWEST, 2: 2, 5: 5, 64: MOST}.items():
        monkeypatch.setattr("nervenet.nodes.runtime.lanes.cores", lambda there=there: there)
        assert usual_threads() == usual
