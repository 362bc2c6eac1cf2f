"""The aggregators of a simulation: two machines each, put together as `roles.aggregator` does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..config.schema import Experiment
from ..federated.client_machine import ClientConfig, ClientMachine
from ..federated.hierarchy.upward import UpwardMachine
from ..large.sizes import Sizes
from ..launching.regions.plan import AGGREGATOR, Region
from ..roles.inquiry import InquiryWorker
from ..runtime import effects as e
from ..runtime import events as ev
from ..runtime.simulator import Answer
from .machines import LINGER_S, VirtualNode, VirtualNodes
from .nodes import COORDINATOR

LEFT = "left before the run was over"


class VirtualAggregator:
    """Ties the half that coordinates a region, `below`, to the one that `enroll` has take part in the run.

    `experiment` is that of the region; `on_known` is called once it is known whether its clients are there.
    """

    def __init__(
        self,
        nodes: VirtualNodes,
        below: VirtualNode,
        region: Region,
        experiment: Experiment,
        on_known: Callable[[], None],
    ) -> None:
        self.gathered: ev.Gathered | None = None
        self._nodes, self._below, self._region, self._experiment = nodes, below, region, experiment
        self._above: VirtualNode | None = None
        self._on_known = on_known
        below.pass_on, below.on_failed = self._up, self._failed

    @property
    def failed(self) -> bool:
        """Whether it has lost its region, and with it its part in the run."""
        return self._below.finished is not None and self._below.finished.status == "failed"

    @property
    def moved(self) -> Mapping[str, Any]:
        """What the half above has sent and received, in bytes; empty before there is one."""
        return {} if self._above is None else self._above.stats.report(self._above.counters)

    def _up(self, event: ev.Event) -> None:
        if isinstance(event, ev.Gathered):
            self.gathered = event
            self._on_known()
        elif self._above is not None:
            self._nodes.post(self._above.key, event)

    def _down(self, event: ev.Event) -> None:
        self._nodes.post(self._below.key, event)

    def enroll(self, gathered: ev.Gathered) -> None:
        """Take part in the run, whose coordinator is there."""
        nodes, experiment, name = self._nodes, self._experiment, self._region.name
        client = ClientMachine(ClientConfig(COORDINATOR, gathered.examples, timing=experiment.timing))
        machine = UpwardMachine(client, experiment.hierarchy.deadline_s, Sizes.of(experiment.network))
        self._above = node = nodes.enter(name, AGGREGATOR, machine, InquiryWorker[Any](), _no_work)
        node.pass_on = self._down
        nodes.publish(node, "node.joined", {"pid": 0, "address": ""})
        there = {"region": self._region.run, "clients": gathered.clients}
        nodes.publish(node, "node.ready", {"pid": 0, "examples": gathered.examples, "held_out": 0, **there})
        nodes.dial(name, COORDINATOR)

    def _failed(self) -> None:
        """End what no longer has a coordinator: the half above, and the clients that have not heard of it by then."""
        nodes = self._nodes
        nodes.at(nodes.now + LINGER_S, self._end_clients)
        if self._above is not None:
            nodes.leave(self._above, e.Finish("failed", LEFT))
        self._on_known()

    def _end_clients(self) -> None:
        for client in self._region.clients:
            self._nodes.end(client, f"its aggregator, {self._region.name}, was lost")


def _no_work(effect: e.Effect) -> tuple[float, Answer]:
    raise TypeError(f"the upper half of an aggregator does no work, and was asked for {type(effect).__name__}")
