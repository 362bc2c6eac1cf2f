"""The record of rounds is complete whatever became of the events, and says what each figure is of."""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nervenet.nodes.results.round_metrics import (
    RecordedRounds,
    consensus_distance,
    read_rows,
    run_rows,
    with_earlier,
)
from nervenet.nodes.runtime.node_stats import NodeStats
from nervenet.nodes.runtime.round_history import rows_of

ROUNDS = 50


def published(role: str, node: str) -> list[dict[str, Any]]:
    """Return what one coordinator or peer publishes of its rounds: training in `loss`, then what was measured."""
    found = []
    for n in range(ROUNDS + 1):
        head = {"node": node, "role": role, "round": n}
        moved = {"bytes_sent": 10, "bytes_received": 5, "duration_s": 0.1}
        row = {"type": "round.completed", **head, **moved, "closed_by": "all", "participants": ["a", "b"]}
        found.append(row | ({"loss": 1.0 / n} if n else {}))
        kind = "metric.test" if role == "coordinator" else "metric.local"
        if n:
            found.append({"type": kind, **head, "accuracy": 0.5 + n / 200, "loss": 0.25, "sketch": [float(n), 0.0]})
    return found


def throttled() -> list[dict[str, Any]]:
    """Return what clients publish: three of fifty rounds, and one that was abandoned."""
    return [{"type": "metric.local", "node": "a", "role": "client", "round": n, "loss": 0.1} for n in (1, 20, 40, 51)]


def reported(events: list[dict[str, Any]], role: str) -> dict[int, Mapping[str, Any]]:
    stats = NodeStats(role)
    for event in events:
        stats.event(event["type"], event)
    return dict(rows_of(*stats.history.to_report()))


def test_a_federated_run_has_the_coordinators_training_loss_of_every_round() -> None:
    of_coordinator = published("coordinator", "coordinator")
    rows = run_rows("federated", RecordedRounds(throttled()), {"coordinator": reported(of_coordinator, "coordinator")})
    assert [row["round"] for row in rows] == list(range(1, ROUNDS + 1))
    assert [row["train_loss"] for row in rows] == [1.0 / n for n in range(1, ROUNDS + 1)]
    assert {row["evaluated_on"] for row in rows} == {"test"}
    assert {row["loss"] for row in rows} == {0.25}


def test_by_the_clients_events_it_would_have_three_rounds_and_one_that_never_was() -> None:
    by_events = {event["round"]: event["loss"] for event in throttled()}
    assert sorted(by_events) != list(range(1, ROUNDS + 1))


def test_where_nothing_was_reported_the_events_are_the_record() -> None:
    events = published("coordinator", "coordinator")
    random.Random(0).shuffle(events)
    known = {"coordinator": reported(published("coordinator", "coordinator"), "coordinator")}
    assert run_rows("federated", RecordedRounds(events), {}) == run_rows("federated", RecordedRounds(), known)


def test_events_that_were_lost_leave_no_gap_where_the_node_has_reported() -> None:
    events = published("peer", "a")
    rows = run_rows("gossip", RecordedRounds(events[: len(events) // 2]), {"a": reported(events, "peer")})
    assert [row["round"] for row in rows] == list(range(1, ROUNDS + 1))
    assert len(run_rows("gossip", RecordedRounds(events[: len(events) // 2]), {})) < ROUNDS


def test_a_peer_on_its_own_has_its_training_and_its_hold_out_apart() -> None:
    rows = run_rows("gossip", RecordedRounds(), {"a": reported(published("peer", "a"), "peer")})
    last = rows[-1]
    assert (last["train_loss"], last["loss"], last["accuracy"], last["evaluated_on"]) == (0.02, 0.25, 0.75, "holdout")
    assert (last["peers"], last["closings"], last["alone"]) == (1, {"all": 1}, 0)


def test_peers_are_taken_together() -> None:
    events = [*published("peer", "a"), *published("peer", "b")]
    for event in events:
        if event["node"] == "b" and "accuracy" in event:
            event |= {"accuracy": event["accuracy"] + 0.1, "sketch": [0.0, 0.0]}
    row = run_rows("gossip", RecordedRounds(events), {})[1]
    assert (row["peers"], row["bytes_sent"], row["bytes_received"]) == (2, 20, 10)
    assert (row["accuracy_min"], row["accuracy_max"]) == (0.51, 0.61)
    assert row["accuracy"] == pytest.approx(0.56)
    assert row["consensus_distance"] == 1.0


def test_what_the_sites_measured_is_of_hold_outs_and_has_their_spread() -> None:
    stats = NodeStats("coordinator")
    stats.event("round.completed", {"round": 1, "closed_by": "all", "duration_s": 0.1, "loss": 0.01})
    spread = {"accuracy": {"std": 0.1, "min": 0.6, "max": 1.0}}
    found = {"round": 1, "source": "sites", "accuracy": 0.8, "loss": 0.4, "spread": spread, "sites": 3}
    stats.event("metric.test", found)
    ((number, row),) = rows_of(*stats.history.to_report())
    assert (number, row["evaluated_on"], row["train_loss"], row["loss"]) == (1, "holdout", 0.01, 0.4)
    assert (row["accuracy"], row["accuracy_min"], row["accuracy_max"]) == (0.8, 0.6, 1.0)


def test_rounds_that_are_run_again_replace_those_of_before() -> None:
    before, after = published("coordinator", "coordinator"), published("coordinator", "coordinator")
    again = [{**event, "loss": 9.0} for event in after if event["round"] in (31, 32)]
    resumed = {"type": "run.started", "node": "launcher", "role": "launcher", "resumed_after": 30}
    rows = run_rows("federated", RecordedRounds([*before, resumed, *again]), {})
    assert [row["round"] for row in rows] == list(range(1, 33))
    assert [row["train_loss"] for row in rows[-3:]] == [1 / 30, 9.0, 9.0]


def test_what_an_earlier_incarnation_wrote_stays_up_to_where_it_is_resumed() -> None:
    earlier = [{"round": n, "train_loss": 1.0} for n in (1, 2, 3)]
    rows = with_earlier([{"round": 3, "train_loss": 2.0}, {"round": 4, "train_loss": 2.0}], earlier, 2)
    assert [(row["round"], row["train_loss"]) for row in rows] == [(1, 1.0), (2, 1.0), (3, 2.0), (4, 2.0)]


def test_a_figure_that_is_not_finite_or_no_number_is_left_out() -> None:
    stats = NodeStats("peer")
    stats.event("round.completed", {"round": 1, "closed_by": "all", "duration_s": 0.1, "loss": float("nan")})
    stats.event("metric.test", {"round": 1, "accuracy": float("inf"), "loss": None})
    ((_, row),) = rows_of(*stats.history.to_report())
    assert "train_loss" not in row
    assert "evaluated_on" not in row


def test_the_distance_of_sketches_is_the_consensus_distance() -> None:
    vectors = np.random.default_rng(0).normal(size=(5, 7))
    expected = np.sqrt(np.mean(np.sum((vectors - vectors.mean(0)) ** 2, axis=1)))
    assert consensus_distance(vectors.tolist()) == pytest.approx(expected, rel=1e-12)


def test_a_record_that_is_missing_or_broken_is_none(tmp_path: Path) -> None:
    assert read_rows(tmp_path) == []
    (tmp_path / "round_metrics.jsonl").write_text('{"round": 1}\n{"rou')
    assert read_rows(tmp_path) == []
