"""Checkpoints: when they are asked for, what they hold, and the life that goes on from one; and work that hangs."""

import json
from collections.abc import Iterable
from typing import Any, TypeVar

import pytest
from nervenet.broker import messages as m
from nervenet.nodes.config.schema import Timing
from nervenet.nodes.federated.coordinator_machine import CoordinatorMachine
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev

T = TypeVar("T")
MODEL = m.Payload(layout="a1b2", dtype="float32", length=5)


def only(kind: type[T], effects: Iterable[e.Effect]) -> list[T]:
    return [effect for effect in effects if isinstance(effect, kind)]


def kept(desk: Any) -> list[int]:
    return [one.round for one in only(e.Checkpoint, desk.effects)]


# ----------------------------------------------------------------------------------------------------------------- when


def test_a_checkpoint_follows_each_round_and_says_all_that_the_machine_remembers(coordinator: Any) -> None:
    desk = coordinator(rounds=5, writes=False).settle()
    desk.tell(ev.Saved(0))
    desk.now = 2.0
    effects = desk.train()
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
    desk = coordinator(rounds=20, writes=False).settle()
    for number, now in ((1, 0.1), (2, 0.2)):
        desk.now = now
        desk.train(number)
    assert kept(desk) == [0], "it is still being written"
    desk.tell(ev.Saved(0), 0.3)
    assert (kept(desk), desk.timers["checkpoint",]) == ([0], 1.0)
    desk.until(1.0, beating=desk.names)
    assert kept(desk) == [0, 2]
    desk.now = 1.1
    desk.train(3)
    desk.tell(ev.Saved(2), 2.5)
    assert kept(desk) == [0, 2, 3]


def test_tasks_say_what_is_on_the_disk(coordinator: Any) -> None:
    desk = coordinator(rounds=5, writes=False).settle()
    desk.now = 2.0
    desk.tell(ev.Saved(0))
    desk.train()
    desk.tell(ev.Saved(1), 3.0)
    desk.train(2)
    tasks = [send.message for send in only(e.Send, desk.effects) if isinstance(send.message, m.Task)]
    assert [(task.round, task.durable) for task in tasks] == [(0, 0), (1, 0), (2, 0), (3, 1)]


def check_the_run_ends_when_its_last_round_is_kept(coordinator: Any) -> None:
    desk = coordinator(rounds=2, writes=False, evaluate_test=False).settle()
    desk.tell(ev.Saved(0))
    desk.train(1)
    desk.train(2)
    assert kept(desk) == [0, 2], "the last one does not wait for its second"
    assert desk.finished() is None
    desk.tell(ev.Saved(2))
    assert desk.finished() == e.Finish("completed")


def test_the_run_ends_when_its_last_round_is_kept(coordinator: Any) -> None:
    check_the_run_ends_when_its_last_round_is_kept(coordinator)


def test_the_last_round_would_wait_for_its_second(coordinator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nervenet.nodes.federated.checkpointing.CheckpointPolicy.hurry", lambda self: None)
    with pytest.raises(AssertionError):
        check_the_run_ends_when_its_last_round_is_kept(coordinator)


def test_the_last_round_is_kept_even_while_another_is_being_written(coordinator: Any) -> None:
    desk = coordinator(rounds=2, writes=False, evaluate_test=False).settle()
    desk.train(1)
    desk.train(2)
    desk.tell(ev.Saved(0))
    assert kept(desk) == [0, 2]
    desk.tell(ev.Saved(2))
    assert desk.finished() == e.Finish("completed")


def test_a_disk_that_refuses_is_told_loudly_and_the_run_goes_on(coordinator: Any) -> None:
    desk = coordinator(rounds=1, writes=False, evaluate_test=False).settle()
    desk.tell(ev.WorkFailed("checkpoint", 0, 0, "CheckpointError: no space left on device"))
    assert desk.published("warning") == [
        {
            "round": 0,
            "reason": "the checkpoint of round 0 was not written: CheckpointError: no space left on device; "
            "the run goes on",
        }
    ]
    desk.train()
    desk.tell(ev.WorkFailed("checkpoint", 1, 0, "CheckpointError: no space left on device"))
    assert len(desk.published("warning")) == 2
    assert desk.finished() == e.Finish("completed")
    assert desk.state.run.checkpoints.durable == 0


def test_a_disk_that_hangs_is_not_waited_for_for_ever(coordinator: Any) -> None:
    desk = coordinator(rounds=1, writes=False, evaluate_test=False).settle()
    desk.train()
    desk.until(1200.0, beating=desk.names)
    assert [told["reason"].split(":")[0] for told in desk.published("warning")] == [
        f"the checkpoint of round {number} was not written" for number in (0, 1)
    ]
    assert desk.finished() == e.Finish("completed")


# ------------------------------------------------------------------------------------------------------- the next life


def resumed(coordinator: Any, completed: int = 3, **rules: Any) -> Any:
    """A coordinator that has died after some rounds, with client-1 on probation."""
    before = coordinator(rounds=9, writes=False).settle()
    for number in range(1, completed + 1):
        before.train(number)
    before.state.run.registry["client-1"].barred = completed + 2
    record = json.loads(json.dumps(before.state.run.to_dict()))
    desk = coordinator(rounds=9, writes=False, **rules)
    desk.state = CoordinatorMachine.restored(desk.state.run.config, record, f"w{completed}", f"w{completed} and parts")
    return desk


def test_it_gathers_tells_the_agreement_and_opens_the_next_round(coordinator: Any) -> None:
    desk = resumed(coordinator).gather()
    assert desk.published("round.started") == [{"round": 4, "attempt": 0, "asked": ["client-0", "client-2"]}]
    (sent,) = only(e.Send, desk.effects)
    assert (sent.message.work, sent.message.round, sent.message.durable) == ("train", 4, 3)
    assert sent.message.agreement == {"columns": ["x"]}
    assert sent.body == "w3 and parts"
    assert only(e.ApplyAgreement, desk.effects) == []
    desk.answer("client-0", 4)
    (fold,) = only(e.Fold, desk.answer("client-2", 4))
    assert fold.body == "w3"


def test_it_waits_for_those_it_remembers_and_not_for_ever(coordinator: Any) -> None:
    desk = resumed(coordinator)
    desk.tell(ev.Started())
    for name in ("client-0", "client-2"):
        desk.tell(ev.LinkUp(name, "client", 1))
        desk.say(name, m.Ready(examples=1000, pid=1))
    assert desk.published("round.started") == []
    desk.until(30.0, beating=("client-0", "client-2"))
    assert desk.published("round.started")[0]["asked"] == ["client-0", "client-2"]


def test_too_few_of_them_end_the_run_by_name(coordinator: Any) -> None:
    desk = resumed(coordinator)
    desk.tell(ev.Started())
    desk.until(30.0)
    assert desk.finished() is not None
    assert "still missing: client-0, client-1, client-2" in desk.finished().reason


def test_what_was_complete_is_evaluated_if_it_was_due(coordinator: Any) -> None:
    desk = resumed(coordinator).gather()
    assert only(e.Evaluate, desk.effects) == [e.Evaluate(3, "test", "w3")]
    none = resumed(coordinator, evaluate_every=2).gather()
    assert only(e.Evaluate, none.effects) == []


def test_a_run_that_was_complete_only_concludes(coordinator: Any) -> None:
    before = coordinator(rounds=2, writes=False).settle()
    before.train(1)
    before.train(2)
    desk = coordinator(rounds=2, writes=False)
    desk.state = CoordinatorMachine.restored(desk.state.run.config, before.state.run.to_dict(), "w2")
    desk.gather()
    (finish,) = only(e.Send, desk.effects)
    assert (finish.message.work, finish.to, finish.body) == ("finish", desk.names, "w2")
    desk.tell(ev.Evaluated(2, "test", {"accuracy": 0.5}))
    assert desk.finished() == e.Finish("completed")
    assert desk.published("round.started") == []


def works(desk: Any) -> list[str]:
    return [send.message.work for send in only(e.Send, desk.effects)]


def test_nobody_is_let_go_before_the_last_round_is_written(coordinator: Any) -> None:
    desk = coordinator(rounds=1, writes=False, evaluate_test=False).settle()
    desk.tell(ev.Saved(0))
    desk.train()
    assert kept(desk) == [0, 1]
    assert "finish" not in works(desk)
    desk.tell(ev.Saved(1))
    assert works(desk)[-1] == "finish"
    assert desk.finished() == e.Finish("completed")


def judged_by_sites(coordinator: Any) -> Any:
    """A run that is killed when the sites have judged its last model, and some of them have it and are gone."""
    rules = {"rounds": 1, "writes": False, "evaluate_test": False, "evaluate_sites": True}
    before = coordinator(**rules).settle()
    before.tell(ev.Saved(0), 5.0)
    before.train()
    before.tell(ev.Saved(1))
    for name in before.names:
        before.say(name, m.Update(1, 1, 10, {"holdout_accuracy": 0.5, "holdout_examples": 4}, None, None))
    assert kept(before) == [0, 1, 1], "once more, with what the sites have found"
    assert "finish" not in works(before)
    desk = coordinator(**rules)
    desk.state = CoordinatorMachine.restored(desk.state.run.config, only(e.Checkpoint, before.effects)[-1].record, "w1")
    return desk


def test_what_the_sites_have_told_of_the_last_model_is_not_asked_again(coordinator: Any) -> None:
    desk = judged_by_sites(coordinator).gather()
    desk.tell(ev.Saved(1))
    assert works(desk) == ["finish"]
    assert desk.finished() == e.Finish("completed")


def test_where_nothing_is_left_to_do_nobody_is_needed(coordinator: Any) -> None:
    desk = judged_by_sites(coordinator)
    desk.tell(ev.Started())
    desk.until(30.0)
    desk.tell(ev.Saved(1))
    assert desk.finished() == e.Finish("completed")


def test_and_where_nobody_is_expected_it_ends_at_once(coordinator: Any) -> None:
    before = judged_by_sites(coordinator)
    desk = coordinator(n=0, rounds=1, writes=False, evaluate_test=False, evaluate_sites=True)
    desk.state = CoordinatorMachine.restored(desk.state.run.config, before.state.run.to_dict(), "w1")
    desk.tell(ev.Started())
    desk.tell(ev.Saved(1))
    assert desk.finished() == e.Finish("completed")


def test_a_run_that_was_complete_still_asks_the_sites(coordinator: Any) -> None:
    rules = {"rounds": 2, "evaluate_test": False, "evaluate_sites": True}
    before = coordinator(**rules).settle()
    before.train(1)
    before.train(2)
    desk = coordinator(**rules)
    desk.state = CoordinatorMachine.restored(desk.state.run.config, before.state.run.to_dict(), "w2")
    desk.gather()
    assert [send.message.work for send in only(e.Send, desk.effects)] == ["evaluate"]


def test_a_checkpoint_of_round_zero_is_one(coordinator: Any) -> None:
    desk = resumed(coordinator, 0).gather()
    assert desk.published("round.started")[0]["round"] == 1


def test_a_second_memory_is_the_first(coordinator: Any) -> None:
    desk = resumed(coordinator)
    record = desk.state.run.to_dict()
    assert CoordinatorMachine.restored(desk.state.run.config, record, "w3").run.to_dict() == record


def test_what_a_client_claims_after_its_own_death_counts(coordinator: Any) -> None:
    desk = resumed(coordinator)
    desk.tell(ev.Started())
    desk.tell(ev.LinkUp("client-0", "client", 1))
    desk.say("client-0", m.Ready(examples=700, pid=1))
    assert desk.state.run.registry["client-0"].examples == 700


# ------------------------------------------------------------------------------------------------------ work that hangs


@pytest.mark.parametrize("kind", ["agreement", "fold", "evaluate"])
def test_work_that_hangs_ends_the_run_by_name(coordinator: Any, kind: str) -> None:
    desk = coordinator(2, rounds=2)
    if kind == "agreement":
        desk.gather()
        for name in desk.names:
            desk.say(name, m.Update(0, 0, 10, {}, {}, m.Payload("survey", "float64", 9)), "s")
    else:
        desk.settle()
        for name in desk.names:
            desk.answer(name)
    if kind == "evaluate":
        desk.tell(ev.Folded(1, 0, "w1"))
        desk.train(2)
        desk.tell(ev.Evaluated(1, "test", {"accuracy": 0.5}))
    desk.until(599.0, beating=desk.names)
    assert desk.finished() is None
    desk.until(600.0, beating=desk.names)
    number = {"agreement": 0, "fold": 1, "evaluate": 2}[kind]
    assert desk.finished() == e.Finish("failed", f"the {kind} of round {number} did not end within 600 s")


def test_work_that_hangs_would_hold_the_run_for_ever(coordinator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Timing, "work_deadline_s", property(lambda self: float("inf")))
    with pytest.raises(AssertionError):
        test_work_that_hangs_ends_the_run_by_name(coordinator, "fold")


def test_work_that_ends_leaves_no_timer(coordinator: Any) -> None:
    desk = coordinator(rounds=1, writes=False).settle()
    desk.train()
    desk.tell(ev.Evaluated(1, "test", {}))
    desk.tell(ev.Saved(0))
    desk.tell(ev.Saved(1))
    assert [key for key in desk.timers if key[0] == "work"] == []
    assert desk.finished() == e.Finish("completed")
