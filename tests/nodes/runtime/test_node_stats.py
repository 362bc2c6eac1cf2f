"""What a node's result is judged by."""

import json
from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from nervenet.nodes.runtime.node_stats import NodeStats
from nervenet.nodes.runtime.round_history import RoundHistory, rows_of


def counters() -> Any:
    return SimpleNamespace(bytes_sent=9, bytes_received=4, sent_by_kind={"weights": 6, "control": 3})


def test_rounds_metrics_and_bytes() -> None:
    record = NodeStats("coordinator")
    record.event("round.completed", {"round": 0, "duration_s": 5.0, "closed_by": "all"})
    for number in (1, 2):
        record.event("round.completed", {"round": number, "duration_s": 0.5 * number, "closed_by": "all"})
    record.event(
        "metric.test", {"round": 2, "accuracy": 0.9, "source": "sites", "worst": {"site": "b", "accuracy": 0.1}}
    )
    facts = record.report(counters())
    assert facts["completed_rounds"] == 2
    assert facts["round_s"] == [0.5, 1.0]  # round 0 agrees on things, and is no measure of a round
    assert facts["metrics"]["accuracy"] == 0.9
    assert facts["sites"]["worst"] == {"site": "b", "accuracy": 0.1}
    assert facts["disturbed"] == []
    assert "stopped" not in facts
    assert (facts["bytes_sent"], facts["bytes_sent_by_kind"]) == (9, {"weights": 6, "control": 3})


def test_how_stale_the_updates_were_over_all_steps() -> None:
    record = NodeStats("coordinator")
    for number, stale in ((1, [0, 0]), (2, [1, 3])):
        record.event("round.completed", {"round": number, "duration_s": 0.5, "closed_by": "buffer", "staleness": stale})
    assert record.report(counters())["staleness"] == {"mean": 1.0, "max": 3}
    assert "staleness" not in NodeStats("coordinator").report(counters())


def test_what_sites_tell_beside_a_test_set_does_not_stand_for_it_and_an_early_end_disturbs_nothing() -> None:
    record = NodeStats("coordinator")
    record.event("metric.test", {"round": 2, "accuracy": 0.9})
    record.event("metric.sites", {"round": 2, "accuracy": 0.7, "source": "sites"})
    record.event("run.stopping", {"round": 2, "stopped_by": "until", "reason": "why"})
    facts = record.report(counters())
    assert (facts["metrics"]["accuracy"], facts["sites"]["accuracy"]) == (0.9, 0.7)
    assert facts["stopped"] == {"stopped_by": "until", "reason": "why"}
    assert facts["disturbed"] == []


def test_a_peer_without_a_test_set_is_judged_on_its_own_rows_and_a_client_is_not() -> None:
    for role, known in (("peer", {"accuracy": 0.5}), ("client", {})):
        record = NodeStats(role)
        record.event("metric.local", {"accuracy": 0.5})
        assert record.report(counters())["metrics"] == known


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        ("node.suspect", {"subject": "b", "reason": "silent"}, "suspected b: silent"),
        ("node.lost", {"subject": "b", "reason": "silent"}, "lost b: silent"),
        ("round.failed", {"reason": "1 of 2"}, "a round failed: 1 of 2"),
        (
            "round.completed",
            {"round": 1, "duration_s": 1.0, "closed_by": "deadline", "missing": {"b": "late", "a": "ill"}},
            "round 1 closed by deadline without a: ill; b: late",
        ),
        (
            "round.completed",
            {"round": 1, "duration_s": 1.0, "closed_by": "suspected", "missing": {"b": "gone"}},
            "round 1 closed by suspected without b: gone",
        ),
    ],
)
def test_whatever_disturbs_a_run_is_kept_in_words(kind: str, fields: dict[str, Any], words: str) -> None:
    record = NodeStats("peer")
    record.event(kind, fields)
    assert record.report(counters())["disturbed"] == [words]


def _without(record: NodeStats, number: int, **missing: str) -> None:
    fields = {"round": number, "duration_s": 1.0, "closed_by": "suspected", "missing": missing}
    record.event("round.completed", fields)


def test_what_holds_for_rounds_on_end_is_said_once_and_as_of_each_as_far_as_it_was_known() -> None:
    record = NodeStats("peer")
    for number in (3, 4, 5):
        _without(record, number, b="silent")
    assert record.report(counters())["disturbed"] == ["rounds 3 to 5 closed by suspected without b: silent"]
    assert record.as_of(4)["disturbed"] == ["rounds 3 to 4 closed by suspected without b: silent"]
    _without(record, 7, b="silent")
    _without(record, 8, c="silent")
    record.event("node.lost", {"subject": "b", "reason": "silent"})
    _without(record, 9, c="silent")
    jumped, *reported = record.report(counters())["disturbed"][1:]
    assert jumped == "round 6 left out: it was left behind, and joined round 7"
    assert [line.split(" closed")[0] for line in reported] == ["round 7", "round 8", "lost b: silent", "round 9"]


def test_refusals_are_counted_by_their_sender() -> None:
    record = NodeStats("coordinator")
    for subject in ("b", "a", "b"):
        record.event("update.rejected", {"subject": subject, "reason": "values"})
    assert record.report(counters())["rejected"] == {"a": 1, "b": 2}


def test_what_a_round_left_is_known_after_later_ones() -> None:
    record = NodeStats("coordinator")
    record.event("metric.test", {"accuracy": 0.1})
    for number in (1, 2):
        record.event("round.completed", {"round": number, "duration_s": 0.5 * number, "closed_by": "all"})
        record.event("metric.test", {"accuracy": 0.5 * number})
        record.event("update.rejected", {"subject": "b", "reason": "values"})
        record.event("node.suspect", {"subject": "b", "reason": "silent"})
    again = NodeStats("coordinator")
    again.restore(1, record.as_of(1))
    facts = again.report(counters())
    assert facts["completed_rounds"] == 1
    assert facts["round_s"] == [0.5]
    assert facts["metrics"] == {"accuracy": 0.1}  # of round 1 it is reported once more
    assert (facts["rejected"], facts["disturbed"]) == ({}, [])
    assert again.as_of(1) == record.as_of(1)
    assert record.as_of(2)["rejected"] == {"b": 1}


def test_what_a_round_without_barrier_left_is_known_in_the_next_incarnation() -> None:
    record = NodeStats("coordinator")
    record.event("warning", {"reason": "slow"})
    for number in (1, 2):
        fields = {"round": number, "duration_s": 1.0, "closed_by": "buffer", "staleness": [0, 2 * number]}
        record.event("round.completed", fields)
    again = NodeStats("coordinator")
    again.restore(1, json.loads(json.dumps(record.as_of(1))))
    again.event("round.completed", {"round": 2, "duration_s": 1.0, "closed_by": "buffer", "staleness": [0, 4]})
    assert again.report(counters())["staleness"] == record.report(counters())["staleness"]
    assert again.report(counters())["warnings"] == ["slow"]


def diverging(kept: Collection[str] = ("train", "test")) -> dict[str, Any]:
    """The first and last losses of a coordinator that was resumed after round 2 and diverged in round 3."""
    record = NodeStats("coordinator")
    for number in (1, 2):
        record.event("round.completed", {"round": number, "duration_s": 1.0, "closed_by": "all", "loss": 0.5 * number})
    record.event("metric.test", {"round": 1, "loss": 0.75})  # later than the round that follows
    known = json.loads(json.dumps(record.as_of(2)))
    known["losses"] = {kind: ends for kind, ends in known["losses"].items() if kind in kept}
    again = NodeStats("coordinator")
    again.restore(2, known)
    again.event("round.completed", {"round": 3, "duration_s": 1.0, "closed_by": "all", "loss": 9e9})
    again.event("metric.test", {"round": 3, "loss": 8e9})
    found: dict[str, Any] = again.report(counters())["losses"]
    return found


def test_how_a_loss_began_is_known_in_the_next_incarnation() -> None:
    assert diverging() == {"train": [0.5, 9e9], "test": [0.75, 8e9]}


def test_without_that_a_run_that_diverged_would_not_have_grown() -> None:
    assert diverging(kept=()) == {"train": [9e9, 9e9], "test": [8e9, 8e9]}


def test_only_the_last_two_rounds_are_noted() -> None:
    record = NodeStats("coordinator")
    for number in range(5):
        record.event("round.completed", {"round": number, "duration_s": 1.0, "closed_by": "all"})
    assert record.as_of(3)["round_s"] == [1.0] * 3
    with pytest.raises(RuntimeError, match=r"round 2 is not noted; rounds \[3, 4\] are"):
        record.as_of(2)


def kept_of_a_long_run(rounds: int) -> tuple[int, int]:
    """Return how many durations go with a checkpoint of a long run, and how many are in memory."""
    record = NodeStats("coordinator")
    for number in range(1, rounds + 1):
        record.event("round.completed", {"round": number, "duration_s": float(number), "closed_by": "all"})
    before, last = record.as_of(rounds - 1)["round_s"], record.report(counters())["round_s"]
    assert (before[-1], last[-1]) == (rounds - 1, rounds)
    assert last == [float(number) for number in range(rounds - len(last) + 1, rounds + 1)]
    return max(len(before), len(last)), len(record.round_s)


def test_a_checkpoint_holds_the_durations_of_the_last_rounds() -> None:
    assert kept_of_a_long_run(2_500) == (1_000, 1_499)


def test_of_all_rounds_it_would_grow_with_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nervenet.nodes.runtime.node_stats.ROUNDS", 10**9)
    assert kept_of_a_long_run(2_500) == (2_500, 2_500)


def test_warnings_are_kept_in_words_and_disturb_nothing() -> None:
    record = NodeStats("coordinator")
    record.event("warning", {"reason": "round 3 is not on the disk"})
    facts = record.report(counters())
    assert (facts["warnings"], facts["disturbed"]) == (["round 3 is not on the disk"], [])


def test_what_an_evaluation_found_belongs_to_its_round_whenever_it_comes() -> None:
    record = NodeStats("coordinator")
    for number in (1, 2):
        record.event("round.completed", {"round": number, "duration_s": 1.0, "closed_by": "all", "staleness": [0, 1]})
    record.event("metric.test", {"round": 1, "accuracy": 0.1, "source": "sites"})
    assert record.as_of(1)["metrics"] == {"round": 1, "accuracy": 0.1}
    assert record.as_of(2)["metrics"] == {}
    again = NodeStats("coordinator")
    again.restore(2, json.loads(json.dumps(record.as_of(2))))
    assert again.staleness == {0: 2, 1: 2}


def _peer_rounds(*numbers: int, alone: Collection[int] = ()) -> NodeStats:
    record = NodeStats("peer")
    for number in (0, *numbers):
        by = "alone" if number in alone else "all"
        participants = [] if number in alone else ["b", "c"]
        fields = {"round": number, "duration_s": 0.1, "closed_by": by, "participants": participants}
        record.event("round.completed", fields)
    return record


def test_rounds_that_were_jumped_over_are_not_completed_and_are_named() -> None:
    found = _peer_rounds(1, 2, 6, 7).report(counters())
    assert (found["completed_rounds"], found["last_round"]) == (4, 7)
    assert found["disturbed"] == ["rounds 3 to 5 left out: it was left behind, and joined round 6"]
    assert found["mixed_with"] == {"b": 4, "c": 4}


def test_by_the_number_of_the_last_one_they_would_count() -> None:
    assert _peer_rounds(1, 2, 6, 7).completed == 7


def test_a_peer_that_came_late_has_jumped_over_nothing() -> None:
    record = NodeStats("peer")  # no round 0 of its own
    record.event("round.completed", {"round": 40, "duration_s": 0.1, "closed_by": "all", "participants": ["b"]})
    found = record.report(counters())
    assert (found["completed_rounds"], found["disturbed"]) == (40, [])


def test_rounds_mixed_with_nobody_disturb_and_are_counted() -> None:
    found = _peer_rounds(*range(1, 151), alone=range(9, 151)).report(counters())
    assert found["disturbed"] == ["rounds 9 to 150 mixed with nobody"]
    assert (found["alone"], found["mixed_with"]) == (142, {"b": 8, "c": 8})


def test_closed_by_all_they_would_disturb_nothing() -> None:
    record = NodeStats("peer")
    record.event("round.completed", {"round": 1, "duration_s": 0.1, "closed_by": "all", "participants": []})
    assert record.report(counters())["disturbed"] == []


def test_what_was_left_out_outlives_the_incarnation() -> None:
    record = _peer_rounds(1, 4)
    again = NodeStats("peer")
    again.restore(4, record.as_of(4))
    again.event("round.completed", {"round": 5, "duration_s": 0.1, "closed_by": "all", "participants": ["b"]})
    found = again.report(counters())
    assert (found["completed_rounds"], found["last_round"], found["mixed_with"]) == (3, 5, {"b": 3, "c": 2})


def check_a_report_fits_a_message_whatever_strangers_send() -> None:
    record = NodeStats("coordinator")
    for k in range(20_000):
        record.event("update.rejected", {"subject": f"stranger-{k}-{'x' * 40}", "reason": "uninvited"})
        record.event("node.suspect", {"subject": f"stranger-{k}-{'x' * 40}", "reason": "silent"})
        record.event("warning", {"reason": "\U0001f600" * 50_000})
        missing = {f"client-{n}": "\U0001f600" * 400 for n in range(50)}
        fields = {"round": k + 1, "duration_s": 0.1, "closed_by": "deadline", "missing": missing}
        record.event("round.completed", fields if k % 200 == 0 else fields | {"missing": {}, "closed_by": "all"})
    report = record.report(counters())
    assert len(msgspec.msgpack.encode(report)) < 2**20
    assert sum(report["rejected"].values()) == 20_000
    assert report["rejected"]["(others)"] == 20_000 - 500


def test_a_report_fits_a_message_whatever_strangers_send() -> None:
    check_a_report_fits_a_message_whatever_strangers_send()


def test_a_line_is_cut_by_bytes_and_between_characters() -> None:
    record = NodeStats("coordinator")
    record.event("warning", {"reason": "é€\U0001f600" * 10_000})
    (line,) = record.report(counters())["warnings"]
    assert len(line.encode()) <= 2_000 + len("…".encode())
    assert line.rstrip("…") == ("é€\U0001f600" * 10_000)[: len(line) - 1]


@pytest.mark.parametrize("bound", ["NAMES", "LONGEST_LINE"])
def test_a_report_would_not_fit(monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    monkeypatch.setattr(f"nervenet.nodes.runtime.node_stats.{bound}", 10**9)
    with pytest.raises(AssertionError):
        check_a_report_fits_a_message_whatever_strangers_send()


def test_a_round_takes_no_more_than_its_figures() -> None:
    """What no round of a run has takes no room, and what comes late has a place in all."""
    history = RoundHistory()
    for number in range(1, 1001):
        history.completed({"round": number, "closed_by": "all", "participants": ["b"], "duration_s": 0.1, "loss": 0.5})
        if number == 900:
            history.judged("metric.test", {"round": number, "accuracy": 0.75})
    assert len(history) == 1000
    rows = dict(rows_of(*history.to_report()))
    assert rows[899] == {"closed_by": "all", "participants": 1, "duration_s": 0.1, "train_loss": 0.5} | dict.fromkeys(
        ("bytes_sent", "bytes_received"), 0
    )
    assert rows[900] == {**rows[899], "accuracy": 0.75, "evaluated_on": "test"}
    assert history.to_report()[1].nbytes <= 80 * len(history)
    assert [len(block) for block in history._blocks] == [256 * 9] * 3 + [(1000 - 3 * 256) * 9]


def test_rounds_that_were_done_alone_and_again_are_named() -> None:
    found = _peer_rounds(*range(1, 31), 21, 22, alone=range(9, 31)).report(counters())
    assert found["disturbed"][1] == "rounds 21 to 30 done again with the others: it had done them alone"
    assert (found["completed_rounds"], found["last_round"]) == (22, 22)
