"""Events of two small runs, as a web view gets them."""

from collections.abc import Callable
from typing import Any

import pytest

Event = dict[str, Any]


def event(kind: str, node: str, role: str, at: float, **more: Any) -> Event:
    head = {"type": kind, "run": "r", "node": node, "role": role, "incarnation": 1, "seq": 1, "time": at}
    return {**head, **more}


def started(mode: str, rounds: int = 4, **more: Any) -> Event:
    facts = {"mode": mode, "nodes": 2, "rounds": rounds, "data": "iris", "model": "mlp"}
    return event("run.started", "launcher", "launcher", 100.0, **facts, **more)


def completed(node: str, role: str, at: float, number: int, participants: list[str], **more: Any) -> Event:
    facts = {
        "closed_by": "all",
        "duration_s": 1.0,
        "bytes_sent": 10,
        "bytes_received": 20,
        "participants": participants,
    }
    return event("round.completed", node, role, at, round=number, **{**facts, **more})


@pytest.fixture
def federated() -> list[Event]:
    """A run of two clients after its first round."""
    clients = ["client-0", "client-1"]
    return [
        started("federated"),
        event("node.ready", "coordinator", "coordinator", 101.0, pid=7),
        *(event("node.joined", name, "client", 101.0, pid=8, address="tcp://127.0.0.1:1") for name in clients),
        event("round.started", "coordinator", "coordinator", 102.0, round=1, attempt=0, asked=clients),
        *(event("metric.local", name, "client", 103.0, round=1, loss=0.5, duration_s=0.5) for name in clients),
        completed("coordinator", "coordinator", 104.0, 1, clients, loss=0.4),
        event("metric.test", "coordinator", "coordinator", 104.1, round=1, accuracy=0.9, loss=0.3),
    ]


@pytest.fixture
def gossip() -> list[Event]:
    """A run of two peers after its first round."""
    found = [started("gossip")]
    for name, other, score in (("peer-0", "peer-1", 0.8), ("peer-1", "peer-0", 0.6)):
        found += [
            event("node.ready", name, "peer", 101.0, pid=8),
            event("round.started", name, "peer", 102.0, round=1, attempt=0),
            event("exchange.received", name, "peer", 103.0, subject=other, round=1, count=1, bytes=500),
            completed(name, "peer", 104.0, 1, [other], waiting_s=0.25, mixing_s=0.125, mass=1.5),
            event("metric.test", name, "peer", 104.1, round=1, accuracy=score, loss=0.3, sketch=[score, 1.0, 2.0]),
        ]
    return found


@pytest.fixture
def summed_up() -> Event:
    """The second round of the gossip run, as a run folder sums it up."""
    completed = {
        "participants": [[1], [0]],
        "closed_by": "all",
        "duration_s": 1.0,
        "bytes_sent": 9,
        "bytes_received": 9,
    }
    judged = {"accuracy": [0.9, 0.8], "loss": 0.2}
    more = {"round": 2, "peers": ["peer-0", "peer-1"], "round.completed": completed, "metric.test": judged}
    return event("round.summary", "launcher", "launcher", 106.0, **more)


@pytest.fixture
def ended() -> Callable[..., Event]:
    def run_ended(**more: Any) -> Event:
        facts = {"status": "completed", "completed_rounds": 1, "wall_s": 9.0, "accuracy": 0.95, "loss": 0.2}
        return event("run.completed", "launcher", "launcher", 110.0, **{**facts, **more})

    return run_ended
