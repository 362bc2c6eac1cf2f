"""A coordinator whose model no message carries: what is announced, fetched, folded, left out and waited for."""

from typing import Any

import pytest
from coordinator_by_hand import MODEL, ByHand, only
from federated_config import coordinator_config
from msgspec import UNSET
from nervenet.broker import messages as m
from nervenet.nodes.federated.coordinator_machine import CoordinatorMachine
from nervenet.nodes.federated.large.coordinator import LargeCoordinator
from nervenet.nodes.federated.large.folding import EXTENSIONS
from nervenet.nodes.federated.strategies.robust import Krum
from nervenet.nodes.large.sizes import Sizes
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.payload_checks import HEADER_BYTES

SIZES = Sizes(message_bytes=HEADER_BYTES + 8, chunk_bytes=8)  # of five numbers two, two and one
RANGES = {0: 2, 2: 2, 4: 1}


class Bench(ByHand):
    """A coordinator of three clients; what these hand out is said by hand."""

    def __init__(self, n: int = 3, **settings: Any) -> None:
        names = tuple(f"client-{i}" for i in range(n))
        self.machine = CoordinatorMachine(coordinator_config(names, **settings))
        super().__init__(names, LargeCoordinator(self.machine, SIZES))  # type: ignore[arg-type]

    def announce(self, name: str, number: int = 1, generation: int = 7) -> list[e.Effect]:
        return self.say(name, m.Update(number, 0, 10, {}, manifest=m.Manifest(MODEL, generation)))

    def close(self, number: int = 1) -> list[e.Effect]:
        """All announce their updates."""
        return [effect for name in self.names for effect in self.announce(name, number)]

    def hand_out(self, name: str, start: int, flaw: str | None = None, generation: int = 7) -> list[e.Effect]:
        payload = m.Payload("a1b2", "float32", RANGES[start])
        return self.say(name, m.Chunk(1, generation, start, payload), f"{name} {start}", flaw)

    def fetch(self, *names: str) -> list[e.Effect]:
        """Some hand out all there is, and every range that is complete is folded."""
        effects = [effect for start in RANGES for name in names for effect in self.hand_out(name, start)]
        for fold in only(e.FoldRange, effects):
            effects += self.tell(ev.RangeFolded(fold.number, fold.start))
        return effects


def wanted(effects: list[e.Effect]) -> list[tuple[str, int]]:
    """Return who is asked for which range."""
    asked = [send for send in only(e.Send, effects) if isinstance(send.message, m.GetChunk)]
    return [(send.to[0], send.message.start) for send in asked]  # type: ignore[union-attr]


def test_a_task_announces_the_model_and_each_client_is_served_at_its_own_pace() -> None:
    bench = Bench().settle()
    [told] = only(e.Announce, bench.begun)
    assert isinstance(told.message, m.Task)
    assert (told.message.payload, told.message.manifest) == (None, m.Manifest(MODEL, 1))
    assert not [send for send in only(e.Send, bench.begun) if send.body is not None]
    [served] = only(e.SendRange, bench.say("client-1", m.GetChunk(1, 1, 2, 2)))
    assert (served.to, served.body, served.message.start, served.message.payload.length) == ("client-1", "w0", 2, 2)


@pytest.mark.parametrize(
    ("name", "asked", "code"),
    [
        ("client-0", m.GetChunk(1, 9, 0, 2), "stale"),
        ("stranger", m.GetChunk(1, 1, 0, 2), "uninvited"),
        ("client-0", m.GetChunk(1, 1, 4, 2), "length"),
        ("client-0", m.GetChunk(1, 1, 0, 0), "length"),
        ("client-0", m.GetChunk(1, 1, 0, 3), "length"),  # more than a message carries
    ],
)
def test_nothing_else_is_handed_out(name: str, asked: m.GetChunk, code: str) -> None:
    effects = Bench().settle().say(name, asked)
    assert only(e.SendRange, effects) == []
    [send] = only(e.Send, effects)
    assert isinstance(send.message, m.Refused)
    assert (send.message.about, send.message.round, send.message.code) == ("get_chunk", asked.generation, code)


def test_updates_are_fetched_together_and_each_range_is_folded_in_the_order_of_names() -> None:
    bench = Bench().settle()
    assert wanted(bench.announce("client-2")) == []
    assert wanted(bench.announce("client-0")) == []
    assert sorted(wanted(bench.announce("client-1"))) == sorted(
        (name, start) for name in bench.names for start in RANGES
    )
    assert only(e.Fold, bench.effects) == []
    assert only(e.FoldRange, bench.hand_out("client-2", 0) + bench.hand_out("client-0", 0)) == []
    [fold] = only(e.FoldRange, bench.hand_out("client-1", 0))
    assert (fold.start, fold.body) == (0, "w0")
    assert [c.body for c in fold.contributions] == ["client-0 0", "client-1 0", "client-2 0"]
    bench.tell(ev.RangeFolded(fold.number, 0))
    for start in (2, 4):
        folds = [effect for name in bench.names for effect in bench.hand_out(name, start)]
        effects = bench.tell(ev.RangeFolded(only(e.FoldRange, folds)[0].number, start))
    assert only(e.CloseFold, effects) == [e.CloseFold(fold.number, 1, 0)]
    effects = bench.tell(ev.Folded(1, 0, "w1"))
    assert bench.published("round.completed")[-1]["participants"] == list(bench.names)
    [told] = only(e.Announce, effects)
    assert told.message.manifest == m.Manifest(MODEL, 2)  # type: ignore[union-attr]


def leave(bench: Bench) -> list[e.Effect]:
    return bench.say("client-1", m.Goodbye(1, "done"))


def start_again(bench: Bench) -> list[e.Effect]:
    bench.tell(ev.LinkUp("client-1", "client", 1))
    return bench.tell(ev.LinkUp("client-1", "client", 2))


def refuse(bench: Bench) -> list[e.Effect]:
    return bench.say("client-1", m.Refused("get_chunk", 7, "stale", "no longer offered"))


def spoil(bench: Bench) -> list[e.Effect]:
    return bench.hand_out("client-1", 2, "values must be finite, found NaN or infinity")


@pytest.mark.parametrize(
    ("ends", "reason"),
    [(leave, "has left: done"), (start_again, "was started again"), (refuse, "no longer offered"), (spoil, "finite")],
)
def test_who_cannot_go_on_is_left_out_and_the_fold_begins_again_without(ends: Any, reason: str) -> None:
    bench = Bench().settle()
    bench.close()
    bench.fetch("client-0")
    for name in ("client-1", "client-2"):
        folds = bench.hand_out(name, 0)
    [first] = only(e.FoldRange, folds)
    bench.tell(ev.RangeFolded(first.number, 0))
    assert sorted(wanted(ends(bench))) == sorted((f"client-{k}", start) for k in (0, 2) for start in RANGES)
    assert bench.tell(ev.RangeFolded(first.number, 2)) == []  # of the fold that was given up
    again = only(e.FoldRange, bench.fetch("client-0", "client-2"))
    assert [fold.start for fold in again] == list(RANGES)
    assert {fold.number for fold in again} == {first.number + 1}
    bench.tell(ev.Folded(1, 0, "w1"))
    completed = bench.published("round.completed")[-1]
    assert completed["participants"] == ["client-0", "client-2"]
    assert reason in completed["missing"]["client-1"]
    assert reason in bench.published("warning")[-1]["reason"]


def test_a_strategy_that_rejects_a_range_rejects_the_update() -> None:
    bench = Bench().settle()
    bench.close()
    folds = [effect for name in bench.names for effect in bench.hand_out(name, 0)]
    [fold] = only(e.FoldRange, folds)
    bench.tell(ev.RangeFolded(fold.number, 0, {"client-2": "values must be below 4.3e+09"}))
    bench.fetch("client-0", "client-1")
    effects = bench.tell(ev.Folded(1, 0, "w1"))
    [refused] = [send.message for send in only(e.Send, effects) if isinstance(send.message, m.Refused)]
    assert (refused.about, refused.code) == ("update", "values")


def test_with_too_few_left_the_round_fails_and_is_asked_again() -> None:
    bench = Bench(2).settle()
    bench.close()
    effects = bench.say("client-1", m.Goodbye(1, "done"))
    assert only(e.FoldRange, effects) == []
    assert "1 of at least 2" in bench.published("round.failed")[-1]["reason"]


def test_after_a_cut_the_same_client_is_asked_for_what_is_missing_alone() -> None:
    bench = Bench().settle()
    bench.close()
    bench.hand_out("client-1", 0)
    bench.tell(ev.LinkLost("client-1", "cut"))
    assert wanted(bench.tell(ev.LinkUp("client-1", "client", 1))) == [("client-1", 2), ("client-1", 4)]


def test_what_does_not_come_is_asked_for_again_unless_it_is_on_its_way() -> None:
    bench = Bench(deadline_s=30.0).settle()
    bench.close()
    bench.say("client-0", m.Heartbeat(1, "idle", (1,)))
    effects = bench.until(2.2)
    assert {name for name, _ in wanted(effects)} == {"client-1", "client-2"}


def test_who_hands_out_nothing_for_a_deadline_is_left_out() -> None:
    bench = Bench(deadline_s=5.0).settle()
    bench.close()
    bench.until(3.0, beating=bench.names)
    for name in ("client-0", "client-2"):
        bench.hand_out(name, 0)
    bench.until(5.6, beating=bench.names)
    assert "client-1" in bench.published("warning")[-1]["reason"]
    bench.fetch("client-0", "client-2")
    bench.tell(ev.Folded(1, 0, "w1"))
    assert list(bench.published("round.completed")[-1]["missing"]) == ["client-1"]


def slow_one(bench: Bench, until: float) -> None:
    """One of three hands out nothing, and says that it is on its way."""
    bench.close()
    for start in RANGES:
        bench.hand_out("client-0", start)
        bench.hand_out("client-2", start)
    while bench.now < until:
        now = bench.now + 0.5
        bench.say("client-1", m.Heartbeat(1, "train", (1,)))
        bench.until(now, beating=("client-0", "client-2"))


def left_out(bench: Bench) -> list[str]:
    return [w["subject"] for w in bench.published("warning") if "left out" in w["reason"]]


def test_where_others_are_enough_a_slow_line_is_waited_for_a_deadline() -> None:
    bench = Bench(deadline_s=5.0, quorum=0.9, min_clients=2).settle()
    slow_one(bench, 4.5)
    assert left_out(bench) == []
    slow_one(bench, 6.0)
    assert left_out(bench) == ["client-1"]


def test_where_all_are_needed_it_is_waited_for_ten_times_as_long() -> None:
    bench = Bench(deadline_s=5.0).settle()
    slow_one(bench, 49.0)
    assert left_out(bench) == []
    slow_one(bench, EXTENSIONS * 5.0 + 1.0)
    assert left_out(bench) == ["client-1"]


def test_a_model_that_fits_is_none_of_its_business() -> None:
    bench = Bench()
    bench.state.sizes = Sizes()  # type: ignore[attr-defined]
    bench.settle()
    assert bench.state.handle == bench.machine.handle
    assert only(e.Announce, bench.effects) == []
    effects = bench.announce("client-0")  # and nobody is asked for an array there
    assert any("must carry a payload" in str(send.message) for send in only(e.Send, effects))


def test_a_strategy_that_needs_whole_vectors_ends_the_run_by_name() -> None:
    bench = Bench(strategy=Krum()).settle()
    finish = bench.finished()
    assert finish is not None
    assert "needs each update as a whole" in finish.reason


def test_the_last_model_is_handed_out_before_the_coordinator_ends() -> None:
    bench = Bench(2, rounds=1, evaluate_test=False).settle()
    bench.close()
    bench.fetch(*bench.names)
    bench.tell(ev.Folded(1, 0, "w1"))
    assert bench.finished() is None
    [task] = [told.message for told in only(e.Announce, bench.effects) if told.message.work == "finish"]  # type: ignore[union-attr]
    assert isinstance(task, m.Task)
    assert task.manifest is not UNSET
    generation = task.manifest.generation  # type: ignore[union-attr]
    for start, length in RANGES.items():
        bench.say("client-0", m.GetChunk(1, generation, start, length))
    bench.say("client-0", m.Goodbye(round=1, reason="done"))
    assert bench.finished() is None
    beats = only(e.SendHeartbeat, bench.until(bench.now + 1.0))
    assert beats[-1].to == ("client-1",)
    bench.say("client-1", m.GetChunk(1, generation, 4, 1))
    bench.say("client-1", m.Goodbye(round=1, reason="done"))
    assert bench.finished() == e.Finish("completed")


def cut_at_the_end() -> None:
    """All have the final model already, to evaluate it; a cut takes the last task with it."""
    bench = Bench(2, rounds=1, evaluate_test=False, evaluate_sites=True).settle()
    bench.close()
    bench.fetch(*bench.names)
    bench.tell(ev.Folded(1, 0, "w1"))
    for name in bench.names:
        for start, length in RANGES.items():
            bench.say(name, m.GetChunk(1, 2, start, length))
        bench.say(name, m.Update(1, 1, 10, {"holdout_accuracy": 0.5, "holdout_examples": 9.0}))
    assert [told.message.work for told in only(e.Announce, bench.effects)][-1] == "finish"  # type: ignore[union-attr]
    for name in bench.names:
        bench.tell(ev.LinkLost(name, "the connection has closed"))
        [told] = only(e.Announce, bench.tell(ev.LinkUp(name, "client", 1)))
        assert told.message.work == "finish"  # type: ignore[union-attr]
        assert bench.finished() is None
    for name in bench.names:
        bench.say(name, m.Goodbye(round=1, reason="done"))
    assert bench.finished() == e.Finish("completed")


def test_a_cut_at_the_very_end_takes_the_last_task_from_nobody() -> None:
    cut_at_the_end()


def test_a_cut_at_the_very_end_would_leave_them_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LargeCoordinator, "_owed", lambda _: set())  # as if whoever has the weights needed no more
    with pytest.raises((AssertionError, ValueError)):
        cut_at_the_end()


def test_who_lives_and_fetches_nothing_does_not_hold_the_end_back_forever() -> None:
    bench = Bench(2, rounds=1, evaluate_test=False).settle()
    bench.close()
    bench.fetch(*bench.names)
    bench.tell(ev.Folded(1, 0, "w1"))
    bench.say("client-0", m.Goodbye(round=1, reason="done"))
    deadline_s = bench.machine.run.config.timing.deadline_s
    bench.until(bench.now + deadline_s - 1.0, beating=["client-1"])
    bench.tell(ev.StillSending("client-1", (1,)))  # a slow line, over which a range is on its way
    bench.until(bench.now + deadline_s - 1.0, beating=["client-1"])
    assert bench.finished() is None
    bench.until(bench.now + 2.0, beating=["client-1"])
    assert bench.finished() == e.Finish("completed")
    assert "asked for nothing" in bench.published("warning")[-1]["reason"]


def test_who_is_silent_is_waited_for_no_longer_than_any_other() -> None:
    bench = Bench(2, rounds=1, evaluate_test=False).settle()
    bench.close()
    bench.fetch(*bench.names)
    bench.tell(ev.Folded(1, 0, "w1"))
    bench.until(bench.now + 11.0)
    assert bench.finished() == e.Finish("completed")
    assert "is not known to have all of the final model" in bench.published("warning")[-1]["reason"]
