"""Virtual time itself: what happens when, and to whom."""

from collections.abc import Callable
from typing import Any

import pytest
from nervenet.broker import messages as m
from nervenet.broker.messages import Lane
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.simulator import Simulation

Reaction = Callable[[ev.Event, float], list[e.Effect]]


class Told:
    """A machine that keeps what it was told and when, and does what a function says."""

    def __init__(self, react: Reaction | None = None) -> None:
        self.log: list[tuple[float, ev.Event]] = []
        self._react = react or (lambda event, now: [])

    def handle(self, event: ev.Event, now: float) -> list[e.Effect]:
        self.log.append((now, event))
        return self._react(event, now)

    def of(self, kind: type[ev.Event]) -> list[float]:
        return [now for now, event in self.log if isinstance(event, kind)]


def idle(job: e.Effect) -> tuple[float, ev.Event | None]:
    return 0.0, None


def on(kind: type[ev.Event], *effects: e.Effect) -> Reaction:
    return lambda event, now: list(effects) if isinstance(event, kind) else []


BYE = m.Goodbye(round=1, reason="done")


def test_messages_arrive_after_their_delays_once_for_each_copy() -> None:
    asked: list[tuple[str, str, Lane, float]] = []

    def network(sender: str, receiver: str, lane: Lane, now: float) -> list[float]:
        asked.append((sender, receiver, lane, now))
        return {"b": [0.5, 2.0], "c": []}[receiver]

    sim = Simulation(network)
    b, c = Told(), Told()
    sim.add("a", Told(on(ev.Started, e.Send(("b", "c", "nobody"), BYE, "body"))), idle)
    sim.add("b", b, idle)
    sim.add("c", c, idle)
    sim.run(10.0)
    assert b.log[1:] == [(0.5, ev.Arrived("a", BYE, "body")), (2.0, ev.Arrived("a", BYE, "body"))]
    assert c.of(ev.Arrived) == []
    assert asked == [("a", "b", Lane.CONTROL, 0.0), ("a", "c", Lane.CONTROL, 0.0)]


def test_a_timer_fires_when_it_is_due_and_its_last_setting_counts() -> None:
    a = Told(
        on(
            ev.Started,
            e.SetTimer(("x",), 5.0),
            e.SetTimer(("x",), 3.0),
            e.SetTimer(("y",), 1.0),
            e.SetTimer(("z", 1), 2.0),
            e.CancelTimer(("y",)),
        )
    )
    sim = Simulation()
    sim.add("a", a, idle)
    sim.run(10.0)
    assert a.log[1:] == [(2.0, ev.TimerFired(("z", 1), 2.0)), (3.0, ev.TimerFired(("x",), 3.0))]


def test_one_worker_does_one_job_after_another() -> None:
    jobs = on(ev.Started, e.Survey(), e.Evaluate(1, "test"))
    a = Told(jobs)

    def worker(job: e.Effect) -> tuple[float, ev.Event | None]:
        return (1.0, ev.Surveyed({}, None)) if isinstance(job, e.Survey) else (2.0, ev.Evaluated(1, "test", {}))

    sim = Simulation()
    sim.add("a", a, worker)
    sim.run(10.0)
    assert (a.of(ev.Surveyed), a.of(ev.Evaluated)) == ([1.0], [3.0])


def test_what_happens_to_a_stalled_node_waits_until_it_goes_on() -> None:
    a = Told(on(ev.Started, e.SetTimer(("t",), 2.0)))
    sim = Simulation()
    sim.add("a", a, idle)
    sim.add("b", Told(on(ev.Started, e.SetTimer(("t",), 3.0))), idle)
    sim.stall("a", 1.0, 4.0)
    sim.at(3.0, lambda: sim.post("a", ev.Proceed(7)))
    sim.run(10.0)
    assert sorted(now for now, _ in a.log[1:]) == [5.0, 5.0]
    assert (5.0, ev.TimerFired(("t",), 2.0)) in a.log, "and tells how late it is"


def test_a_crashed_node_neither_hears_nor_speaks() -> None:
    a, b = Told(lambda event, now: [e.SetTimer(("again",), now + 1.0), e.Send(("b",), BYE)]), Told()
    sim = Simulation()
    sim.add("a", a, idle)
    sim.add("b", b, idle)
    sim.crash("a", 2.5)
    sim.run(10.0)
    assert [round(now) for now, _ in a.log] == [0, 1, 2]
    assert len(b.of(ev.Arrived)) == 3


def test_a_finished_node_is_told_nothing_more_and_the_last_ends_the_run() -> None:
    sim = Simulation()
    a = Told(on(ev.Started, e.SetTimer(("t",), 1.0), e.Finish("completed")))
    node = sim.add("a", a, idle)
    sim.run(10.0)
    assert node.finished == e.Finish("completed")
    assert a.log == [(0.0, ev.Started())]
    assert sim.now == 0.0


def test_time_goes_on_where_nothing_happens() -> None:
    sim = Simulation()
    sim.add("a", Told(), idle)
    sim.run(4.0)
    assert sim.now == 4.0


def training(job: e.Effect) -> tuple[float, ev.Event | None]:
    match job:
        case e.Train(number, attempt, _, _, _) if number < 9:
            return 5.0, ev.Trained(number, attempt, "done", 1, {})
    return 0.0, None  # of round 9 it hangs


def abandoned_at(when: float, number: int) -> tuple[Told, Any]:
    def react(event: ev.Event, now: float) -> list[e.Effect]:
        match event:
            case ev.Started():
                return [e.Train(number, 0, None, {}), e.SetTimer(("now",), when)]
            case ev.TimerFired():
                return [e.CancelTraining()]
        return []

    a = Told(react)
    sim = Simulation()
    node = sim.add("a", a, training)
    sim.run(20.0)
    return a, node


def test_an_abandoned_training_ends_at_its_next_mini_batch_and_says_so() -> None:
    a, node = abandoned_at(2.0, 1)
    ((now, event),) = [(now, event) for now, event in a.log if isinstance(event, ev.Trained)]
    assert now == pytest.approx(2.01)
    assert event == ev.Trained(1, 0, None, 0, {}, cancelled=True)
    assert node.free_at == now


def test_what_is_done_cannot_be_abandoned() -> None:
    a, _ = abandoned_at(6.0, 1)
    assert [event for _, event in a.log if isinstance(event, ev.Trained)] == [ev.Trained(1, 0, "done", 1, {})]


def test_what_hangs_cannot_be_abandoned() -> None:
    assert abandoned_at(2.0, 9)[0].of(ev.Trained) == []


def test_connecting_tells_both_sides_who_the_other_is() -> None:
    sim = Simulation()
    a, b = Told(), Told()
    sim.add("a", a, idle)
    sim.add("b", b, idle)
    sim.connect("a", "b", ("coordinator", "client"))
    sim.run(1.0)
    assert a.log[-1] == (0.0, ev.LinkUp("b", "client", 1))
    assert b.log[-1] == (0.0, ev.LinkUp("a", "coordinator", 1))


def test_a_beat_is_a_heartbeat_to_each_and_news_is_kept_with_its_time() -> None:
    sim = Simulation()
    b = Told()
    effects = (e.SendHeartbeat(("b",), 3, "waiting"), e.Publish("warning", {"reason": "x"}), e.Completed(3, {}))
    node = sim.add("a", Told(on(ev.Started, *effects)), idle)
    sim.add("b", b, idle)
    sim.run(1.0)
    assert b.log[-1] == (0.001, ev.Arrived("a", m.Heartbeat(3, "waiting", ())))
    assert node.published == [(0.0, "warning", {"reason": "x"})]
    assert node.completed == [e.Completed(3, {})]


def told_to_one_that_is_stopped_twice() -> list[str]:
    """Tell something before and after the second of two stops that overlap; return in what order it is read."""
    sim, told = Simulation(), Told()
    sim.add("a", told, idle)
    sim.stall("a", 1.0, 4.0)
    sim.stall("a", 3.0, 4.0)
    for when, peer in ((2.0, "first"), (4.0, "second")):
        sim.at(when, lambda peer=peer: sim.post("a", ev.LinkUp(peer, "peer", 1)))
    sim.run(10.0)
    assert told.of(ev.LinkUp) == [7.0, 7.0]
    return [event.peer for _, event in told.log if isinstance(event, ev.LinkUp)]


def test_what_waits_for_a_stopped_node_is_read_in_the_order_in_which_it_came() -> None:
    assert told_to_one_that_is_stopped_twice() == ["first", "second"]


def test_held_anew_at_each_end_it_would_be_read_last(monkeypatch: pytest.MonkeyPatch) -> None:
    hold = Simulation._hold
    monkeypatch.setattr(Simulation, "_hold", lambda self, node, action, order=None: hold(self, node, action))
    assert told_to_one_that_is_stopped_twice() == ["second", "first"]
