"""Aggregator: the coordinator of a region, which is a client of another coordinator; it takes part in two runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from nervenet.broker.messages import Roster
from nervenet.broker.sockets import Security, split_bind
from nervenet.models.site_model import SiteModel

from ..config.keys import ExperimentError
from ..config.schema import Experiment, NetworkConfig
from ..federated.client_machine import ClientConfig, ClientMachine
from ..federated.coordinator_config import CoordinatorConfig
from ..federated.hierarchy.composing import problems
from ..federated.hierarchy.ordered import ordered_from_above
from ..federated.hierarchy.upward import UpwardMachine
from ..federated.hierarchy.worker import RegionWorker
from ..federated.strategies import Strategy
from ..federated.strategies.averaging import FedAvg
from ..large.sizes import Sizes
from ..runtime import effects as e
from ..runtime import events as ev
from ..runtime.identity import NodeIdentity
from ..runtime.node import Node
from ..runtime.secured import check_way_in, closing_gate, security_of
from .base import Role
from .coordinator import Coordinator
from .inquiry import InquiryWorker

UPSTREAM = "upstream"  # a folder for what is above: of the audit log of what goes up, and of keys, if those are others


class Aggregator(Coordinator):
    """Coordinates the clients of a region as the coordinator above it asks, and answers that as one client.

    Its rounds are those of the run above, in which it takes part under its own name once its clients are there. It is
    made by `from_parts`, with the broker and the name of that run in its identity.

    Raises
    ------
    ExperimentError
        From the constructor, for what an aggregator cannot pass on.
    BadAddress, NotEncrypted, KeysError
        From the constructor, for a broker above that cannot be dialed.
    """

    worker_type = RegionWorker

    def _set_up(self, site_model: SiteModel, experiment: Experiment, identity: NodeIdentity) -> None:
        for problem in problems(experiment, site_model.model):
            raise ExperimentError(problem)
        _check_way_up(experiment.network, identity)
        super()._set_up(site_model, experiment, identity)
        self._above: Above | None = None
        self._serving: asyncio.Task[None] | None = None

    def _has_last(self, identity: NodeIdentity) -> bool:  # noqa: ARG002
        return False  # that is the run's above

    def _new_strategy(self, experiment: Experiment) -> Strategy:  # noqa: ARG002
        return FedAvg()  # the step is made above

    def _configured(self, clients: Collection[str]) -> CoordinatorConfig:
        return ordered_from_above(super()._configured(clients), self.experiment.hierarchy)

    def _start(self, machine: e.Machine, worker: Any) -> Node:
        node = super()._start(machine, worker)
        node.pass_on = self._up  # before it is attached: its clients may be there already, and be heard at once
        return node

    def _up(self, event: ev.Event) -> None:
        """Take what the region says to the run above: first that it is there."""
        if isinstance(event, ev.Gathered):
            self._serving = asyncio.create_task(self._serve(event), name=f"{self.identity.name} upstream")
        elif self._above is not None:
            self._above.post(event)

    async def _serve(self, gathered: ev.Gathered) -> None:
        """Take part in the run above; whatever ends that early ends the region."""
        try:
            above = self._above = Above(self.experiment, self.identity, gathered, self._ordered)
            async with above:
                await above.over()
        except Exception as error:  # noqa: BLE001  (said to the clients, and to the owner of this node)
            self._ordered(ev.Ordered(e.Finish("failed", str(error) or type(error).__name__)))

    def _ordered(self, event: ev.Event) -> None:
        if self._node is not None:
            self._node.post(event)

    @property
    def sent_above(self) -> dict[str, Any]:
        """What the half in the run above has sent and received, in bytes; empty before it is in it."""
        return {} if self._above is None else self._above.moved

    async def __aexit__(self, *error: object) -> None:
        try:
            if self._serving is not None:
                self._serving.cancel()
                await asyncio.gather(self._serving, return_exceptions=True)
        finally:
            await super().__aexit__(*error)


class Above(Role):
    """The half of an aggregator that is a client; its work is done by the other half, which `order` hands it."""

    role = "aggregator"
    binds = False

    def __init__(
        self, experiment: Experiment, identity: NodeIdentity, gathered: ev.Gathered, order: Callable[[ev.Event], None]
    ) -> None:
        shared = {**identity.shared_config, "nodes": experiment.hierarchy.regions}
        audit_dir = None if identity.audit_dir is None else identity.audit_dir / UPSTREAM
        above = NodeIdentity(
            identity.upstream,
            identity.upstream_run,
            identity.name,
            shared_config=shared,
            patient=identity.patient,
            replace=identity.replace,
            security=_security_above(experiment.network, identity),
            context=identity.context,
            audit_dir=audit_dir,
            min_nodes=experiment.hierarchy.regions,
        )
        self._gathered, self._order, self._coordinator = gathered, order, ""
        self.region = (identity.region or identity.run, gathered.clients)
        self._take_place(experiment, above)

    def _begin(self, roster: Roster) -> None:
        coordinator = self._coordinator_in(roster)
        self._coordinator = coordinator.node
        experiment = self.experiment
        config = ClientConfig(self._coordinator, self._gathered.examples, os.getpid(), experiment.timing)
        sizes = Sizes.of(experiment.network)
        machine = UpwardMachine(ClientMachine(config), experiment.hierarchy.deadline_s, sizes)
        self._answer_to(coordinator, machine, InquiryWorker[Any]())  # which looks at what comes, and does no work

    def _start(self, machine: e.Machine, worker: Any) -> Node:
        node = super()._start(machine, worker)
        node.pass_on = self._order
        return node

    def _own_rows(self) -> tuple[int, Mapping[str, int]]:
        return self._gathered.examples, {}

    def post(self, event: ev.Event) -> None:
        if self._node is not None:
            self._node.post(event)

    @property
    def moved(self) -> dict[str, Any]:
        """The bytes that this half has sent and received, in all and by kind."""
        known = self.session.stats.report(self.session.transport.counters)
        return {key: known[key] for key in ("bytes_sent", "bytes_received", "bytes_sent_by_kind")}

    async def over(self) -> None:
        """Return when the run above is over, or this half has nothing more to do in it."""
        if self._node is not None:
            await self._node.finished

    async def __aexit__(self, *error: object) -> None:
        await self._leave_coordinator(self._coordinator, error[0])


def _security_above(network: NetworkConfig, identity: NodeIdentity) -> Security:
    """Return how the connections to the run above are secured: by keys of their own where there are any for it.

    One folder of keys allows one broker, and that of the region may be another one. A launch has one, and its nodes
    share what its process has.
    """
    if identity.context is not None and identity.security is not None:
        return identity.security
    folder = None if network.keys is None else Path(network.keys) / UPSTREAM
    own = folder is not None and folder.is_dir()
    return security_of(replace(network, keys=str(folder)) if own else network, identity.name)


def _check_way_up(network: NetworkConfig, identity: NodeIdentity) -> None:
    """Refuse, before anybody has gathered, a way into the run above that cannot be taken."""
    if identity.publishes_for:  # the broker above is the region's own
        return
    split_bind(identity.upstream, ("directory",))
    security = _security_above(network, identity)
    with closing_gate(security):
        check_way_in(security, identity.upstream)
