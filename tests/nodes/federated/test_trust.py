"""Claims beyond belief, rejections in a row, probation, and rounds of which too little is left."""

from collections.abc import Iterable
from typing import Any, TypeVar

import pytest
from nervenet.broker import messages as m
from nervenet.broker.codec import DEFAULT_LIMITS, check_size, encode
from nervenet.broker.errors import MessageTooLarge
from nervenet.nodes.federated.strategies.pipeline import by_examples
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev

T = TypeVar("T")


def only(kind: type[T], effects: Iterable[e.Effect]) -> list[T]:
    return [effect for effect in effects if isinstance(effect, kind)]


SURVEY = m.Payload(layout="survey", dtype="float64", length=9)
MODEL = m.Payload(layout="a1b2", dtype="float32", length=5)


def with_claims(coordinator: Any, claims: list[int], **rules: Any) -> Any:
    harness = coordinator(len(claims), **rules)
    harness.tell(ev.Started())
    for name, rows in zip(harness.names, claims, strict=True):
        harness.tell(ev.LinkUp(name, "client", 1))
        harness.say(name, m.Ready(examples=rows, pid=1))
    for name, rows in zip(harness.names, claims, strict=True):
        harness.say(name, m.Update(0, 0, rows, {}, {}, SURVEY), f"survey of {name}")
    harness.tell(ev.ModelReady({}, MODEL, "w0"))
    return harness


def warned(harness: Any) -> list[tuple[str, str]]:
    return [(w["subject"], w["reason"]) for w in harness.published("warning") if "subject" in w]


def check_the_largest_site_counts_as_the_cap(coordinator: Any) -> None:
    """A hospital and four practices: its survey, its updates and its classes are in, with the weight of the cap."""
    claims = [60, 60, 9_000, 60, 60]
    harness = with_claims(coordinator, claims)
    (settle,) = only(e.ApplyAgreement, harness.effects)
    assert sorted(settle.surveys) == sorted(harness.names)
    assert settle.rows["client-2"] == 6_000
    for number in (1, 2):
        for name, rows in zip(harness.names, claims, strict=True):
            harness.answer(name, number, examples=rows)
        harness.tell(ev.Folded(number, 0, f"w{number}"))
    for fold in only(e.Fold, harness.effects):
        assert [c.examples for c in fold.contributions] == [60, 60, 6_000, 60, 60]
    assert harness.published("update.rejected") == []
    assert warned(harness) == [
        (
            "client-2",
            (
                "client-2 has 9000 rows, more than 100 times the median client's (60): it counts as 6000; "
                "federated.max_examples_ratio is the limit"
            ),
        )
    ]


def test_the_largest_site_counts_as_the_cap(coordinator: Any) -> None:
    check_the_largest_site_counts_as_the_cap(coordinator)


def test_the_largest_site_would_be_thrown_out(coordinator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from nervenet.nodes.federated import admission

    unfit = admission.unfit

    def by_size(event: Any, update: Any, work: Any, model: Any, config: Any, registry: Any) -> Any:
        too_many = update.examples > registry.cap(config.federated.max_examples_ratio)
        return ("examples", "too many") if too_many else unfit(event, update, work, model, config, registry)

    monkeypatch.setattr("nervenet.nodes.federated.sync_rounds.unfit", by_size)
    with pytest.raises(AssertionError):
        check_the_largest_site_counts_as_the_cap(coordinator)


def check_a_low_ratio_takes_the_majority_from_a_claim(coordinator: Any) -> None:
    harness = with_claims(coordinator, [100, 100, 10**9, 120], max_examples_ratio=2.0)
    for name, rows in zip(harness.names, [100, 100, 10**9, 120], strict=True):
        harness.answer(name, examples=rows)
    fold = only(e.Fold, harness.effects)[-1]
    assert max(by_examples(fold.contributions)) < 0.5


def test_a_low_ratio_takes_the_majority_from_a_claim(coordinator: Any) -> None:
    check_a_low_ratio_takes_the_majority_from_a_claim(coordinator)


def test_a_claim_would_be_believed(coordinator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nervenet.nodes.federated.client_registry.ClientRegistry.cap", lambda self, ratio: 10**12)
    with pytest.raises(AssertionError):
        check_a_low_ratio_takes_the_majority_from_a_claim(coordinator)


def check_nobody_takes_the_majority_that_it_did_not_have_in_round_zero(coordinator: Any) -> None:
    """A site answers round 0 with few rows, and comes back with a hundred times the median."""
    harness = with_claims(coordinator, [100] * 10)
    harness.tell(ev.LinkUp("client-3", "client", 2))
    harness.say("client-3", m.Ready(examples=10_000, pid=2))
    for number in (1, 2):
        for name in harness.published("round.started")[-1]["asked"]:
            harness.answer(name, number, examples=10_000 if name == "client-3" else 100)
        harness.tell(ev.Folded(number, 0, f"w{number}"))
    fold = only(e.Fold, harness.effects)[-1]
    assert max(by_examples(fold.contributions)) == 0.5, "and not 0.92"
    (told,) = [reason for name, reason in warned(harness) if "more than all others together" in reason]
    assert told == (
        "client-3 counts for 10000 rows, more than all others together (900), and had 100 of 1000 rows in round 0: it "
        "counts for half; a site that holds so much takes part from round 0 on"
    )


def test_nobody_takes_the_majority_that_it_did_not_have_in_round_zero(coordinator: Any) -> None:
    check_nobody_takes_the_majority_that_it_did_not_have_in_round_zero(coordinator)


def test_who_came_back_with_many_rows_would_have_it(coordinator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "nervenet.nodes.federated.run_state.without_majority", lambda updates, told, weighted: (list(updates), {})
    )
    with pytest.raises(AssertionError):
        check_nobody_takes_the_majority_that_it_did_not_have_in_round_zero(coordinator)


def test_a_sum_of_weights_buys_no_majority_either(coordinator: Any) -> None:
    harness = with_claims(coordinator, [100] * 10)
    for name in harness.names:
        weight = {"weight": 1e9} if name == "client-3" else {}
        harness.say(name, m.Update(1, 0, 100, weight, None, MODEL), "w")
    assert max(by_examples(only(e.Fold, harness.effects)[-1].contributions)) == 0.5


def test_of_two_the_smaller_is_the_measure(coordinator: Any) -> None:
    harness = with_claims(coordinator, [100, 10**9])
    harness.answer("client-0", examples=100)
    harness.answer("client-1", examples=10**9)
    assert [c.examples for c in only(e.Fold, harness.effects)[-1].contributions] == [100, 10_000]


def test_sizes_that_differ_honestly_are_believed(coordinator: Any) -> None:
    harness = with_claims(coordinator, [10, 40, 900])
    for name, rows in zip(harness.names, [10, 40, 900], strict=True):
        harness.answer(name, examples=rows)
    assert len(only(e.Fold, harness.effects)[-1].contributions) == 3
    assert warned(harness) == []


def test_clients_without_rows_do_not_make_the_others_incredible(coordinator: Any) -> None:
    harness = coordinator(3)
    harness.tell(ev.Started())
    for name, rows in zip(harness.names, [0, 0, 50], strict=True):
        harness.tell(ev.LinkUp(name, "client", 1))
        harness.say(name, m.Ready(examples=rows, pid=1))
    assert warned(harness) == []


# ------------------------------------------------------------------------------------------------------------ probation


def a_round(harness: Any, number: int, bad: str | None = "client-1", how: str = "update") -> None:
    """Everybody who is asked answers, one of them badly."""
    for name in harness.published("round.started")[-1]["asked"]:
        if name != bad:
            harness.answer(name, number)
        elif how == "update":
            harness.say(name, m.Update(number, 0, 10, {}, None, MODEL), "nan", "values must be finite, found NaN")
        elif how == "spoiled":
            harness.tell(ev.MalformedMessage(name, "header: not a map"))
        else:
            harness.answer(name, number)
    rejected = {bad: "its norm is 900 times the median"} if bad and how == "screened" else {}
    harness.tell(ev.Folded(number, 0, f"w{number}", rejected=rejected))


def asked_in(harness: Any) -> dict[int, list[str]]:
    return {reported["round"]: reported["asked"] for reported in harness.published("round.started")}


@pytest.mark.parametrize("how", ["update", "spoiled", "screened"])
def test_three_rejections_in_a_row_cost_five_rounds_and_ten_the_next_time(coordinator: Any, how: str) -> None:
    harness = coordinator(4, rounds=30).settle()
    for number in range(1, 24):
        a_round(harness, number, "client-1" if "client-1" in asked_in(harness)[number] else None, how)
    without = [number for number, names in asked_in(harness).items() if "client-1" not in names]
    assert without == [4, 5, 6, 7, 8, *range(12, 22)]
    first, second = warned(harness)
    assert first[0] == "client-1"
    assert first[1].startswith(
        "client-1 is on probation, and not asked before round 9: 3 updates in a row were rejected or did not "
        "come, the last because "
    )
    assert "before round 22" in second[1]
    assert harness.state.run.completed == 23, "the rounds go on"


def test_two_rejections_and_a_good_one_begin_anew(coordinator: Any) -> None:
    harness = coordinator(4, rounds=30).settle()
    for number, bad in enumerate([True, True, False, True, True, False], 1):
        a_round(harness, number, "client-1" if bad else None)
    assert warned(harness) == []


def test_many_bad_answers_to_one_task_are_one_rejection(coordinator: Any) -> None:
    harness = coordinator(4).settle()
    for _ in range(5):
        harness.say("client-1", m.Update(1, 0, 0, {}, None, MODEL), "bad")
    assert warned(harness) == []


def test_leaving_and_coming_back_clears_nobodys_name(coordinator: Any) -> None:
    harness = coordinator(4, rounds=9).settle()
    a_round(harness, 1)
    a_round(harness, 2)
    harness.say("client-1", m.Goodbye(2, "nothing happened"))
    a_round(harness, 3, None)
    harness.tell(ev.LinkUp("client-1", "client", 2))
    harness.say("client-1", m.Ready(examples=1000, pid=1))
    a_round(harness, 4, None)
    a_round(harness, 5)
    assert [subject for subject, _ in warned(harness)] == ["client-1"]


def test_when_all_are_on_probation_they_are_asked_nevertheless(coordinator: Any) -> None:
    harness = coordinator(2, rounds=9).settle()
    for attempt in range(2):
        for name in harness.names:
            harness.say(name, m.Update(1, attempt, 0, {}, None, MODEL), "bad")
    assert harness.finished() is None
    for name in harness.names:
        harness.state.run.registry[name].barred = 9
    harness.answer("client-0", 1, 2)
    harness.answer("client-1", 1, 2)
    harness.tell(ev.Folded(1, 2, "w1"))
    assert asked_in(harness)[2] == ["client-0", "client-1"]


def test_when_too_few_others_are_there_those_on_probation_are_asked(coordinator: Any) -> None:
    harness = coordinator(3, min_clients=2, rounds=9).settle()
    harness.state.run.registry["client-0"].barred = harness.state.run.registry["client-1"].barred = 5
    harness.train()
    assert asked_in(harness)[2] == list(harness.names)


def check_who_lives_and_never_answers_is_on_probation(coordinator: Any) -> None:
    harness = coordinator(4, rounds=30, deadline_s=10.0).settle()
    mute = "client-3"
    for number in range(1, 10):
        asked = harness.published("round.started")[-1]["asked"]
        for name in asked:
            if name != mute:
                harness.answer(name, number)
        if mute in asked:
            harness.until(harness.now + 11.0, beating=harness.names)
        harness.tell(ev.Folded(number, 0, f"w{number}"))
    assert [number for number, names in asked_in(harness).items() if mute in names] == [0, 1, 2, 3, 9, 10]
    ((subject, reason),) = warned(harness)
    assert subject == mute
    assert reason == (
        "client-3 is on probation, and not asked before round 9: 3 updates in a row were rejected or did not come, the "
        "last because no answer within 10 s (last heard: train for 9.9 s)"
    )


def test_who_lives_and_never_answers_is_on_probation(coordinator: Any) -> None:
    check_who_lives_and_never_answers_is_on_probation(coordinator)


def test_who_never_answers_would_hold_up_every_round(coordinator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from nervenet.nodes.federated.run_state import RunState

    monkeypatch.setattr(RunState, "strike", lambda self, name, key, reason: [])
    with pytest.raises(AssertionError):
        check_who_lives_and_never_answers_is_on_probation(coordinator)


# ------------------------------------------------------------------------------------------- what the fold has rejected


def check_a_fold_that_leaves_too_little_fails_the_round(coordinator: Any) -> None:
    harness = coordinator(4, min_clients=3).settle()
    for name in harness.names:
        harness.answer(name)
    rejected = {"client-0": "its norm is 900 times the median", "client-3": "it points away from all others"}
    harness.tell(ev.Folded(1, 0, "w1", rejected=rejected))
    (reported,) = harness.published("round.failed")
    assert reported["reason"] == (
        "2 of at least 3 updates are left; client-0: rejected: its norm is 900 times the median; "
        "client-3: rejected: it points away from all others"
    )
    assert harness.state.run.weights == "w0", "nothing of it counts"
    assert harness.published("round.started")[-1]["attempt"] == 1
    assert [one["subject"] for one in harness.published("update.rejected")] == ["client-0", "client-3"]
    harness.train(1, 1)
    assert harness.state.run.completed == 1


def test_a_fold_that_leaves_too_little_fails_the_round(coordinator: Any) -> None:
    check_a_fold_that_leaves_too_little_fails_the_round(coordinator)


def test_a_fold_that_leaves_too_little_would_count(coordinator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from nervenet.nodes.federated.sync_rounds import SyncRounds

    folded = SyncRounds.folded

    def heedless(self: SyncRounds, event: ev.Folded, now: float) -> list[e.Effect]:
        assert self.run.round is not None
        self.run.round.floor = 0
        return folded(self, event, now)

    monkeypatch.setattr(SyncRounds, "folded", heedless)
    with pytest.raises(ValueError, match="not enough values"):
        check_a_fold_that_leaves_too_little_fails_the_round(coordinator)


def check_nobody_makes_the_coordinator_say_more_than_a_message_holds(coordinator: Any) -> None:
    harness = coordinator(3).settle()
    long = "x" * 200_000
    odd = m.Payload(layout=long, dtype="float32", length=5, parts=(long, long))
    harness.say("client-0", m.Update(1, 0, 10, {}, None, odd), "w")
    harness.say("client-1", m.Declined(1, 0, long[:60_000]))
    harness.say("client-2", m.Heartbeat(round=1, state=long[:60_000], sending=()))
    harness.until(31.0)
    for send in only(e.Send, harness.effects):
        if send.body is None:
            check_size(send.message, encode(send.message), DEFAULT_LIMITS)
    for kind in ("update.rejected", "round.failed"):
        assert harness.published(kind)
        assert all(len(fields["reason"]) < 10_000 for fields in harness.published(kind))


def test_nobody_makes_the_coordinator_say_more_than_a_message_holds(coordinator: Any) -> None:
    check_nobody_makes_the_coordinator_say_more_than_a_message_holds(coordinator)


def test_a_long_name_would_end_the_coordinator(coordinator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nervenet.nodes.runtime.payload_checks.LONGEST", 10**9)
    with pytest.raises(MessageTooLarge):
        check_nobody_makes_the_coordinator_say_more_than_a_message_holds(coordinator)


@pytest.mark.parametrize(
    ("encoding", "counts"), [("delta+int8", True), ("", True), ("delta", False), (" delta", False)]
)
def test_no_encoding_counts_but_the_one_that_was_agreed(coordinator: Any, encoding: str, counts: bool) -> None:
    harness = coordinator(3, compression="delta+int8").settle()
    kind = {"dtype": "uint8", "length": 9, "encoding": encoding} if encoding else {}
    payload = m.Payload(**{"layout": "a1b2", "dtype": "float32", "length": 5, **kind})
    harness.say("client-0", m.Update(1, 0, 10, {}, None, payload), "w")
    assert ("client-0" in harness.state.run.round.admitted) == counts
    reasons = [fields["reason"] for fields in harness.published("update.rejected")]
    assert reasons == ([] if counts else [f"encoding must be delta+int8, found {encoding}"])


def test_fields_of_a_survey_in_an_update_are_ignored(coordinator: Any) -> None:
    harness = coordinator(2).settle()
    harness.say("client-0", m.Update(1, 0, 10, {}, {"columns": ["y"]}, MODEL), "its weights")
    (fold,) = only(e.Fold, harness.answer("client-1"))
    assert [c.body for c in fold.contributions] == ["its weights", "client-1 1.0"]
