"""Coordinator: federated learning in a user's asyncio program, the averaging half."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

from nervenet.broker.messages import Roster
from nervenet.models.site_model import SiteModel

from ..checkpoint.store import CheckpointStore
from ..config.factory import initial_model
from ..config.schema import Experiment
from ..federated.checkpoint_writer import CheckpointWriter
from ..federated.coordinator_config import CoordinatorConfig
from ..federated.coordinator_machine import CoordinatorMachine
from ..federated.coordinator_worker import Aggregator, CoordinatorWorker, population_of
from ..federated.early_stopping import Stop
from ..federated.evaluation import Best
from ..federated.large.coordinator import LargeCoordinator
from ..federated.recovery import recall
from ..federated.strategies import Strategy
from ..federated.strategies.registry import build_strategy
from ..large.sizes import Sizes
from ..large.vectors import Room
from ..runtime import events as ev
from ..runtime.identity import NodeIdentity, members_of
from ..runtime.round_reports import TOGETHER_S
from .base import Role


class Coordinator(Role):
    """Asks clients to train, and averages what they report.

    An asynchronous context manager that lives in the caller's event loop: see `Role`.

    Parameters
    ----------
    model
        An `MLP`, any other `nervenet.models.Model`, or a scikit-learn estimator whose copies can be averaged.
    broker, run
        Address of the broker that introduces the nodes, and the name of the run.
    name
        Default: ``coordinator``, or that of its key (``network.keys``).
    replace
        Take the name from another node of the run, even if that one still answers; else that raises `NameTaken`. One
        that no longer answers loses it once its lease is over.
    nodes
        How many clients make the run; rounds begin when they are ready.
    rounds, seed, epochs, participation, quorum, deadline_s
        Shorthands for the keys of the experiment file; `deadline_s` in seconds.
    init
        A run folder or a saved model: start from its weights, with its scaler and the clock of its schedule.
    test
        Rows (X, y), or (X, y, sample_weight), on which to measure the global model after each round; without them the
        clients' hold-outs are asked.
    preprocess
        An unfitted scikit-learn transformer for tables, in place of ``data.preprocess``; the sites are told.
    checkpoint_dir
        Folder for checkpoints, which outlive this coordinator: another one of the same experiment and folder goes on
        after the newest of them, with the clients that live and with those that come. None: nothing is kept.
    experiment
        Everything else that an experiment file says.

    Attributes
    ----------
    resumed : int or None
        The round after which the run goes on; None for a new run.

    Raises
    ------
    ExperimentError, CannotMerge
        From the constructor, which reads the newest checkpoint, for values that cannot be, and for checkpoints of
        another experiment.
    BrokerUnreachable, JoinRefused, RosterIncomplete
        On entering; each names who and what.
    """

    role = "coordinator"
    together_s = TOGETHER_S
    worker_type: ClassVar[type[CoordinatorWorker]] = CoordinatorWorker

    def __init__(
        self,
        model: object,
        *,
        broker: str,
        run: str,
        name: str | None = None,
        replace: bool = False,
        nodes: int | None = None,
        rounds: int | None = None,
        seed: int | None = None,
        epochs: int | None = None,
        participation: float | None = None,
        quorum: float | None = None,
        deadline_s: float | None = None,
        init: Path | str | None = None,
        test: tuple[Any, ...] | None = None,
        preprocess: object = None,
        checkpoint_dir: Path | str | None = None,
        experiment: Experiment | None = None,
    ) -> None:
        from ..config.factory import build_site_model, with_preprocess
        from ..experiment.loader import experiment_from_keywords

        wanted = {
            "nodes": nodes,
            "rounds": rounds,
            "seed": seed,
            "training.epochs": epochs,
            "federated.participation": participation,
            "federated.quorum": quorum,
            "federated.deadline_s": deadline_s,
            "init": None if init is None else str(init),
        }
        experiment = with_preprocess(experiment_from_keywords("federated", wanted, experiment, model), preprocess)
        site_model = build_site_model(model, None, experiment, test=test)
        if experiment.network.keys is None:  # else it is called as its key
            name = name or "coordinator"
        self._embed(site_model, experiment, broker, run, name, checkpoint_dir, replace=replace)

    def _set_up(self, site_model: SiteModel, experiment: Experiment, identity: NodeIdentity) -> None:
        self._past = None if identity.checkpoint_dir is None else recall(identity.checkpoint_dir, experiment)
        self.resumed = None if self._past is None else self._past.round
        self._alone = False
        if self._past is not None:
            # Nothing is left to do but to send the final model to the clients that live; a launcher's come back.
            self._alone = self._past.round >= experiment.rounds and self._has_last(identity)
            # A coordinator that resumes a run waits for its clients itself: one of them may not come back.
            identity = replace(identity, previous_incarnation=self._past.incarnation, min_nodes=0 if self._alone else 1)
        super()._set_up(site_model, experiment, identity)
        self._strategy = self._new_strategy(experiment)
        federated = experiment.federated
        self._worker = self.worker_type(
            site_model,
            Aggregator(
                self._strategy,
                population_of(self._strategy, experiment.nodes, federated.participation),
                report=federated.report_outliers,
                room=Room.of(experiment.network, identity.checkpoint_dir),
            ),
            node=identity.name,
            seed=experiment.seed,
            scale=experiment.data.scaling,
            initial=initial_model(experiment) if self._past is None else None,
            personal=federated.personal,
            writer=self._writer(),
        )
        self._ready: ev.ModelReady | None = None  # as the previous incarnation left it
        self._state: CoordinatorMachine | None = None

    def _has_last(self, identity: NodeIdentity) -> bool:
        """Whether the model of the last round is all that there will be, once a previous incarnation has it."""
        return identity.report_server is None

    def _new_strategy(self, experiment: Experiment) -> Strategy:
        return build_strategy(experiment.federated.strategy, experiment.federated.arguments)

    def _configured(self, clients: Collection[str]) -> CoordinatorConfig:
        has_test, model = self.model.has_test, self.model.model
        return CoordinatorConfig.of(self.experiment, clients, self._strategy, has_test=has_test, model=model)

    async def __aenter__(self) -> Self:
        if self._past is not None and self._ready is None:
            self._ready = await asyncio.to_thread(self._past.restore, self._worker, self.session.stats)
        return await super().__aenter__()

    async def __aexit__(self, *error: object) -> None:
        await self._leave_clients(error[0])

    def _begin(self, roster: Roster) -> None:
        joined = members_of(roster, "client") | members_of(roster, "aggregator")
        there = {name for name, member in joined.items() if member.state != "dead"}
        known = self._past.clients if self._past is not None and not self._alone else frozenset[str]()
        self._state = self._machine(self._configured(known.union(there if self._alone else joined)))
        machine = LargeCoordinator(self._state, Sizes.of(self.experiment.network))
        self.session.attach(self._start(machine, self._worker))

    def _machine(self, config: CoordinatorConfig) -> CoordinatorMachine:
        if self._past is None or self._ready is None:
            return CoordinatorMachine(config)
        for reason in self._past.warnings:
            self.session.publish("warning", {"reason": reason})
        past, ready = self._past, self._ready
        return CoordinatorMachine.restored(config, past.machine, ready.body, ready.outgoing, past.best)

    def _writer(self) -> CheckpointWriter | None:
        if self.identity.checkpoint_dir is None:
            return None
        store, tables = CheckpointStore(self.identity.checkpoint_dir), self.experiment.to_dict()
        return CheckpointWriter(store, self.session.stats, tables, self.session.incarnation)

    @property
    def weights(self) -> Any:
        """The global weights after the last completed round, a flat vector; None before round 0 is over."""
        return None if self._state is None else self._state.run.weights

    @property
    def clock(self) -> float:
        """How far the learning-rate schedule of `weights` has come; 0 where the model has none."""
        return 0.0 if self._state is None else self._state.run.clock

    @property
    def best(self) -> Best | None:
        """The model that was judged best so far: its round, its weights and its figures; None before there is one.

        By the metric of ``evaluation.until``, else by accuracy or R²; of two that are equal, the earlier.
        """
        return None if self._state is None else self._state.run.evaluation.best

    @property
    def site_counts(self) -> dict[str, Mapping[str, Any]]:
        """What sites have counted of the last model's predictions of their hold-outs, by name, once they have told:
        `nervenet.models.score_counts`, which pools them, and of which `nervenet.models.score_report` makes reports.
        """
        return {} if self._state is None else dict(self._state.run.evaluation.counts)

    @property
    def site_matrix(self) -> dict[str, Any]:
        """How each site's own model does at the others, with ``evaluation.site_matrix``: see docs/summary.md."""
        return {} if self._state is None else self._state.run.matrix.result()

    @property
    def stopped(self) -> Stop | None:
        """Why the run ended, or is about to end, before its last round; None where it does not."""
        return None if self._state is None else self._state.run.stopped
