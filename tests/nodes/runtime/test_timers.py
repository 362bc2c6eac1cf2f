"""Deadlines on one timer of the loop: each fires once, at its time, unless it was cancelled or set anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nervenet.nodes.runtime.timers import Timers


class Handle:
    def __init__(self, at: float, call: Callable[[], None]) -> None:
        self.at, self.call, self.cancelled = at, call, False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """A loop whose time is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.made: list[Handle] = []

    def time(self) -> float:
        return self.now

    def call_at(self, at: float, call: Callable[[], None]) -> Handle:
        self.made.append(Handle(at, call))
        return self.made[-1]

    @property
    def waiting(self) -> list[Handle]:
        return [handle for handle in self.made if not handle.cancelled]

    def run(self, until: float) -> None:
        while due := [handle for handle in self.waiting if handle.at <= until]:
            first = min(due, key=lambda handle: handle.at)
            self.now = max(self.now, first.at)
            first.cancelled = True
            first.call()
        self.now = until


@pytest.fixture
def loop() -> Loop:
    return Loop()


def timers_of(loop: Loop) -> tuple[Timers, list[tuple[Any, float, float]]]:
    fired: list[tuple[Any, float, float]] = []
    return Timers(loop, lambda key, at: fired.append((key, at, loop.now))), fired  # type: ignore[arg-type]


def test_each_fires_once_at_its_time_in_order(loop: Loop) -> None:
    timers, fired = timers_of(loop)
    for key, at in (("b",), 2.0), (("a",), 1.0), (("c",), 2.0):
        timers.set(key, at)
    loop.run(5.0)
    assert fired == [(("a",), 1.0, 1.0), (("b",), 2.0, 2.0), (("c",), 2.0, 2.0)]
    assert loop.waiting == []


def test_a_deadline_that_is_set_and_cancelled_each_round_asks_the_loop_for_nothing(loop: Loop) -> None:
    timers, fired = timers_of(loop)
    timers.set(("pulse",), 1.0)
    for number in range(100):
        timers.set(("deadline", number), 30.0 + number)
        timers.cancel(("deadline", number))
    assert len(loop.made) == 1
    loop.run(200.0)
    assert [key for key, *_ in fired] == [("pulse",)]


def test_what_is_set_anew_fires_at_the_new_time_alone(loop: Loop) -> None:
    timers, fired = timers_of(loop)
    timers.set(("a",), 1.0)
    timers.set(("a",), 3.0)
    loop.run(2.0)
    assert fired == []
    timers.set(("a",), 2.5)
    loop.run(9.0)
    assert fired == [(("a",), 2.5, 2.5)]


def test_one_that_fires_may_cancel_another_that_is_due(loop: Loop) -> None:
    fired: list[Any] = []

    def fire(key: Any, _at: float) -> None:
        fired.append(key)
        timers.cancel(("b",))

    timers = Timers(loop, fire)  # type: ignore[arg-type]
    timers.set(("a",), 1.0)
    timers.set(("b",), 1.0)
    loop.run(2.0)
    assert fired == [("a",)]


def test_none_fires_after_the_end(loop: Loop) -> None:
    timers, fired = timers_of(loop)
    timers.set(("a",), 1.0)
    timers.close()
    loop.run(9.0)
    assert fired == []
    assert loop.waiting == []


moves = st.lists(
    st.tuples(st.sampled_from("abc"), st.one_of(st.none(), st.integers(1, 9)), st.integers(0, 4)), max_size=30
)


@given(moves)
def test_what_fires_and_when_is_what_a_timer_for_each_would_give(steps: list[tuple[str, int | None, int]]) -> None:
    loop, alone = Loop(), Loop()
    timers, fired = timers_of(loop)
    expected: list[tuple[Any, float, float]] = []
    handles: dict[str, Handle] = {}
    for key, ahead, pause in steps:
        if key in handles:
            handles.pop(key).cancel()
        timers.cancel((key,))
        if ahead is not None:
            at = loop.now + ahead
            timers.set((key,), at)

            def fire(key: str = key, at: float = at) -> None:
                expected.append(((key,), at, alone.now))

            handles[key] = alone.call_at(at, fire)
        loop.run(loop.now + pause)
        alone.run(alone.now + pause)
    loop.run(100.0)
    alone.run(100.0)
    assert sorted(fired) == sorted(expected)
    assert [at for _, at, _ in fired] == sorted(at for _, at, _ in fired)
