"""Checkpoints: when they are asked for, what they hold, and how a coordinator goes on from one; and work that hangs."""

import json
from collections.abc import Iterable
from typing import Any, TypeVar

import pytest
from nervenet.broker import messages as m
from nervenet.nodes.config.schema import Timing
from nervenet.nodes.federated.checkpointing import CheckpointPolicy
from nervenet.nodes.federated.coordinator_machine import CoordinatorMachine
from nervenet.nodes.federated.evaluation import Evaluation
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev

T = TypeVar("T")
MODEL = m.Payload(layout="a1b2", dtype="float32", length=5)


def only(kind: type[T], effects: Iterable[e.Effect]) -> list[T]:
    return [effect for effect in effects if isinstance(effect, kind)]


def saved_rounds(harness: Any) -> list[int]:
    return [one.round for one in only(e.Checkpoint, harness.effects)]


# ----------------------------------------------------------------------------------------------------------------- when


def test_a_checkpoint_follows_each_round_and_says_all_that_the_machine_remembers(coordinator: Any) -> None:
    harness = coordinator(rounds=5, writes=False).settle()
    harness.tell(ev.Saved(0))
    harness.now = 2.0
    effects = harness.train()
    (one,) = only(e.Checkpoint, effects)
    assert (one.round, one.body) == (1, "w1")
    record = json.loads(json.dumps(one.record))
    assert record["completed"] == 1
    assert record["agreement"] == {"columns": ["x"]}
    assert record["payload"] == {"layout": "a1b2", "dtype": "float32", "length": 5}
    assert record["clients"]["client-0"] == {
        "here": True,
        "examples": 1000,
        "strikes": 0,
        "probations": 0,
        "barred": 0,
        "counted": 1,
    }
    kinds = [type(effect) for effect in effects]
    assert kinds.index(e.Checkpoint) < kinds.index(e.Evaluate), "the one takes milliseconds, the other need not"


def test_at_most_one_a_second_and_one_at_a_time(coordinator: Any) -> None:
    harness = coordinator(rounds=20, writes=False).settle()
    for number, now in ((1, 0.1), (2, 0.2)):
        harness.now = now
        harness.train(number)
    assert saved_rounds(harness) == [0], "it is still being written"
    harness.tell(ev.Saved(0), 0.3)
    assert (saved_rounds(harness), harness.timers["checkpoint",]) == ([0], 1.0)
    harness.until(1.0, beating=harness.names)
    assert saved_rounds(harness) == [0, 2]
    harness.now = 1.1
    harness.train(3)
    harness.tell(ev.Saved(2), 2.5)
    assert saved_rounds(harness) == [0, 2, 3]


def test_tasks_say_what_is_on_the_disk(coordinator: Any) -> None:
    harness = coordinator(rounds=5, writes=False).settle()
    harness.now = 2.0
    harness.tell(ev.Saved(0))
    harness.train()
    harness.tell(ev.Saved(1), 3.0)
    harness.train(2)
    tasks = [send.message for send in only(e.Send, harness.effects) if isinstance(send.message, m.Task)]
    assert [(task.round, task.durable) for task in tasks] == [(0, 0), (1, 0), (2, 0), (3, 1)]


def check_the_run_ends_when_its_last_round_is_kept(coordinator: Any) -> None:
    harness = coordinator(rounds=2, writes=False, evaluate_test=False).settle()
    harness.tell(ev.Saved(0))
    harness.train(1)
    harness.train(2)
    assert saved_rounds(harness) == [0, 2], "the last one does not wait for its second"
    assert harness.finished() is None
    harness.tell(ev.Saved(2))
    assert harness.finished() == e.Finish("completed")


def test_the_run_ends_when_its_last_round_is_kept(coordinator: Any) -> None:
    check_the_run_ends_when_its_last_round_is_kept(coordinator)


def test_the_last_round_would_wait_for_its_second(coordinator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        CheckpointPolicy, "urgent", property(lambda self: False, lambda self, value: None), raising=False
    )
    with pytest.raises(AssertionError):
        check_the_run_ends_when_its_last_round_is_kept(coordinator)


def test_the_last_round_is_kept_even_while_another_is_being_written(coordinator: Any) -> None:
    harness = coordinator(rounds=2, writes=False, evaluate_test=False).settle()
    harness.train(1)
    harness.train(2)
    harness.tell(ev.Saved(0))
    assert saved_rounds(harness) == [0, 2]
    harness.tell(ev.Saved(2))
    assert harness.finished() == e.Finish("completed")


def test_a_disk_that_refuses_is_reported_and_the_run_goes_on(coordinator: Any) -> None:
    harness = coordinator(rounds=1, writes=False, evaluate_test=False).settle()
    harness.tell(ev.WorkFailed("checkpoint", 0, 0, "CheckpointError: no space left on device"))
    assert harness.published("warning") == [
        {
            "round": 0,
            "reason": "the checkpoint of round 0 was not written: CheckpointError: no space left on device; "
            "the run goes on",
        }
    ]
    harness.train()
    harness.tell(ev.WorkFailed("checkpoint", 1, 0, "CheckpointError: no space left on device"))
    assert len(harness.published("warning")) == 2
    assert harness.finished() == e.Finish("completed")
    assert harness.state.run.checkpoints.durable == 0


def test_a_disk_that_hangs_is_not_waited_for_for_ever(coordinator: Any) -> None:
    harness = coordinator(rounds=1, writes=False, evaluate_test=False).settle()
    harness.train()
    harness.until(1200.0, beating=harness.names)
    assert [reported["reason"].split(":")[0] for reported in harness.published("warning")] == [
        f"the checkpoint of round {number} was not written" for number in (0, 1)
    ]
    assert harness.finished() == e.Finish("completed")


# ------------------------------------------------------------------------------------------------- the next incarnation


def resumed(coordinator: Any, completed: int = 3, **rules: Any) -> Any:
    """A coordinator that has died after some rounds, with client-1 on probation."""
    before = coordinator(rounds=9, writes=False).settle()
    for number in range(1, completed + 1):
        before.train(number)
    before.state.run.registry["client-1"].barred = completed + 2
    record = json.loads(json.dumps(before.state.run.to_dict()))
    harness = coordinator(rounds=9, writes=False, **rules)
    harness.state = CoordinatorMachine.restored(
        harness.state.run.config, record, f"w{completed}", f"w{completed} and parts"
    )
    return harness


def test_it_gathers_sends_the_agreement_and_opens_the_next_round(coordinator: Any) -> None:
    harness = resumed(coordinator).gather()
    assert harness.published("round.started") == [{"round": 4, "attempt": 0, "asked": ["client-0", "client-2"]}]
    (sent,) = only(e.Send, harness.effects)
    assert (sent.message.work, sent.message.round, sent.message.durable) == ("train", 4, 3)
    assert sent.message.agreement == {"columns": ["x"]}
    assert sent.body == "w3 and parts"
    assert only(e.ApplyAgreement, harness.effects) == []
    harness.answer("client-0", 4)
    (fold,) = only(e.Fold, harness.answer("client-2", 4))
    assert fold.body == "w3"


def test_it_waits_for_those_it_remembers_and_not_for_ever(coordinator: Any) -> None:
    harness = resumed(coordinator)
    harness.tell(ev.Started())
    for name in ("client-0", "client-2"):
        harness.tell(ev.LinkUp(name, "client", 1))
        harness.say(name, m.Ready(examples=1000, pid=1))
    assert harness.published("round.started") == []
    assert [said["reason"] for said in harness.published("node.waiting")] == [
        "3 of 3 clients: client-0, client-1, client-2",
        "2 of 3 clients: client-1, client-2",
        "1 of 3 clients: client-1",
    ]
    harness.until(30.0, beating=("client-0", "client-2"))
    assert harness.published("round.started")[0]["asked"] == ["client-0", "client-2"]


def test_too_few_of_them_end_the_run_by_name(coordinator: Any) -> None:
    harness = resumed(coordinator)
    harness.tell(ev.Started())
    harness.until(30.0)
    assert harness.finished() is not None
    assert "still missing: client-0, client-1, client-2" in harness.finished().reason


def test_what_was_complete_is_evaluated_if_it_was_due(coordinator: Any) -> None:
    harness = resumed(coordinator).gather()
    assert only(e.Evaluate, harness.effects) == [e.Evaluate(3, "test", "w3")]
    none = resumed(coordinator, evaluate_every=2).gather()
    assert only(e.Evaluate, none.effects) == []


def test_a_run_that_was_complete_only_concludes(coordinator: Any) -> None:
    before = coordinator(rounds=2, writes=False).settle()
    before.train(1)
    before.train(2)
    harness = coordinator(rounds=2, writes=False)
    harness.state = CoordinatorMachine.restored(harness.state.run.config, before.state.run.to_dict(), "w2")
    harness.gather()
    (finish,) = only(e.Send, harness.effects)
    assert (finish.message.work, finish.to, finish.body) == ("finish", harness.names, "w2")
    harness.tell(ev.Evaluated(2, "test", {"accuracy": 0.5}))
    assert harness.finished() == e.Finish("completed")
    assert harness.published("round.started") == []


def works(harness: Any) -> list[str]:
    return [send.message.work for send in only(e.Send, harness.effects)]


def test_nobody_is_let_go_before_the_last_round_is_written(coordinator: Any) -> None:
    harness = coordinator(rounds=1, writes=False, evaluate_test=False).settle()
    harness.tell(ev.Saved(0))
    harness.train()
    assert saved_rounds(harness) == [0, 1]
    assert "finish" not in works(harness)
    harness.tell(ev.Saved(1))
    assert works(harness)[-1] == "finish"
    assert harness.finished() == e.Finish("completed")


def judged_by_sites(coordinator: Any) -> Any:
    """A run that is killed when the sites have judged its last model, and some of them have it and are gone."""
    rules = {"rounds": 1, "writes": False, "evaluate_test": False, "evaluate_sites": True}
    before = coordinator(**rules).settle()
    before.tell(ev.Saved(0), 5.0)
    before.train()
    before.tell(ev.Saved(1))
    for name in before.names:
        before.say(name, m.Update(1, 1, 10, {"holdout_accuracy": 0.5, "holdout_examples": 4}, None, None))
    assert saved_rounds(before) == [0, 1, 1], "once more, with what the sites have found"
    assert "finish" not in works(before)
    harness = coordinator(**rules)
    harness.state = CoordinatorMachine.restored(
        harness.state.run.config, only(e.Checkpoint, before.effects)[-1].record, "w1"
    )
    return harness


def test_what_the_sites_have_said_of_the_last_model_is_not_asked_again(coordinator: Any) -> None:
    harness = judged_by_sites(coordinator).gather()
    harness.tell(ev.Saved(1))
    assert works(harness) == ["finish"]
    assert harness.finished() == e.Finish("completed")


def test_where_nothing_is_left_to_do_nobody_is_needed(coordinator: Any) -> None:
    harness = judged_by_sites(coordinator)
    harness.tell(ev.Started())
    harness.until(30.0)
    harness.tell(ev.Saved(1))
    assert harness.finished() == e.Finish("completed")


def test_and_where_nobody_is_expected_it_ends_at_once(coordinator: Any) -> None:
    before = judged_by_sites(coordinator)
    harness = coordinator(n=0, rounds=1, writes=False, evaluate_test=False, evaluate_sites=True)
    harness.state = CoordinatorMachine.restored(harness.state.run.config, before.state.run.to_dict(), "w1")
    harness.tell(ev.Started())
    harness.tell(ev.Saved(1))
    assert harness.finished() == e.Finish("completed")


def test_a_run_that_was_complete_still_asks_the_sites(coordinator: Any) -> None:
    rules = {"rounds": 2, "evaluate_test": False, "evaluate_sites": True}
    before = coordinator(**rules).settle()
    before.train(1)
    before.train(2)
    harness = coordinator(**rules)
    harness.state = CoordinatorMachine.restored(harness.state.run.config, before.state.run.to_dict(), "w2")
    harness.gather()
    assert [send.message.work for send in only(e.Send, harness.effects)] == ["evaluate"]


def rounds_reported(coordinator: Any) -> list[int]:
    """Which rounds are reported where a coordinator is killed in round 2 of 3, before the sites have judged round 1."""
    rules = {"rounds": 3, "evaluate_test": False, "evaluate_sites": True}
    before = coordinator(**rules).settle()
    before.train(1)
    after = coordinator(**rules)
    after.state = CoordinatorMachine.restored(after.state.run.config, before.state.run.to_dict(), "w1")
    after.gather()
    for number in (2, 3):
        after.train(number)
    number, attempt = after.state.run.newest_key
    for name in after.names:
        after.say(name, m.Update(number, attempt, 10, {"holdout_accuracy": 0.5, "holdout_examples": 4}, None, None))
    return [done.round for done in [*only(e.Completed, before.effects), *only(e.Completed, after.effects)]]


def test_the_round_that_was_to_be_judged_at_the_kill_is_reported(coordinator: Any) -> None:
    assert rounds_reported(coordinator) == [1, 2, 3]


def test_forgotten_by_a_restored_evaluation_it_never_would_be(
    coordinator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    restore = Evaluation.restore

    def forgetful(evaluation: Evaluation, *known: Any) -> None:
        restore(evaluation, *known)
        evaluation._unjudged.clear()

    monkeypatch.setattr(Evaluation, "restore", forgetful)
    assert rounds_reported(coordinator) == [2, 3]


def test_a_checkpoint_of_round_zero_is_one(coordinator: Any) -> None:
    harness = resumed(coordinator, 0).gather()
    assert harness.published("round.started")[0]["round"] == 1


def test_a_restored_machine_has_the_same_record(coordinator: Any) -> None:
    harness = resumed(coordinator)
    record = harness.state.run.to_dict()
    assert CoordinatorMachine.restored(harness.state.run.config, record, "w3").run.to_dict() == record


def test_what_a_client_claims_after_its_own_death_counts(coordinator: Any) -> None:
    harness = resumed(coordinator)
    harness.tell(ev.Started())
    harness.tell(ev.LinkUp("client-0", "client", 1))
    harness.say("client-0", m.Ready(examples=700, pid=1))
    assert harness.state.run.registry["client-0"].examples == 700


# ------------------------------------------------------------------------------------------------------ work that hangs


@pytest.mark.parametrize("kind", ["agreement", "fold", "evaluate"])
def test_work_that_hangs_ends_the_run_by_name(coordinator: Any, kind: str) -> None:
    harness = coordinator(2, rounds=2)
    if kind == "agreement":
        harness.gather()
        for name in harness.names:
            harness.say(name, m.Update(0, 0, 10, {}, {}, m.Payload("survey", "float64", 9)), "s")
    else:
        harness.settle()
        for name in harness.names:
            harness.answer(name)
    if kind == "evaluate":
        harness.tell(ev.Folded(1, 0, "w1"))
        harness.train(2)
        harness.tell(ev.Evaluated(1, "test", {"accuracy": 0.5}))
    harness.until(599.0, beating=harness.names)
    assert harness.finished() is None
    harness.until(600.0, beating=harness.names)
    number = {"agreement": 0, "fold": 1, "evaluate": 2}[kind]
    assert harness.finished() == e.Finish("failed", f"the {kind} of round {number} did not end within 600 s")


def test_work_that_hangs_would_hold_the_run_for_ever(coordinator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Timing, "work_deadline_s", property(lambda self: float("inf")))
    with pytest.raises(AssertionError):
        test_work_that_hangs_ends_the_run_by_name(coordinator, "fold")


def test_work_that_ends_leaves_no_timer(coordinator: Any) -> None:
    harness = coordinator(rounds=1, writes=False).settle()
    harness.train()
    harness.tell(ev.Evaluated(1, "test", {}))
    harness.tell(ev.Saved(0))
    harness.tell(ev.Saved(1))
    assert [key for key in harness.timers if key[0] == "work"] == []
    assert harness.finished() == e.Finish("completed")
