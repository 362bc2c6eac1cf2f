"""The decisions of a coordinator without rounds: events in, effects out, one assertion at a time."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from coordinator_by_hand import MODEL, ByHand, only
from federated_config import coordinator_config
from nervenet.broker import messages as m
from nervenet.nodes.federated.client_registry import ClientRegistry
from nervenet.nodes.federated.coordinator_machine import CoordinatorMachine
from nervenet.nodes.federated.run_state import RunState
from nervenet.nodes.federated.strategies.base import Contribution, Demands, Outcome, State, Vector
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev

NAN = "values must be finite, found NaN or infinity"


@dataclass(frozen=True)
class Buffered:
    """As much of a strategy as the machine looks at."""

    buffer: int = 2
    max_staleness: int | None = None

    @property
    def demands(self) -> Demands:
        return Demands(asynchronous=True, buffer=self.buffer, max_staleness=self.max_staleness)

    def check(self, clients: int) -> None:
        pass

    def init(self, weights: Vector, population: int) -> State:
        return {}

    def apply(self, state: State, weights: Vector, contributions: Sequence[Contribution]) -> Outcome:
        return Outcome(weights + np.mean([c.delta() for c in contributions], axis=0), state)


def tasks(effects: Iterable[e.Effect], work: str = "train") -> dict[str, tuple[int, int, Any]]:
    """Who is asked: (number, attempt, weights)."""
    return {
        name: (send.message.round, send.message.attempt, send.body)
        for send in only(e.Send, effects)
        if isinstance(send.message, m.Task) and send.message.work == work
        for name in send.to
    }


def refusals(effects: Iterable[e.Effect]) -> list[tuple[str, str]]:
    return [(s.message.code, s.message.reason) for s in only(e.Send, effects) if isinstance(s.message, m.Refused)]


class Harness(ByHand):
    """A coordinator without rounds; round 0 is over."""

    def __init__(
        self, n: int = 3, *, buffer: int = 2, max_staleness: int | None = None, writes: bool = True, **more: Any
    ) -> None:
        names = tuple(f"client-{i}" for i in range(n))
        given = {"rounds": 100, "strategy": Buffered(buffer, max_staleness), "min_clients": 1} | more
        super().__init__(names, CoordinatorMachine(coordinator_config(names, **given)), writes=writes)
        self.held: dict[str, tuple[int, int, Any]] = {}
        self.settle()

    def tell(self, event: ev.Event, now: float | None = None) -> list[e.Effect]:
        effects = super().tell(event, now)
        self.held |= tasks(effects)
        return effects

    def answer(self, name: str, flaw: str | None = None, *, examples: int = 10, **metrics: float) -> list[e.Effect]:
        """Answer the task that this client has."""
        number, attempt, base = self.held[name]
        update = m.Update(number, attempt, examples, metrics, None, MODEL)
        return self.say(name, update, f"{name} {number} from {base}", flaw)

    def step(self) -> list[e.Effect]:
        """Make the step that was asked for."""
        fold = only(e.Fold, self.effects)[-1]
        return self.tell(ev.Folded(fold.round, fold.attempt, f"w{fold.round}"))


# ------------------------------------------------------------------------------------------------------ the undisturbed


def test_after_round_zero_everybody_has_a_task_with_the_same_weights() -> None:
    harness = Harness()
    assert tasks(harness.begun) == dict.fromkeys(harness.names, (1, 0, "w0"))
    (sent,) = only(e.Send, harness.begun)
    assert sent.message.agreement == {"columns": ["x"]}


def test_who_answers_gets_the_next_task_at_once_and_the_others_none() -> None:
    harness = Harness()
    effects = harness.answer("client-1")
    assert tasks(effects) == {"client-1": (2, 0, "w0")}
    assert not only(e.Fold, effects)


def test_a_full_buffer_is_a_step_in_name_order_each_with_its_base_and_staleness() -> None:
    harness = Harness()
    harness.answer("client-2", loss=3.0)
    effects = harness.answer("client-0", loss=1.0)
    (fold,) = only(e.Fold, effects)
    assert (fold.round, fold.attempt, fold.body) == (1, 0, "w0")
    assert [(c.client, c.body, c.base, c.staleness) for c in fold.contributions] == [
        ("client-0", "client-0 1 from w0", "w0", 0),
        ("client-2", "client-2 1 from w0", "w0", 0),
    ]
    harness.now = 3.0
    effects = harness.step()
    assert harness.published("round.completed")[-1] == {
        "round": 1, "participants": ["client-0", "client-2"], "closed_by": "buffer", "duration_s": 3.0,
        "waiting_s": 0.0, "folding_s": 3.0,
        "loss": pytest.approx(2.0), "staleness": [0, 0], "staleness_mean": 0.0, "staleness_max": 0,
    }  # fmt: skip
    assert only(e.Evaluate, effects) == [e.Evaluate(1, "test", "w1")]
    # client-1 works on: nobody waits for it, and what it started from has aged by a step.
    harness.answer("client-1")
    (fold,) = only(e.Fold, harness.answer("client-0"))
    assert [(c.client, c.base, c.staleness) for c in fold.contributions] == [
        ("client-0", "w1", 0),
        ("client-1", "w0", 1),
    ]


def test_who_fills_the_buffer_is_tasked_with_what_comes_of_it() -> None:
    harness = Harness(buffer=1)
    assert not tasks(harness.answer("client-0"))
    assert tasks(harness.step()) == {"client-0": (2, 0, "w1")}


def test_a_client_may_be_in_a_step_twice_and_each_of_its_tasks_has_a_number_of_its_own() -> None:
    harness = Harness(2, buffer=3)
    harness.answer("client-1")
    harness.answer("client-0")
    (fold,) = only(e.Fold, harness.answer("client-1"))
    assert [(c.client, c.body) for c in fold.contributions] == [
        ("client-0", "client-0 1 from w0"),
        ("client-1", "client-1 1 from w0"),
        ("client-1", "client-1 2 from w0"),
    ]
    harness.step()
    assert harness.published("round.completed")[-1]["participants"] == ["client-0", "client-1"]


def test_steps_are_made_one_at_a_time_and_what_comes_meanwhile_waits() -> None:
    harness = Harness(4, buffer=1)
    harness.answer("client-0")
    assert not only(e.Fold, harness.answer("client-1"))
    assert not only(e.Fold, harness.answer("client-2"))
    (fold,) = only(e.Fold, harness.step())
    assert [(c.client, c.base, c.staleness) for c in fold.contributions] == [("client-1", "w0", 1)]
    (fold,) = only(e.Fold, harness.step())
    assert [(c.client, c.base, c.staleness) for c in fold.contributions] == [("client-2", "w0", 2)]


def test_a_share_of_the_clients_works_at_once_and_the_next_is_drawn() -> None:
    def story() -> list[str]:
        harness = Harness(6, participation=0.5, seed=3)
        first = tasks(harness.begun)
        assert len(first) == 3
        drawn = []
        for _ in range(12):
            (name,) = tasks(harness.answer(min(harness.state.run.ledger.out))) or tasks(harness.step())
            assert len(harness.state.run.ledger.out) == 3
            drawn.append(name)
        return [*first, *drawn]

    assert story() == story()
    assert set(story()) == {f"client-{i}" for i in range(6)}


def test_the_last_step_stops_everybody_with_the_final_model() -> None:
    harness = Harness(rounds=2, buffer=1)
    harness.answer("client-0")
    harness.step()
    harness.answer("client-0")
    effects = harness.step()
    assert set(tasks(effects, "finish")) == set(harness.names)
    for name, (number, attempt, body) in tasks(effects, "finish").items():
        assert (number, attempt) > harness.held[name][:2], "a client would take it for an old task"
        assert body == "w2"
    assert harness.finished() is None
    assert harness.answer("client-1") == [], "no fault of it: it could not know"
    harness.tell(ev.Evaluated(1, "test", {"accuracy": 0.4}))
    effects = harness.tell(ev.Evaluated(2, "test", {"accuracy": 0.5}))
    assert only(e.Completed, effects)[0].metrics == {"test": {"accuracy": 0.5}}
    assert harness.finished() == e.Finish("completed")


def test_sites_measure_the_last_model_even_where_their_tasks_ran_ahead() -> None:
    harness = Harness(2, rounds=1, buffer=5, evaluate_test=False, evaluate_sites=True)
    for name in ("client-0",) * 4 + ("client-1",):
        harness.answer(name)
    asked = tasks(harness.step(), "evaluate")
    assert set(asked) == {"client-0", "client-1"}
    for name, score in (("client-0", 0.9), ("client-1", 0.5)):
        assert asked[name][:2] > harness.held[name][:2]
        metrics = {"holdout_accuracy": score, "holdout_examples": 10.0}
        harness.say(name, m.Update(*asked[name][:2], 10, metrics))
    reported = harness.published("metric.test")[-1]
    assert (reported["round"], reported["accuracy"], reported["worst"]["site"]) == (1, pytest.approx(0.7), "client-1")
    assert harness.finished() == e.Finish("completed")


@pytest.mark.parametrize("fixed", [True, False])
def test_models_that_sites_are_asked_for_after_the_last_step_are_taken(
    fixed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not fixed:
        every = lambda self, _, update: self.closing and update.payload is not None  # noqa: E731
        monkeypatch.setattr(RunState, "overtaken", every)
    harness = Harness(2, rounds=1, evaluate_test=False, evaluate_sites=True, site_matrix=True)
    for name in harness.names:
        harness.answer(name)
    own: dict[str, tuple[int, int, Any]] = {}
    for name, (number, attempt, _) in tasks(harness.step(), "evaluate").items():
        own |= tasks(harness.say(name, m.Update(number, attempt, 10, {"holdout_accuracy": 0.5})), "alone")
    assert set(own) == set(harness.names)
    for name, (number, attempt, _) in own.items():
        harness.say(name, m.Update(number, attempt, 10, {}, None, MODEL), f"own of {name}")
    judged = [effect for effect in only(e.Send, harness.effects) if getattr(effect.message, "work", "") == "judge"]
    assert [effect.body for effect in judged] == (["own of client-0"] if fixed else [])


def test_steps_that_outrun_the_test_set_are_not_all_evaluated_but_the_last_is() -> None:
    harness = Harness(rounds=9, buffer=1)
    evaluated = []
    for number in range(1, 10):
        harness.now = float(number)
        harness.answer("client-0")
        evaluated += [x.round for x in only(e.Evaluate, harness.step())]
        if number == 2:
            harness.tell(ev.Evaluated(1, "test", {"accuracy": 0.5}))  # it took a second: three more are for the steps
    assert evaluated == [1, 5, 9]


def test_a_goal_ends_the_run_with_the_very_model_that_reached_it() -> None:
    harness = Harness(buffer=1, until="accuracy=0.9")
    harness.answer("client-0")
    harness.step()
    assert not only(e.Fold, harness.answer("client-1")), "no step before the evaluation is in"
    assert set(harness.state.run.ledger.out) == set(harness.names), "but nobody waits"
    effects = harness.tell(ev.Evaluated(1, "test", {"accuracy": 0.95}))
    assert {body for *_, body in tasks(effects, "finish").values()} == {"w1"}
    assert harness.published("run.stopping") == [
        {"round": 1, "stopped_by": "until", "reason": "accuracy >= 0.9 was reached in round 1: 0.95"}
    ]
    assert harness.finished() == e.Finish("completed")


def test_an_evaluation_that_does_not_end_the_run_lets_the_steps_go_on() -> None:
    harness = Harness(buffer=1, until="accuracy=0.9")
    harness.answer("client-0")
    harness.step()
    harness.answer("client-1")
    (fold,) = only(e.Fold, harness.tell(ev.Evaluated(1, "test", {"accuracy": 0.5})))
    assert [c.client for c in fold.contributions] == ["client-1"]


def test_a_spent_budget_ends_the_run_with_the_step_that_is_made_next() -> None:
    harness = Harness(buffer=1, budget_s=5.0)
    harness.until(6.0, beating=harness.names)
    assert harness.finished() is None
    harness.answer("client-0")
    assert set(tasks(harness.step(), "finish")) == set(harness.names)
    harness.tell(ev.Evaluated(1, "test", {"accuracy": 0.5}))
    assert harness.published("run.stopping")[0]["stopped_by"] == "budget"
    assert harness.finished() == e.Finish("completed")


# ------------------------------------------------------------------------------------------------------------- refusals


def test_an_update_counts_once() -> None:
    harness = Harness()
    number, attempt, _ = harness.held["client-0"]
    harness.answer("client-0")
    effects = harness.say("client-0", m.Update(number, attempt, 10, {}, None, MODEL), "again")
    assert refusals(effects) == [("duplicate", "client-0 has answered task 1 already")]
    assert not only(e.Fold, effects)


def test_an_answer_to_another_task_than_the_one_it_has_is_refused() -> None:
    harness = Harness()
    for _ in range(3):
        harness.answer("client-0") and harness.state.buffer.buffer.step and harness.step()
    effects = harness.say("client-0", m.Update(1, 0, 10, {}, None, MODEL), "old")
    assert refusals(effects)[0][0] == "stale"
    effects = harness.say("client-1", m.Update(1, 7, 10, {}, None, MODEL), "of another incarnation")
    assert refusals(effects) == [("stale", "task 1, attempt 7 is over; task 1, attempt 0 is with it")]


def test_a_stranger_is_not_counted() -> None:
    harness = Harness()
    assert refusals(harness.say("client-9", m.Update(1, 0, 10, {}, None, MODEL), "x"))[0][0] == "uninvited"


def test_a_broken_update_is_refused_and_its_client_asked_again_after_a_rest_that_grows() -> None:
    harness = Harness()
    effects = harness.answer("client-0", flaw=NAN)
    assert refusals(effects) == [("values", NAN)]
    assert not tasks(effects)
    for rest in (0.5, 1.0):
        since = harness.now
        while not (found := tasks(harness.until(harness.now + 0.5, beating=harness.names))):
            pass
        assert set(found) == {"client-0"}
        assert harness.now - since == rest
        harness.answer("client-0", flaw=NAN)
    assert not harness.state.buffer.buffer.waiting
    assert "is on probation, and not asked before round 7" in harness.published("warning")[-2]["reason"]
    for step in range(1, 7):
        assert not tasks(harness.until(harness.now + 2.0, beating=harness.names))
        harness.answer("client-1")
        harness.answer("client-2")
        found = tasks(harness.step())
        assert ("client-0" in found) == (step == 6), "probation is over after as many steps"


def check_one_on_probation_is_asked_where_no_step_can_be_made_without_it() -> None:
    harness = Harness(2, min_clients=None)
    for _ in range(3):
        harness.answer("client-1", flaw=NAN)
        harness.until(harness.now + 4.0, beating=harness.names)
    assert any("is on probation" in each["reason"] for each in harness.published("warning"))
    for _ in range(3):
        harness.answer("client-0")
        harness.answer("client-1")
        assert only(e.Fold, harness.effects)
        harness.step()
    assert harness.state.run.completed == 3


def test_one_on_probation_is_asked_where_no_step_can_be_made_without_it() -> None:
    check_one_on_probation_is_asked_where_no_step_can_be_made_without_it()


def test_without_asking_it_the_other_would_wait_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    trusted = ClientRegistry.trusted
    monkeypatch.setattr(ClientRegistry, "trusted", lambda self, number, _=1: trusted(self, number))
    with pytest.raises(AssertionError):
        check_one_on_probation_is_asked_where_no_step_can_be_made_without_it()


def test_what_is_staler_than_allowed_is_refused_and_its_client_tasked_at_once() -> None:
    harness = Harness(buffer=1, max_staleness=2)
    for _ in range(3):
        harness.answer("client-0")
        harness.step()
    effects = harness.answer("client-1")
    assert refusals(effects) == [("stale", "the model has made 3 steps meanwhile; at most 2 are allowed")]
    assert tasks(effects) == {"client-1": (4, 0, "w3")}
    assert harness.published("update.rejected")[-1]["subject"] == "client-1"
    assert not only(e.Fold, effects)


def test_staleness_is_that_of_the_step_that_will_take_it() -> None:
    """Two steps stand before it in the queue, of which one is being made."""
    harness = Harness(4, buffer=1, max_staleness=1)
    harness.answer("client-0")
    harness.answer("client-1")
    assert refusals(harness.answer("client-2"))[0] == (
        "stale",
        "the model has made 2 steps meanwhile; at most 1 are allowed",
    )


def test_whom_the_strategy_leaves_out_is_named() -> None:
    harness = Harness()
    harness.answer("client-0")
    harness.answer("client-1")
    effects = harness.tell(ev.Folded(1, 0, "w1", rejected={"client-1": "an outlier"}))
    assert refusals(effects) == [("values", "an outlier")]
    assert harness.published("round.completed")[-1]["participants"] == ["client-0"]


# -------------------------------------------------------------------------------------------------- time and misfortune


def test_who_does_not_answer_in_time_is_named_and_asked_again_and_the_old_answer_does_not_count() -> None:
    harness = Harness(deadline_s=10.0)
    old = harness.held["client-2"]
    asked: dict[str, Any] = {}
    for second in range(1, 13):
        asked |= tasks(harness.until(float(second), beating=harness.names))
        if second < 10:
            for name in ("client-0", "client-1"):
                harness.answer(name)
                if harness.state.buffer.buffer.step:
                    harness.step()
    (reported,) = (x for x in harness.published("warning") if x["subject"] == "client-2")
    assert reported["reason"] == "task 1: no answer within 10 s (last heard: train for 9.9 s)"
    assert harness.held["client-2"] > old
    waiting = len(harness.state.buffer.buffer.waiting)
    assert harness.say("client-2", m.Update(*old[:2], 10, {}, None, MODEL), "late") == [], "it was named already"
    assert len(harness.state.buffer.buffer.waiting) == waiting


def test_a_deadline_moves_while_the_answer_does() -> None:
    harness = Harness(1, deadline_s=10.0)
    while harness.now < 20.0:
        at = min(harness.timers.values())
        harness.tell(ev.Arrived("client-0", m.Heartbeat(round=1, state="idle", sending=(1,))), at)
        harness.until(at)
    assert not harness.published("warning")
    harness.answer("client-0")
    assert len(harness.state.buffer.buffer.waiting) == 1


def test_without_any_answer_the_run_fails_by_name() -> None:
    harness = Harness(2, deadline_s=10.0)
    harness.until(29.0, beating=harness.names)
    assert harness.finished() is None
    harness.until(31.0, beating=harness.names)
    end = harness.finished()
    assert end is not None
    assert end.reason.startswith("no update that could be used has come for 30 s; client-0: ")


def test_with_too_few_clients_nothing_is_asked_and_the_run_fails_by_name() -> None:
    harness = Harness(3, deadline_s=10.0, min_clients=2, wait_deadline_s=30.0)
    for name in ("client-1", "client-2"):
        harness.say(name, m.Goodbye(round=0, reason="enough"))
    assert not tasks(harness.answer("client-0"))
    harness.until(31.0, beating=["client-0"])
    end = harness.finished()
    assert end is not None
    assert end.reason.startswith("round 1 waited 30 s for clients: 1 of at least 2 are there; missing: client-1")


def test_clients_that_come_and_go_do_not_put_off_the_end() -> None:
    harness = Harness(2, deadline_s=10.0, min_clients=2, wait_deadline_s=20.0)
    for second in range(0, 100, 5):  # five seconds both, five seconds one
        if harness.finished():
            break
        beating = harness.names if second % 10 == 0 else harness.names[:1]
        for tick in range(1, 6):
            harness.until(float(second + tick), beating=beating)
    end = harness.finished()
    assert end is not None
    assert end.reason.startswith("no update that could be used has come for 30 s")
    assert 40.0 < harness.now <= 60.0


def test_a_client_that_comes_back_is_tasked_at_once_and_its_previous_task_is_over() -> None:
    harness = Harness()
    old = harness.held["client-0"]
    harness.tell(ev.LinkLost("client-0", "its connection has ended"))
    effects = harness.join("client-0")
    assert tasks(effects) == {"client-0": (2, 0, "w0")}
    assert only(e.Send, effects)[0].message.agreement is not None, "a new process knows nothing"
    harness.say("client-0", m.Update(*old[:2], 10, {}, None, MODEL), "old")
    assert not harness.state.buffer.buffer.waiting


def test_a_client_that_joins_late_is_tasked_at_once() -> None:
    harness = Harness(buffer=1)
    harness.answer("client-0")
    harness.step()
    assert tasks(harness.join("client-7")) == {"client-7": (2, 0, "w1")}


def test_who_is_silent_is_not_asked_but_may_still_answer() -> None:
    harness = Harness(participation=0.5)
    (first, second) = sorted(tasks(harness.begun))
    others = [n for n in harness.names if n != first]
    effects = harness.until(3.0, beating=others)
    assert first in {x["subject"] for x in harness.published("node.suspect")}
    assert len(tasks(effects)) == 0, "ceil(0.5 * 2) work already"
    harness.answer(first)
    assert [w.update.client for w in harness.state.buffer.buffer.waiting] == [first]
    assert second in harness.state.run.ledger.out


def test_a_step_that_fails_takes_its_updates_with_it_and_three_in_a_row_the_run() -> None:
    harness = Harness(buffer=1)
    for attempt in range(3):
        (fold,) = only(e.Fold, harness.answer("client-0"))
        assert (fold.round, fold.attempt) == (1, attempt)
        effects = harness.tell(ev.WorkFailed("fold", 1, attempt, "StrategyError: no"))
    assert [x["attempt"] for x in harness.published("round.failed")] == [0, 1, 2]
    assert only(e.Finish, effects)[0].reason.startswith("step 1 failed 3 times in a row: StrategyError: no (docs/")


def test_who_declines_is_asked_again_after_a_rest() -> None:
    harness = Harness()
    assert not tasks(harness.say("client-0", m.Declined(round=1, attempt=0, reason="busy")))
    assert set(tasks(harness.until(0.6, beating=harness.names))) == {"client-0"}
    assert not tasks(harness.say("client-0", m.Declined(round=1, attempt=0, reason="busy"))), (
        "of an old task: nothing new"
    )
    assert "client-0" in harness.state.run.ledger.out


# -------------------------------------------------------------------------------------------------- another incarnation


def resumed(harness: Harness, weights: str) -> Harness:
    """Return a coordinator that goes on from what `harness` last asked to be written, and hears its clients again."""
    record = only(e.Checkpoint, harness.effects)[-1].record
    again = Harness.__new__(Harness)
    restored = CoordinatorMachine.restored(harness.state.run.config, json.loads(json.dumps(record)), weights)
    ByHand.__init__(again, harness.names, restored)
    again.held = {}
    again.tell(ev.Started())
    again.begun = [effect for name in harness.names for effect in again.join(name)]
    return again


def test_another_incarnation_goes_on_with_the_step_and_asks_anew_for_what_no_step_had_taken_up() -> None:
    harness = Harness(2, buffer=2, writes=False)
    harness.answer("client-0")
    harness.answer("client-1")
    harness.tell(ev.Saved(0))
    harness.now = 2.0
    harness.step()
    harness.answer("client-0")  # its second task waits in the buffer: no checkpoint has it
    assert only(e.Checkpoint, harness.effects)[-1].round == 1
    again = resumed(harness, "w1")
    assert again.state.run.completed == 1
    assert tasks(again.begun) == {"client-0": (2, 1, "w1"), "client-1": (2, 1, "w1")}
    old = m.Update(2, 0, 10, {}, None, MODEL)
    assert refusals(again.say("client-0", old, "of the previous incarnation"))[0][0] == "stale"
    again.answer("client-0")
    (fold,) = only(e.Fold, again.answer("client-1"))
    assert [(c.client, c.base, c.staleness) for c in fold.contributions] == [
        ("client-0", "w1", 0),
        ("client-1", "w1", 0),
    ]


def test_a_client_is_taken_up_where_its_last_counted_task_left_it_however_far_the_steps_are() -> None:
    harness = Harness(2, buffer=1, writes=False)
    harness.answer("client-1")
    harness.step()
    for _ in range(4):
        harness.answer("client-0")
        harness.step()
    harness.tell(ev.Saved(0))
    harness.until(1.5, beating=harness.names)
    assert only(e.Checkpoint, harness.effects)[-1].round == 5
    assert tasks(resumed(harness, "w5").begun) == {"client-0": (6, 1, "w5"), "client-1": (2, 1, "w5")}


def test_what_is_said_to_be_durable_is_what_the_disk_says_of_that_very_client() -> None:
    harness = Harness(2, buffer=1, writes=False)
    harness.answer("client-1")
    harness.step()
    harness.tell(ev.Saved(0))
    harness.until(1.5, beating=harness.names)
    harness.tell(ev.Saved(1))
    for name in ("client-0", "client-1"):
        harness.answer(name)
        effects = harness.step()
        (task,) = (send.message for send in only(e.Send, effects) if isinstance(send.message, m.Task))
        assert task.durable == {"client-0": 0, "client-1": 1}[name]
