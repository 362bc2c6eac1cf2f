"""What Prometheus is told of runs follows from their events, and is little whatever is published."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from nervenet.models.extras import MissingExtra
from nervenet.nodes.exporting import metrics as module
from nervenet.nodes.exporting.metrics import RUNS, RunMetrics
from nervenet.nodes.runtime.event_types import TYPES

START = {"mode": "federated", "nodes": 2, "rounds": 4, "data": "iris", "model": "mlp"}


def event(kind: str, node: str, role: str, run: str = "r", **more: Any) -> dict[str, Any]:
    head = {"type": kind, "run": run, "node": node, "role": role, "incarnation": 1, "seq": 1, "time": 1.0}
    return {**head, **more}


def started(run: str = "r", **more: Any) -> dict[str, Any]:
    return event("run.started", "launcher", "launcher", run, **{**START, **more})


def told(*events: dict[str, Any]) -> dict[str, float]:
    """Return each series with its value."""
    metrics = RunMetrics()
    for each in events:
        metrics.update(each)
    return series(metrics)


def series(metrics: RunMetrics) -> dict[str, float]:
    lines = [line for line in metrics.text().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def federated() -> Iterator[dict[str, Any]]:
    yield started()
    for name in ("a", "b"):
        yield event("node.ready", name, "client", examples=10)
    for number in (1, 2):
        for name in ("a", "b"):
            trained = {"duration_s": 0.25, "bytes_sent": 100, "bytes_received": 50, "loss": 0.5}
            yield event("metric.local", name, "client", round=number, **trained)
        times = {"duration_s": 0.75, "waiting_s": 0.5, "folding_s": 0.004}
        done = {
            "closed_by": "all",
            "participants": ["a", "b"],
            "bytes_sent": 7,
            "bytes_received": 9,
            "loss": 0.5 / number,
        }
        yield event("round.completed", "coordinator", "coordinator", round=number, **times, **done)
        yield event("metric.test", "coordinator", "coordinator", round=number, accuracy=0.9, loss=0.25)


def test_a_federated_run_is_counted_and_timed() -> None:
    found = told(*federated())
    expected = {
        'nervenet_rounds_total{closed_by="all",role="coordinator",run="r"}': 2,
        'nervenet_round{run="r"}': 2,
        'nervenet_rounds_requested{run="r"}': 4,
        'nervenet_run_info{data="iris",mode="federated",model="mlp",run="r"}': 1,
        'nervenet_run_state{run="r",state="running"}': 1,
        'nervenet_run_state{run="r",state="completed"}': 0,
        'nervenet_nodes{role="client",run="r",state="living"}': 2,
        'nervenet_nodes{role="client",run="r",state="lost"}': 0,
        'nervenet_round_seconds_count{role="coordinator",run="r"}': 2,
        'nervenet_round_seconds_sum{role="coordinator",run="r"}': 1.5,
        'nervenet_round_seconds_bucket{le="0.5",role="coordinator",run="r"}': 0,
        'nervenet_round_seconds_bucket{le="1.0",role="coordinator",run="r"}': 2,
        'nervenet_wait_seconds_sum{role="coordinator",run="r"}': 1,
        'nervenet_fold_seconds_sum{role="coordinator",run="r"}': 0.008,
        'nervenet_train_seconds_sum{role="client",run="r"}': 1,
        'nervenet_sent_bytes_total{role="client",run="r"}': 400,
        'nervenet_received_bytes_total{role="coordinator",run="r"}': 18,
        'nervenet_train_loss{run="r"}': 0.25,
        'nervenet_score{of="mean",run="r",score="accuracy"}': 0.9,
        'nervenet_loss{of="max",run="r"}': 0.25,
        'nervenet_events_total{type="metric.local"}': 4,
    }
    assert {name: found.get(name) for name in expected} == expected
    assert not [name for name in found if "consensus" in name or "_created" in name or "r2" in name]


def test_a_gossip_run_is_what_its_peers_say() -> None:
    def of(peer: str, number: int, accuracy: float) -> Iterator[dict[str, Any]]:
        times = {"duration_s": 1.0, "waiting_s": 0.25, "mixing_s": 0.25}
        yield event("round.completed", peer, "peer", round=number, closed_by="all", loss=0.1, **times)
        yield event("metric.test", peer, "peer", round=number, accuracy=accuracy, sketch=[accuracy] * 4)

    found = told(started(mode="gossip"), *of("a", 3, 0.5), *of("b", 2, 0.7))
    assert found['nervenet_round{run="r"}'] == 2
    assert found['nervenet_train_seconds_sum{role="peer",run="r"}'] == 1.0
    assert found['nervenet_mix_seconds_sum{role="peer",run="r"}'] == 0.5
    assert found['nervenet_consensus_distance{run="r"}'] == pytest.approx(0.2)
    for of_, value in (("mean", 0.6), ("min", 0.5), ("max", 0.7)):
        assert found[f'nervenet_score{{of="{of_}",run="r",score="accuracy"}}'] == pytest.approx(value)


def test_what_goes_wrong_is_counted_and_who_is_lost_counts_for_nothing_else() -> None:
    bad = [
        event("round.completed", "a", "peer", round=1, closed_by="deadline", missing={"b": "no answer"}),
        event("round.completed", "b", "peer", round=9, closed_by="all"),
        event("node.suspect", "a", "peer", subject="b", reason="silent"),
        event("node.lost", "launcher", "launcher", subject="b", reason="its process has ended"),
        event("update.rejected", "a", "peer", subject="b", reason="values"),
        event("round.failed", "c", "coordinator", round=1, attempt=0, reason="nobody answered"),
        event("warning", "a", "peer", reason="slow"),
        event("gap", "stream", "monitor", run="", subject="b", about="round.completed", missed=5),
        event("connection.refused", "broker", "broker", run="", count=3),
        event("run.failed", "launcher", "launcher", reason="too few", status="failed"),
    ]
    found = told(started(mode="gossip"), *bad)
    expected = {
        'nervenet_rounds_total{closed_by="deadline",role="peer",run="r"}': 1,
        'nervenet_answers_missing_total{role="peer",run="r"}': 1,
        'nervenet_nodes{role="peer",run="r",state="lost"}': 1,
        'nervenet_nodes{role="peer",run="r",state="living"}': 1,
        'nervenet_round{run="r"}': 1,
        'nervenet_nodes_lost_total{run="r"}': 1,
        'nervenet_nodes_suspected_total{run="r"}': 1,
        'nervenet_updates_rejected_total{run="r"}': 1,
        'nervenet_rounds_failed_total{run="r"}': 1,
        'nervenet_warnings_total{run="r"}': 1,
        "nervenet_events_missed_total": 5,
        "nervenet_connections_refused_total": 3,
        'nervenet_run_state{run="r",state="failed"}': 1,
    }
    assert {name: found.get(name) for name in expected} == expected


def test_a_node_that_says_something_is_not_suspect_and_a_result_is_final() -> None:
    events = [
        event("node.ready", "a", "peer"),
        event("node.suspect", "b", "peer", subject="a", reason="silent"),
        event("round.started", "a", "peer", round=1),
    ]
    assert told(*events)['nervenet_nodes{role="peer",run="r",state="living"}'] == 2
    ends = [event("node.result", "launcher", "launcher", subject="a", state="done"), event("node.left", "a", "peer")]
    assert told(*events, *ends)['nervenet_nodes{role="peer",run="r",state="done"}'] == 1


def flood(count: int) -> Iterator[dict[str, Any]]:
    """Events of publishers that invent runs, names, roles and types, and values that nobody can count."""
    chance = random.Random(7)
    values: list[Any] = [1, -1, 1e308, float("nan"), "text", None, [1], {"a": 1}, 2**60, '"} 1\nhack 1']
    for at in range(count):
        kind = chance.choice([*sorted(TYPES), f"invented.{at}"])
        more = {
            key: chance.choice(values) for key in ("round", "duration_s", "waiting_s", "bytes_sent", "missed", "sketch")
        }
        more |= {key: chance.choice(values) for key in ("closed_by", "status", "mode", "rounds", "accuracy", "subject")}
        role = chance.choice(["peer", "coordinator", f"role-{at}"])
        yield event(kind, f"node-{at}", role, chance.choice([f"run-{at}", "x" * 10_000, 'r"\n']), **more)


def test_whatever_is_published_there_are_few_series_and_the_text_is_whole() -> None:
    from prometheus_client.parser import text_string_to_metric_families

    metrics = RunMetrics()
    for each in flood(3000):
        metrics.update(each)
    families = list(text_string_to_metric_families(metrics.text().decode()))
    assert len({s.labels["run"] for f in families for s in f.samples if "run" in s.labels}) <= RUNS
    assert len({s.labels["type"] for f in families for s in f.samples if "type" in s.labels}) <= len(TYPES) + 1
    assert sum(len(family.samples) for family in families) < 200 * RUNS
    assert all(family.name.startswith("nervenet_") for family in families)


def test_without_forgetting_runs_would_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RUNS", 10**9)
    metrics = RunMetrics()
    for each in flood(300):
        metrics.update(each)
    assert len({line for line in series(metrics) if line.startswith("nervenet_run_info")}) > RUNS


def test_the_run_that_was_silent_longest_is_forgotten_first() -> None:
    metrics = RunMetrics()
    for at in range(RUNS):
        metrics.update(started(f"run-{at}"))
    metrics.update(event("warning", "a", "peer", "run-0", reason="slow"))
    metrics.update(started("another"))
    found = series(metrics)
    assert found['nervenet_warnings_total{run="run-0"}'] == 1
    assert not [name for name in found if '"run-1"' in name]


def test_without_its_library_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nervenet.models.extras.installed", lambda _: False)
    with pytest.raises(MissingExtra, match=r'--metrics needs prometheus_client; .*pip install "nervenet\[metrics\]"'):
        RunMetrics()
