"""What coordinator, client and peer have in common: a session and, once the run is complete, a machine at work."""

from __future__ import annotations

import asyncio
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from nervenet.broker.messages import Member, Roster
from nervenet.models.site_model import SiteModel

from ..config import grown
from ..config.compatibility import shared_config_of
from ..config.idle_parameters import idle_lines_of
from ..config.keys import ExperimentError
from ..config.schema import Experiment
from ..config.summed import idle_training, missing_rows, problems
from ..consent.requests import Policy
from ..runtime import effects as e
from ..runtime import events as ev
from ..runtime.auditing import audit_dir_of
from ..runtime.connections import LastWords
from ..runtime.identity import NodeFailed, NodeIdentity, default_name, members_of
from ..runtime.node import Node
from ..runtime.payload_checks import numbers_in
from ..runtime.round_reports import RoundReport, RoundReports
from ..runtime.secured import key_name, security_of
from ..runtime.session import Session
from ..runtime.worker import RoleWorker, Worker

GOODBYES_S = 2.0  # how long a coordinator waits for clients to say goodbye


class Role(ABC):
    """An asynchronous context manager that lives in the caller's event loop; training runs in a daemon thread.

    It installs no signal handler, configures no logging and changes no global state.
    """

    role: ClassVar[str]
    binds: ClassVar[bool] = True
    region: tuple[str, int] | None = None  # of who speaks for other clients: their run, and how many they are
    together_s: ClassVar[float] = 0.0  # within which rounds are reported together, of who goes on by itself

    @classmethod
    def from_parts(cls, site_model: SiteModel, experiment: Experiment, identity: NodeIdentity) -> Self:
        """Build a node from parts that are checked already: for launchers."""
        node = cls.__new__(cls)
        node._set_up(site_model, experiment, identity)  # noqa: SLF001  (its own class)
        return node

    def _embed(
        self,
        site_model: SiteModel,
        experiment: Experiment,
        broker: str,
        run: str,
        name: str | None,
        checkpoint_dir: Path | str | None,
        *,
        replace: bool = False,
        seed_peer: str = "",
    ) -> None:
        model = site_model.model
        lines = [
            *idle_lines_of(model),
            *idle_training(experiment.training, model),
            *missing_rows(experiment, model),
        ]
        for line in (*lines, *grown.idle_training(experiment, site_model.model)):
            warnings.warn(line, stacklevel=3)  # where the program makes the node
        if site_model.examples:
            Policy.of(experiment, run, site_model).check()
        security = security_of(experiment.network, name, self.role)
        identity = NodeIdentity(
            broker,
            run,
            name or key_name(security) or default_name(self.role),
            shared_config=shared_config_of(experiment, site_model),
            checkpoint_dir=None if checkpoint_dir is None else Path(checkpoint_dir),
            replace=replace,
            seed_peer=seed_peer,
            security=security,
            audit_dir=audit_dir_of(experiment.site, checkpoint_dir, usual=False),
        )
        self._set_up(site_model, experiment, identity)

    def _set_up(self, site_model: SiteModel, experiment: Experiment, identity: NodeIdentity) -> None:
        for problem in (*problems(experiment, site_model.model), *grown.problems(experiment, site_model.model)):
            raise ExperimentError(problem)
        self.model = site_model
        site_model.most_numbers = numbers_in(experiment.network.max_message_bytes)
        self._take_place(experiment, identity)

    def _take_place(self, experiment: Experiment, identity: NodeIdentity) -> None:
        self.experiment = experiment
        self.identity = identity
        self.session = Session(self.role, identity, experiment, binds=self.binds)
        self._reports = RoundReports(self.together_s, lambda why: self.session.publish("warning", {"reason": why}))
        self._node: Node | None = None

    async def __aenter__(self) -> Self:
        await self.session.open(self._begin)
        return self

    @abstractmethod
    def _begin(self, roster: Roster) -> None:
        """Start the node, and attach it to the session."""

    def _start(self, machine: e.Machine, worker: RoleWorker) -> Node:
        session = self.session
        self._node = Node(
            machine,
            session.transport,
            Worker(worker, self.identity.name, session.publisher.run, self.identity.threads),
            session.publish,
            self._reports.put,
            session.auditor,
        )
        examples, held_out = self._own_rows()
        rows, by_class = dict[str, Any](), dict[str, Any]()
        if examples:
            rows = {"examples": examples, "held_out": sum(held_out.values())}
            # How many rows of a class a site has is for its own screen: the run learns of their number alone.
            by_class = {"held_out_by_class": dict(held_out)}
        ready = {"pid": os.getpid(), **rows}
        if self.region is not None:
            ready["region"] = self.region[0]
            ready["clients"] = self.region[1]
        elif self.identity.region:
            ready["region"] = self.identity.region
        session.publish("node.ready", ready, by_class)
        self._node.post(ev.Started())
        return self._node

    def _coordinator_in(self, roster: Roster) -> Member:
        """Return the coordinator, which a client answers. Raises NodeFailed where the run has none."""
        found = next(iter(members_of(roster, "coordinator").values()), None)
        if found is None:
            raise NodeFailed(f"run {self.identity.run!r} has no coordinator")
        return found

    def _answer_to(self, coordinator: Member, machine: e.Machine, worker: RoleWorker) -> None:
        """Start the node of a client, which dials its coordinator."""
        node = self._start(machine, worker)
        self.session.follow(coordinator)
        self.session.attach(node)

    def _own_rows(self) -> tuple[int, Mapping[str, int]]:
        """Return how many rows this site trains on, and how many it keeps from training, by class."""
        return self.model.examples, self.model.held_out

    async def _leave_clients(self, error: object) -> None:
        """Leave as a coordinator does: the clients read the last that it says before its end of the connection goes."""
        connections = self.session.connections
        try:
            if self._node is not None:
                if not self._node.finished.done():
                    self.session.send_goodbye(connections.connected, "the coordinator left before the run was over")
                last = self._last_words() if self._node.finished.done() else None
                await connections.wait_for_goodbyes(GOODBYES_S, last)
        finally:  # an owner may cut that wait short, and must not be left with open sockets
            await self.session.close(self._leaving(error))

    def _last_words(self) -> LastWords:
        session = self.session
        return LastWords(session.transport, session.stats.completed, session.publish)

    async def _leave_coordinator(self, coordinator: str, error: object) -> None:
        """Leave as a client does, which says so if the run is not over."""
        reason = self._leaving(error)
        if coordinator and self._node is not None and not self._node.finished.done():
            reason = "left before the run was over" if reason == "done" else reason
            self.session.send_goodbye([coordinator], reason)
        await self.session.close(reason)

    @staticmethod
    def _leaving(error: object) -> str:
        """Return why a node leaves, by the type of what ended its block: for others, and for people."""
        if error is asyncio.CancelledError:
            return "interrupted"
        # Of a node that has failed the others know why.
        if not isinstance(error, type) or issubclass(error, NodeFailed):
            return "done"
        return f"its program raised {error.__name__}"

    async def rounds(self) -> AsyncIterator[RoundReport]:
        """Yield each round that is complete, until the run is over.

        A coordinator's are evaluated: without a test set a round comes once the sites have judged its model, with the
        updates of the next one. A client's are those that it took part in, and `model` is the global one after them or,
        with personalization, its own. For who iterates later the last 1,024 are kept.

        Raises
        ------
        NodeFailed
            If the run failed; the reason is the message.
        """
        if self._node is None:
            raise RuntimeError(f"a {self.role} must be entered (async with) before its rounds are asked for")
        async for report in self._reports.until(None):
            yield report
