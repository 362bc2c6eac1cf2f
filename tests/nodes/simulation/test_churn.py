"""Who cannot be reached when, and who ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from nervenet.nodes.config.simulation import SimulationConfig
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.simulation.churn import ENDED, let_come_and_go
from nervenet.nodes.simulation.machines import VirtualNode, VirtualNodes
from nervenet.nodes.simulation.network import VirtualNetwork


class Waiting:
    """A machine that waits for the end of time, and looks at who is away now and then."""

    def __init__(self, network: VirtualNetwork, until: float, every_s: float = 1.0) -> None:
        self.network, self.until, self.every_s = network, until, every_s
        self.away: list[int] = []

    def handle(self, event: ev.Event, now: float) -> list[e.Effect]:
        if isinstance(event, ev.TimerFired):
            self.away.append(len(self.network.away))
        return [e.SetTimer(("tick",), now + self.every_s)] if now < self.until else [e.Finish("completed")]


class Nobody:
    def __init__(self) -> None:
        self.gone: dict[str, str] = {}

    def published(self, node: VirtualNode, kind: str, fields: Mapping[str, Any]) -> None:
        pass

    def ended(self, node: VirtualNode, reason: str) -> None:
        self.gone[node.name] = reason


def run(until: float, names: int, **keys: Any) -> tuple[Waiting, Nobody]:
    config, listener = SimulationConfig(**keys), Nobody()
    nodes = VirtualNodes(VirtualNetwork(config, 0), listener, patience_s=1e9)
    watch = Waiting(nodes.network, until)
    idle: Any = lambda _: (0.0, None)  # noqa: E731
    nodes.enter("coordinator", "coordinator", watch, None, idle)  # type: ignore[arg-type]
    clients = [f"client-{i}" for i in range(names)]
    for name in clients:
        nodes.enter(name, "client", Waiting(nodes.network, until, until), None, idle)  # type: ignore[arg-type]
    let_come_and_go(nodes, clients, config, 0)
    assert nodes.run_to_end(lambda: False) == ""
    return watch, listener


def test_nodes_are_away_for_the_share_of_time_that_was_asked_for() -> None:
    watch, _ = run(2_000.0, 20, offline=0.2, offline_s=10.0)
    assert sum(watch.away) / len(watch.away) == pytest.approx(0.2 * 20, rel=0.1)
    assert len({*watch.away}) > 5, "not all at a time"


def test_nodes_end_after_the_time_that_was_asked_for_in_the_mean_and_the_coordinator_does_not() -> None:
    _, listener = run(300.0, 200, lifetime_s=300.0)
    assert len(listener.gone) == pytest.approx(200 * (1 - 2.718**-1), rel=0.15)
    assert "coordinator" not in listener.gone
    assert {*listener.gone.values()} == {ENDED}


def test_where_nothing_is_completed_for_long_it_ends_and_says_so() -> None:
    nodes = VirtualNodes(VirtualNetwork(SimulationConfig(), 0), Nobody(), patience_s=1_000.0)
    idle: Any = lambda _: (0.0, None)  # noqa: E731
    nodes.enter("peer-0", "peer", Waiting(nodes.network, 1e12), None, idle)  # type: ignore[arg-type]
    assert nodes.run_to_end(lambda: False) == "nothing was completed for 1000 virtual seconds"
