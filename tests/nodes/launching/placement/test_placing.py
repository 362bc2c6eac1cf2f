"""Who has a place where, and what becomes of processes whose worker is lost; without any cluster."""

from typing import Any

import pytest
from nervenet.nodes.launching.placement.placing import (
    SAY_EVERY_S,
    SAY_FIRST_S,
    Deliver,
    Exited,
    Place,
    Placing,
    Release,
    Say,
    shared_threads,
    workers_in_words,
)

A, B, C = (Place(token, f"tcp://10.0.0.{number}:1") for number, token in enumerate("abc", 1))


def placing(**keys: Any) -> Placing:
    """Return one that has asked for two processes, of a node each, at second 0."""
    found = Placing(60.0, "1", **keys)
    for number in (0, 1):
        found.wanted(number, (f"client-{number}",), 0.0)
    return found


def begun(**keys: Any) -> Placing:
    found = placing(**keys)
    assert found.announced(0, A, "1") == []
    assert found.announced(1, B, "1") == [Deliver(0, A), Deliver(1, B)]
    return found


def test_nothing_is_delivered_before_all_have_a_place() -> None:
    machine = placing()
    assert machine.announced(0, A, "1") == []
    assert machine.waiting == (1,)
    assert machine.worker_gone(A.worker, 1.0), "who was placed first may be lost before the last one is"
    assert machine.announced(1, B, "1") == []
    assert machine.announced(0, C, "1") == [Deliver(0, C), Deliver(1, B)]
    assert machine.workers() == {B.worker, C.worker}


def test_the_processes_of_a_lost_worker_start_again_where_there_is_a_place() -> None:
    machine = begun()
    [said] = machine.worker_gone(A.worker, 5.0)
    assert said == Say(f"worker {A.worker} is gone: client-0 to start again where there is a place")
    assert machine.place_of(0) is None
    again, deliver = machine.announced(0, C, "1")
    assert again == Say(f"client-0: started again at worker {C.worker}, since {A.worker} is gone")
    assert deliver == Deliver(0, C)
    assert machine.ended(0, 0) == [Exited(0, 0)]


def test_what_has_reported_everything_is_not_started_again() -> None:
    machine = begun()
    machine.finished = lambda nodes: nodes == ("client-0",)
    assert machine.worker_gone(A.worker, 5.0) == [Release(0, None), Exited(0, 0)]
    assert machine.announced(0, C, "1") == [Release(0, C)], "Dask may have begun it already"
    assert machine.waiting == ()


def test_without_another_worker_a_process_is_given_up_at_the_deadline() -> None:
    machine = begun()
    machine.worker_gone(A.worker, 5.0)
    assert not any(isinstance(effect, Exited) for effect in machine.tick(64.9, (1,)))
    release, exited, *_ = machine.tick(65.0, (1,))
    assert release == Release(0, None)
    assert exited == Exited(0, f"lost with worker {A.worker}, and no other took it within 60 s")
    assert machine.tick(90.0, (1,)) == []


def test_while_workers_are_awaited_it_is_said_at_once_and_then_now_and_then() -> None:
    machine = placing()
    machine.announced(0, A, "1")
    words = "1 of 2 processes wait for a worker; the engine has 1 worker with 1 thread"
    assert machine.tick(SAY_FIRST_S - 0.1, (1,)) == []
    assert machine.tick(SAY_FIRST_S, (1,)) == [Say(words)]
    assert machine.tick(SAY_FIRST_S + SAY_EVERY_S - 0.1, (1,)) == []
    assert machine.tick(SAY_FIRST_S + SAY_EVERY_S, ()) == [Say(words.replace("1 worker with 1 thread", "none"))]


@pytest.mark.parametrize(
    ("version", "reachable", "named"),
    [("2", "", "it has nervenet 2, and this is 1"), ("1", "it is elsewhere", "it is elsewhere")],
)
def test_a_worker_that_cannot_host_is_refused_by_name(version: str, reachable: str, named: str) -> None:
    machine = placing(reachable=lambda _: reachable)
    assert machine.announced(0, A, version) == [
        Release(0, A),
        Exited(0, f"placed at worker {A.worker}, and {named}"),
    ]


def test_an_end_is_told_once() -> None:
    machine = begun()
    assert machine.ended(1, -9) == [Exited(1, -9)]
    assert machine.ended(1, "given up") == []
    assert machine.worker_gone(B.worker, 9.0) == []


def test_processes_that_share_threads_are_told_of() -> None:
    assert shared_threads(2, (1, 1)) == ""
    assert shared_threads(3, (1, 1)).startswith("3 processes share 2 workers with 2 threads")
    assert workers_in_words((4,)) == "1 worker with 4 threads"
