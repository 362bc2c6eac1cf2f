"""Federated learning without rounds, in real processes: to its end, and on from its folder after a kill."""

import json
import os
import signal
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from nervenet.nodes.checkpoint.state_file import rounds_in
from nervenet.nodes.results.run_dir import COORDINATOR, checkpoint_dir

pytestmark = pytest.mark.e2e
Start = Callable[..., Any]


def steps(folder: Path) -> list[dict[str, Any]]:
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    return [event for event in events if event["type"] == "round.completed" and event["round"]]


@pytest.mark.parametrize(("strategy", "buffer"), [("fedbuff", 4), ("fedasync", 1)])
def test_a_run_without_rounds_learns_and_tells_how_stale_its_updates_were(
    strategy: str, buffer: int, launch: Start, held: Callable[[], None], until: Start
) -> None:
    clients = {f"client-{i}" for i in range(4)}
    words = ("--data", "iris", "--nodes", 4, "--rounds", 120, "--seed", 3, "--strategy", strategy)
    words += ("--set", "evaluation.baseline=false", "--set", "network.suspect_after_s=20", "--model", "held:Held")
    run = launch(*words)

    def participants() -> set[str]:
        done = [event for event in run.reported("round.completed", role="coordinator") if event["round"]]
        return {name for event in done for name in event["participants"]}

    until(lambda: participants() >= clients, "each has taken part")  # or the quick ones would do it without the others
    held()
    summary = run.ok().summary()
    assert summary["status"] == "completed"
    assert summary["completed_rounds"] == 120
    assert summary["accuracy"] >= 0.9
    assert summary["undisturbed"], summary["disturbances"]
    assert 0 <= summary["staleness"]["mean"] <= summary["staleness"]["max"]
    reported = steps(run.folder)
    assert [event["round"] for event in reported] == list(range(1, 121))
    assert all(event["closed_by"] == "buffer" and len(event["staleness"]) == buffer for event in reported)
    assert {name for event in reported for name in event["participants"]} == clients
    assert any(event["staleness_max"] > 0 for event in reported)


def test_a_goal_ends_a_run_without_rounds_with_the_very_model_that_reached_it(launch_here: Start) -> None:
    words = ("--data", "iris", "--nodes", 4, "--rounds", 5000, "--strategy", "fedbuff")
    summary = launch_here(*words, "--until", "accuracy=0.9", "--set", "evaluation.baseline=false").ok().summary()
    assert summary["stopped_by"] == "until"
    assert summary["accuracy"] >= 0.9
    assert summary["completed_rounds"] < 5000


def test_a_killed_coordinator_goes_on_without_counting_a_step_twice(
    launch: Start, nervenet_here: Start, until: Start
) -> None:
    words = ("--data", "iris", "--nodes", 4, "--rounds", 1_000_000, "--strategy", "fedbuff")
    run = launch(*words, "--set", "evaluation.every=500", "--set", "evaluation.baseline=false")
    kept = checkpoint_dir(run.folder, COORDINATOR)
    until(lambda: max(rounds_in(kept), default=0) > 0, "a checkpoint in the middle")
    os.kill(run.nodes["coordinator"]["pid"], signal.SIGKILL)
    assert run.wait() == 1
    rounds = max(rounds_in(kept)) + 50
    nervenet_here("launch", "--resume", run.folder, "--rounds", rounds, "--quiet").ok()
    summary = run.summary()
    assert summary["completed_rounds"] == rounds
    assert summary["resumed_after"] > 0
    assert not summary["updates_rejected"]
    assert summary["accuracy"] >= 0.9
    reported = steps(run.folder)
    second = [event for event in reported if event["incarnation"] == reported[-1]["incarnation"]]
    assert second[0]["round"] == summary["resumed_after"] + 1
    assert second[-1]["round"] == rounds
    assert all(after["round"] == before["round"] + 1 for before, after in pairwise(second))
