"""Monitors come and go as they like; the run does not notice."""

import json
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.e2e
Start = Callable[..., Any]


def test_late_monitors_one_of_them_killed_disturb_nobody(launch: Start, nervenet: Start, until: Start) -> None:
    words = ("--mode", "federated", "--data", "iris", "--nodes", 2, "--rounds", 1_000_000)
    run = launch(*words, "--set", "evaluation.baseline=false", "--set", "network.suspect_after_s=20")
    address = run.broker()
    run.in_round(5)
    lines = nervenet("monitor", "--broker", address, "--json")
    people, patient = (nervenet("monitor", "--broker", address) for _ in range(2))
    lines.says('"round.completed"')

    # A late listener is told what went before: who is there, and how the run began.
    def known(kind: str) -> set[str]:
        events = [json.loads(line) for line in list(lines.out) if line.endswith("\n")]
        return {event["node"] for event in events if event["type"] == kind}

    until(lambda: known("run.started") and known("node.ready"), "how the run began")
    until(lambda: known("node.joined") >= {"client-0", "client-1"}, "who is there")
    for view in (people, patient):
        until(lambda view=view: "round" in view.text, "the terminal view shows rounds")
    os.kill(lines.pid, signal.SIGSTOP)  # the worst listener: one that no longer reads
    stopped_at = time.time()
    until(lambda: len([e for e in run.reported("round.completed") if e["time"] > stopped_at]) > 30, "rounds go on")
    os.kill(lines.pid, signal.SIGKILL)
    people.kill(signal.SIGINT)
    assert people.wait() == 130
    assert not run.reported("node.lost")
    run.kill(signal.SIGINT)
    assert run.wait() == 130
    assert patient.wait() == 0
    assert "aborted after" in patient.text
    for line in lines.out[:-1]:  # of the last one it may have said half
        event = json.loads(line)
        assert {"type", "run", "node", "role", "incarnation", "seq", "time"} <= set(event), event


def test_a_monitor_of_nothing_says_so(nervenet: Start, until: Start) -> None:
    monitor = nervenet("monitor", "--broker", "tcp://127.0.0.1:1", "--json")
    line = monitor.says('"warning"')
    assert "127.0.0.1:1" in json.loads(line)["reason"]
    monitor.kill(signal.SIGTERM)
    assert monitor.wait() == 143
