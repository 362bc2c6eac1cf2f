"""Lanes: the calls of one are made one by one, whoever makes them, and one that hangs keeps no other from its own."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from queue import SimpleQueue

import pytest
from nervenet.nodes.runtime.lanes import (
    FEWEST,
    MOST,
    Call,
    HostedThreads,
    LaneThreads,
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
