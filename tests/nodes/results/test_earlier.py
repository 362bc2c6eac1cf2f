"""A resumed run's bytes and seconds are of all its incarnations, however these ended."""

import math
from typing import Any

import pytest
from nervenet.nodes.experiment.loader import load_experiment
from nervenet.nodes.results import earlier
from nervenet.nodes.results.earlier import Earlier, of_events
from nervenet.nodes.results.run_result import RunResult
from nervenet.nodes.results.summary import summarize


def incarnation(number: int, at: float, sent: int, **end: Any) -> list[dict[str, Any]]:
    """Return the events of 10 s, in which two nodes sent so much each."""
    head = {"role": "launcher", "node": "launcher"}
    events: list[dict[str, Any]] = [{"type": "run.started", **head, "time": at}]
    for name, role in (("coordinator", "coordinator"), ("client-0", "client")):
        kind = "round.completed" if role == "coordinator" else "metric.local"
        for part in (1, 2):
            known = {"node": name, "role": role, "incarnation": number, "time": at + 5 * part}
            events.append({"type": kind, **known, "bytes_sent": sent // 2, "bytes_sent_total": part * sent // 2})
    if end:
        events.append({**head, "time": at + 11, **end})
    return events


KILLED = incarnation(1, 100.0, 400)
STOPPED = incarnation(2, 500.0, 200, type="run.failed", wall_s=24.0, bytes_sent=1250)


def test_one_that_was_killed_counts_by_what_its_nodes_said() -> None:
    assert of_events(KILLED, {}) == Earlier(10.0, 800, {"unattributed": 800})


def test_one_that_ended_in_order_has_said_what_there_was_until_then() -> None:
    kinds = {"weights": 1000, "control": 250}
    assert of_events([*KILLED, *STOPPED], {"bytes_sent_by_kind": kinds}) == Earlier(24.0, 1250, kinds)
    again = of_events([*KILLED, *STOPPED, *incarnation(3, 900.0, 50)], {"bytes_sent_by_kind": kinds})
    assert again == Earlier(34.0, 1350, {**kinds, "unattributed": 100})


NONSENSE = {"wall_s": "long", "bytes_sent_by_kind": ["weights"]}


def odd() -> Earlier:
    started = {"type": "run.started", "role": "launcher", "node": "launcher", "time": "noon", "incarnation": [1]}
    ended = {**started, "type": "run.failed", "wall_s": {}, "bytes_sent": 10}
    return of_events([started, {**started, "bytes_sent_total": 5}, ended], NONSENSE)


def test_a_folder_with_nonsense_in_it_can_be_resumed_all_the_same() -> None:
    assert odd() == Earlier(0.0, 10, {"unattributed": 10})


def test_taken_at_its_word_it_could_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(earlier, "_finite", lambda value: float(value or 0.0))
    with pytest.raises((TypeError, ValueError)):
        odd()


SAID_AGAIN = {"node": "client-0", "role": "client", "incarnation": 2, "time": 512.0, "bytes_sent_total": 200}


def test_what_comes_after_the_end_is_in_that_already() -> None:
    events = [*KILLED, *STOPPED, SAID_AGAIN]
    assert of_events(events, {}) == of_events([*KILLED, *STOPPED], {})
    again = of_events([*events, *incarnation(3, 900.0, 50)], {})
    assert (again.wall_s, again.bytes_sent) == (34.0, 1350)


def test_counted_as_before_the_end_it_would_come_to_more() -> None:
    before = [event for event in STOPPED if event["type"] != "run.failed"]
    unended = of_events([*before, SAID_AGAIN], {})
    ended = of_events(STOPPED, {})
    assert unended.bytes_sent == 400 != ended.bytes_sent


def by_hand(role: str, number: int, at: float, *ends: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the events of 10 s of one node, in the folder of its own: it joins, waits 4 s, and sends 300 bytes."""
    head = {"node": "n", "role": role, "incarnation": number}
    began = [{"type": "run.started", **head, "time": at + 4}] if role == "coordinator" else []
    return [
        {"type": "node.joined", **head, "time": at},
        *began,
        {"type": "round.completed", **head, "time": at + 10, "bytes_sent_total": 300},
        *({**head, "time": at + 11, **end} for end in ends),
    ]


@pytest.mark.parametrize("role", ["coordinator", "client", "peer"])
def test_a_node_by_itself_counts_from_its_first_event_and_not_while_it_was_away(role: str) -> None:
    events = [*by_hand(role, 1, 100.0), *by_hand(role, 2, 9_000.0)]
    assert of_events(events, {}) == Earlier(20.0, 600, {"unattributed": 600})


def test_by_the_start_that_only_a_run_has_it_would_have_taken_no_time() -> None:
    launched = {"type": "run.started", "role": "launcher", "node": "launcher"}
    events = [launched, *by_hand("peer", 1, 100.0), *by_hand("peer", 2, 9_000.0)]
    assert of_events(events, {}).wall_s == 0.0


def test_a_coordinator_by_itself_has_said_all_incarnations_at_its_end() -> None:
    end = {"type": "run.completed", "wall_s": 22.0, "bytes_sent": 640}
    events = [*by_hand("coordinator", 1, 100.0), *by_hand("coordinator", 2, 9_000.0, end, {"type": "node.left"})]
    assert of_events(events, {}) == Earlier(22.0, 640, {"unattributed": 640})
    again = of_events([*events, *by_hand("coordinator", 3, 20_000.0)], {})
    assert (again.wall_s, again.bytes_sent) == (32.0, 940)


def test_there_was_at_least_what_the_summary_says() -> None:
    kinds = {"weights": 300, "control": 50}  # of which the last were sent after its last event
    assert of_events(by_hand("peer", 1, 100.0), {"wall_s": 12.0, "bytes_sent_by_kind": kinds}) == Earlier(
        12.0, 350, kinds
    )


def summary_of(earlier: Earlier) -> dict[str, Any]:
    report = {"role": "coordinator", "bytes_sent": 70, "bytes_sent_by_kind": {"weights": 60, "control": 10}}
    experiment = load_experiment(overrides={"nodes": 2, "rounds": 5})
    return summarize(experiment, RunResult({"coordinator": report}, wall_s=3.0, earlier=earlier))


def test_the_summary_is_of_all() -> None:
    summary = summary_of(of_events(KILLED, {}))
    assert (summary["bytes_sent"], summary["wall_s"]) == (870, 13.0)
    assert summary["bytes_sent_by_kind"] == {"control": 10, "unattributed": 800, "weights": 60}
    assert sum(summary["bytes_sent_by_kind"].values()) == summary["bytes_sent"]


def test_of_the_last_incarnation_alone_it_would_be_less() -> None:
    assert (summary_of(Earlier())["bytes_sent"], summary_of(Earlier())["wall_s"]) == (70, 3.0)


def test_nothing_came_before_a_new_run_and_nonsense_is_nothing() -> None:
    assert of_events([], {}) == Earlier()
    assert of_events([{"type": "round.completed", "bytes_sent_total": "many"}, {}], {}) == Earlier()


def test_a_time_that_no_float_holds_is_nonsense_too() -> None:
    for nonsense in (10**400, float("nan"), float("inf")):
        assert of_events([], {"wall_s": nonsense}).wall_s == 0
    with pytest.raises(OverflowError):
        math.isfinite(10**400)  # by which it was asked for
