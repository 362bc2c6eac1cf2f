"""Eight client processes, four of which cannot be trusted: the model is as good as without them, and each is named."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from nervenet.broker.broker import Broker
from nervenet.models import MLP, datasets
from nervenet.models.data.splits import split
from nervenet.nodes import Coordinator, Experiment
from nervenet.nodes.results.run_result import RunResult
from nervenet.nodes.results.summary import summarize

from .. import warm
from .company import CLAIM

pytestmark = pytest.mark.e2e
HONEST = {f"honest-{i}": "honest" for i in range(4)}
BAD = {"broken": "nan", "greedy": "inflation", "other": "layout", "sleeper": "honest"}
ROUNDS = 12


async def federation(clients: Mapping[str, str]) -> tuple[float, dict[str, Any], list[dict[str, Any]]]:
    """Run with these clients; gives the accuracy, the summary and the coordinator's events."""
    _, test = split(datasets.load("digits"), 0.2, 42)
    script = str(Path(__file__).with_name("company.py"))
    events: list[dict[str, Any]] = []
    processes: dict[str, warm.Process] = {}
    tables = {"nodes": len(clients), "rounds": ROUNDS, "federated": {"deadline_s": 20.0, "min_clients": 2}}
    plan = Experiment.from_dict({**tables, "network": {"join_deadline_s": 60, "suspect_after_s": 6.0}})
    accuracy = 0.0
    async with Broker("tcp://127.0.0.1:0") as broker, asyncio.timeout(300):
        where = (broker.addresses["directory"], "company")
        for share, (name, vice) in enumerate(clients.items()):
            words = [sys.executable, script, *where, name, str(share), vice, str(len(clients))]
            processes[name] = warm.start(words, stdout=subprocess.DEVNULL)
        try:
            coordinator = Coordinator(MLP(), broker=where[0], run=where[1], experiment=plan, test=(test.X, test.y))
            coordinator.session.on_event = events.append
            async with coordinator:
                async for report in coordinator.rounds():
                    accuracy = report.accuracy or accuracy
                    if report.round == 2 and "sleeper" in processes:
                        os.kill(processes["sleeper"].pid, signal.SIGSTOP)
                record = coordinator.session.stats.report(coordinator.session.transport.counters)
        finally:
            for process in processes.values():
                process.kill()
                process.wait(60)
    summary = summarize(plan, RunResult({"coordinator": record}))
    return accuracy, summary, events


async def test_four_of_eight_clients_cannot_be_trusted_and_the_model_is_as_good() -> None:
    alone, _, _ = await federation(HONEST)
    accuracy, summary, events = await federation(HONEST | BAD)
    assert abs(accuracy - alone) <= 0.02, (accuracy, alone)
    assert summary["completed_rounds"] == ROUNDS
    assert {"broken", "greedy", "other"} <= set(summary["updates_rejected"]), summary["updates_rejected"]
    assert any("sleeper" in line for line in summary["disturbances"]), summary["disturbances"]
    assert not summary["undisturbed"]
    reasons = {e["subject"]: e["reason"] for e in events if e["type"] == "update.rejected"}
    assert "finite" in reasons["broken"]
    assert "layout" in reasons["other"]
    assert str(CLAIM) in reasons["greedy"].replace(",", "")
    last = [e for e in events if e["type"] == "round.completed"][-1]
    assert set(last["participants"]) == set(HONEST)
