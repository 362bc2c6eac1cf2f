"""A round of a gossip run is one line of its folder, and whatever reads the folder finds in it what it found before."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nervenet.nodes.monitoring.run_view import RunView
from nervenet.nodes.results import round_summaries
from nervenet.nodes.results.earlier import of_events
from nervenet.nodes.results.event_log import read_events
from nervenet.nodes.results.round_metrics import RecordedRounds, run_rows
from nervenet.nodes.results.round_summaries import RoundSummaries, unfolded
from nervenet.nodes.results.run_dir import RunDir, to_json

Events = list[dict[str, Any]]
PEERS = ("a", "b", "c", "d")
ROUNDS = 30
LAUNCHER = {"run": "r", "node": "launcher", "role": "launcher", "incarnation": 9}
STARTED = {"type": "run.started", **LAUNCHER, "time": 0.0, "mode": "gossip", "rounds": ROUNDS}


def head(kind: str, node: str, number: int) -> dict[str, Any]:
    own = {"incarnation": 1795984954034672 + ord(node), "seq": number + 1, "time": 1795984958.31 + number / 7}
    return {"type": kind, "run": "gossip-130d99", "node": node, "role": "peer", **own, "round": number}


def of_peer(node: str, chance: random.Random, every: int = 1) -> Events:
    """Return what a peer of a ring publishes, in its order: figures as long as those of a real one."""
    at = PEERS.index(node)
    neighbors = sorted((PEERS[at - 1], PEERS[(at + 1) % len(PEERS)]))
    found: Events = []
    for n in range(ROUNDS + 1):
        found.append({**head("round.started", node, n), "attempt": 0})
        moved = {"bytes_sent": 4382, "bytes_received": 4382, "bytes_sent_total": 4382 * (n + 1)}
        moved |= {"bytes_received_total": 4382 * (n + 1), "elapsed_s": chance.random(), "rounds_per_s": chance.random()}
        figures = {"duration_s": 1 / 64, "waiting_s": 1 / 128, "age": n, "loss": chance.random()}
        found.append({**head("round.completed", node, n), "participants": neighbors, "closed_by": "all"})
        found[-1] |= moved | figures
        if n and (n % every == 0 or n == ROUNDS):
            sketch = [chance.gauss(0, 1) for _ in range(64)]
            judged = {"accuracy": chance.random(), "loss": chance.random(), "examples": 30, "sketch": sketch}
            found.append({**head("metric.test", node, n), **judged})
        for other in neighbors:
            found.append({**head("exchange.sent", node, n), "subject": other, "count": 1})
            found.append({**head("exchange.received", node, n), "subject": other, "count": 1, "bytes": 2192})
    return found


def published(every: int = 1, seed: int = 0) -> Events:
    """Return a run's events as they arrive: each peer's in order, the peers at most a round apart."""
    chance = random.Random(seed)
    waiting = {node: of_peer(node, chance, every) for node in PEERS}
    events: Events = [STARTED]
    while any(waiting.values()):
        least = min(queue[0]["round"] for queue in waiting.values() if queue)
        node = chance.choice([node for node, queue in waiting.items() if queue and queue[0]["round"] <= least + 1])
        events.append(waiting[node].pop(0))
    return events


def written(events: Events, every: int = 1) -> Events:
    summaries = RoundSummaries(every)
    lines = [line for event in events for line in summaries.take(event)]
    return [json.loads(to_json(line)) for line in [*lines, *summaries.rest()]]


def size_of_a_round(lines: Events) -> float:
    middle = [line for line in lines if 5 <= line.get("round", 0) < ROUNDS - 5]
    return sum(len(to_json(line)) + 1 for line in middle) / (ROUNDS - 10)


def rows(events: Events) -> Any:
    return run_rows("gossip", RecordedRounds(unfolded(iter(events))), {})


def test_a_round_of_four_peers_takes_less_than_a_kilobyte() -> None:
    assert size_of_a_round(written(published())) < 1000


def test_as_they_came_its_events_would_take_ten_times_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RoundSummaries, "take", lambda _, event: [event])
    assert size_of_a_round(written(published())) > 10_000


@pytest.mark.parametrize("every", [1, 5])
@pytest.mark.parametrize("seed", range(3))
def test_readers_of_the_folder_find_what_they_found_before(every: int, seed: int) -> None:
    events = published(every, seed)
    lines = written(events, every)
    assert len(lines) < len(events) / 5
    assert rows(lines) == rows(events)
    assert [row["round"] for row in rows(lines) if "consensus_distance" in row] == list(range(every, ROUNDS + 1, every))
    back = list(unfolded(iter(lines)))
    assert of_events(back, {}) == of_events(events, {})
    one, other = RunView(), RunView()
    for view, known in ((one, events), (other, back)):
        for event in known:
            view.update(event)
    assert one == other
    assert one.find_clusters() is not None
    for kind in ("exchange.sent", "exchange.received"):
        counts = [sum(event["count"] for event in known if event["type"] == kind) for known in (events, lines)]
        assert counts[0] == counts[1] > 0


def check_the_distance_is_kept() -> None:
    assert rows(written(published())) == rows(published())


def test_without_its_distance_a_summary_would_cost_a_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    check_the_distance_is_kept()
    monkeypatch.setattr(round_summaries, "consensus_distance", lambda _: None)
    with pytest.raises(AssertionError):
        check_the_distance_is_kept()


def test_the_first_and_the_last_round_stay_as_they_came() -> None:
    events = published()
    lines = written(events)
    kept = [event for event in events if event["type"] in ("round.completed", "metric.test")]
    for number in (0, 1, ROUNDS):
        assert all(event in lines for event in kept if event["round"] == number)
    assert [line["round"] for line in lines if line["type"] == "round.summary"] == list(range(2, ROUNDS))


UNUSUAL: list[Callable[[dict[str, Any]], dict[str, Any]]] = [
    lambda event: {**event, "closed_by": "deadline"},
    lambda event: {**event, "closed_by": "alone", "participants": []},
    lambda event: {**event, "missing": {"b": "suspected"}},
    lambda event: {**event, "participants": ["b", "stranger"]},
    lambda event: {**event, "something": "new"},
    lambda event: {key: value for key, value in event.items() if key != "closed_by"},
]


@pytest.mark.parametrize("change", UNUSUAL)
def test_a_round_that_was_not_as_planned_stays_as_it_came(change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    events = published()
    at = next(i for i, event in enumerate(events) if event["type"] == "round.completed" and event["round"] == 7)
    events[at] = change(events[at])
    lines = written(events)
    about = ("round.started", "round.completed", "metric.test")
    assert [line for line in lines if line["type"] in about and line["round"] == 7] == [
        event for event in events if event["type"] in about and event["round"] == 7
    ]
    assert rows(lines) == rows(events)


@pytest.mark.parametrize(
    "gone",
    [
        {"type": "node.suspect", **head("", "a", 9), "subject": "d", "reason": "is silent"} | {"type": "node.suspect"},
        {"type": "node.lost", **LAUNCHER, "subject": "d", "reason": "killed"},
        head("node.left", "d", 9) | {"reason": "done"},
        head("run.failed", "d", 9) | {"reason": "no room"},
    ],
)
def test_nobody_waits_for_a_peer_that_is_gone(gone: dict[str, Any]) -> None:
    events = [event for event in published() if event.get("node") != "d" or event["round"] < 10]
    at = next(i for i, event in enumerate(events) if event.get("round") == 14)
    summaries, lines = RoundSummaries(), list[Any]()
    for event in [*events[:at], gone, *events[at:]]:
        lines += summaries.take(event)
    assert gone in lines
    assert summaries._held < 30
    assert rows([*lines, *summaries.rest()]) == rows(events)


def test_who_is_waited_for_longer_than_memory_allows_is_waited_for_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(round_summaries, "HELD", 50)
    events = [event for event in published() if event.get("node") != "d" or event["round"] < 10]
    summaries, lines = RoundSummaries(), list[Any]()
    for event in events:
        lines += summaries.take(event)
        assert summaries._held <= 50
    assert rows([*lines, *summaries.rest()]) == rows(events)


def test_an_evaluation_that_comes_late_or_never_costs_nothing() -> None:
    events = published()
    late = [event for event in events if event["type"] == "metric.test" and event["node"] == "b"]
    others = [event for event in events if event not in late]
    assert rows(written(others)) == rows(others)
    assert rows(written([*others, *late])) == rows(events)


def test_a_round_that_is_run_again_replaces_the_one_before() -> None:
    resumed = {**STARTED, "time": 1.0, "resumed_after": 12}
    again = [event for event in published(seed=5)[1:] if event["round"] > 12]
    lines = [*written(published(seed=4)), *written([resumed, *again])]
    assert rows(lines) == rows([*published(seed=4), resumed, *again])


def test_the_rounds_that_all_peers_completed_before_a_kill_are_in_the_folder(tmp_path: Path) -> None:
    events = published(every=5)
    common = 17  # after which every peer has a state
    until = max(i for i, e in enumerate(events) if e["type"] == "round.completed" and e["round"] == common) + 1
    summaries = RoundSummaries(5)
    with RunDir(tmp_path / "run") as folder:
        for event in events[:until]:
            for line in summaries.take(event):
                folder.record(line)
    found = run_rows("gossip", RecordedRounds(read_events(tmp_path / "run")), {})
    assert [row["round"] for row in found] == list(range(1, common + 1))
    assert {row["peers"] for row in found} == {len(PEERS)}


@pytest.mark.parametrize("line", [{}, {"peers": 3}, {"round": 2, "round.completed": {"age": [1]}, "peers": ["a", "b"]}])
def test_a_summary_that_is_none_is_passed_on(line: dict[str, Any]) -> None:
    event = {"type": "round.summary", **LAUNCHER, "time": 1.0, **line}
    found = list(unfolded(iter([event])))
    assert found[0] == event
    RecordedRounds(found)
    of_events(found, {})


def test_a_federated_run_stays_as_it_came() -> None:
    events = [{**event, "role": "coordinator"} for event in published()]
    assert written(events) == events


def of_one_peer(*, alone: bool = True) -> tuple[Events, Events]:
    """Return what peer a publishes in a run of four, and the lines of its own folder."""
    events = of_peer("a", random.Random(0))
    summaries = RoundSummaries(1, ROUNDS, alone=alone)
    lines = [line for event in events for line in summaries.take(event)]
    return events, [json.loads(to_json(line)) for line in [*lines, *summaries.rest()]]


def test_the_folder_of_one_peer_is_summed_up_as_well() -> None:
    events, lines = of_one_peer()
    assert size_of_a_round(lines) < size_of_a_round(events) / 3
    assert {(line["node"], line["role"]) for line in lines} == {("a", "peer")}
    assert rows(lines) == rows(events)
    mixed = [event["participants"] for event in unfolded(iter(lines)) if event["type"] == "round.completed"]
    assert mixed == (ROUNDS + 1) * [["b", "d"]]
    assert of_events(unfolded(iter(lines)), {}) == of_events(iter(events), {})


def test_its_neighbors_being_unknown_there_it_would_not() -> None:
    events, lines = of_one_peer(alone=False)
    assert size_of_a_round(lines) > size_of_a_round(events) / 2
