"""The log of real processes, as a program reads it."""

import json
import signal
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.e2e
Start = Callable[..., Any]


def test_every_line_of_a_launch_says_when_where_and_in_which_round(launch_here: Start) -> None:
    few = ("--data", "iris", "--nodes", 2, "--rounds", 2, "--set", "evaluation.baseline=false")
    few += ("--set", "network.suspect_after_s=20")  # on a busy machine, too, nobody is left out
    run = launch_here(*few, "--log-format", "json", "--log-level", "debug").ok()
    lines = [json.loads(line) for line in (run.folder / "nodes.log").read_text().splitlines()]
    lines = [line for line in lines if line["event"] != "connection.refused"]  # strangers knock at any port
    for line in lines:
        assert line.keys() >= {"time", "level", "event", "run", "node"}, line
    assert {line["run"] for line in lines} == {run.events[0]["run"]}
    assert {line["node"] for line in lines} >= {"launcher", "coordinator", "client-0", "client-1"}
    completed = [line["round"] for line in lines if line["event"] == "round.completed"]
    assert completed == [0, 1, 2]
    last = {line["node"]: line["round"] for line in lines if line["event"] == "finished"}
    assert last == {"coordinator": 2, "client-0": 2, "client-1": 2}
    assert "round.completed" in [event["type"] for event in run.events], "and events are what they were"


def test_a_broker_that_is_stopped_says_so_in_a_line(nervenet: Start) -> None:
    broker = nervenet("broker", "--bind", "tcp://127.0.0.1:0", "--log-format", "json")
    broker.says("events out")
    broker.kill(signal.SIGTERM)
    assert broker.wait() == 143
    (line,) = map(json.loads, broker.err)
    assert line["event"] == "stopped by SIGTERM"
