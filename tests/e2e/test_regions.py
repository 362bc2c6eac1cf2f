"""A launch with regions: an aggregator is lost with its clients, the run goes on, is interrupted, and is resumed."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.e2e
Start = Callable[..., Any]
REGIONS = {"region-0": ["client-0"], "region-1": ["client-1"], "region-2": ["client-2", "client-3"]}
CLIENTS = ["client-0", "client-1", "client-2", "client-3"]
ASKED = ("--regions", 3, "--nodes", 4, "--data", "iris", "--rounds", 100_000, "--set", "network.join_deadline_s=60")
ALONE = ("--set", "evaluation.baseline=false")


def test_a_lost_region_is_told_and_back_when_the_run_is_resumed(nervenet: Start, launch: Start, until: Start) -> None:
    run = launch(*ASKED, *ALONE)
    run.heard("round.completed", participants=list(REGIONS))
    run.heard("node.ready", node="client-3", role="client", region="region-2")
    nodes = run.nodes
    shown = {region: [name for name in CLIENTS if nodes[name]["region"] == region] for region in REGIONS}
    assert shown == REGIONS
    saved = run.folder / "checkpoints" / "coordinator"
    until(lambda: list(saved.glob("round-*")), "a checkpoint")
    os.kill(nodes["region-2"]["pid"], signal.SIGKILL)
    run.heard("round.completed", participants=["region-0", "region-1"])  # it goes on without
    run.heard("node.lost", subject="client-3", reason="its aggregator, region-2, was lost")
    run.kill(signal.SIGINT)
    assert run.wait() == 130, run.text[-3000:]
    summary = run.summary()
    assert (summary["status"], summary["nodes"], summary["regions"]) == ("interrupted", 4, REGIONS)
    assert summary["nodes_lost"] == ["client-2", "client-3", "region-2"]
    assert "Traceback" not in run.text

    again = nervenet("launch", "--resume", run.folder, "--until", "accuracy=0.5", "--quiet").ok()
    assert again.out[-1].strip() == str(run.folder)
    summary = run.summary()
    assert (summary["status"], summary["nodes_lost"]) == ("completed", [])
    assert {name: figures.get("region") for name, figures in summary["by_node"].items()} == {
        **dict.fromkeys(["coordinator", *REGIONS]),
        **{client: region for region, clients in REGIONS.items() for client in clients},
    }
