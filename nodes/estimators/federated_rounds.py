"""Federated rounds in this process: the deployed workers of coordinator and clients, one call after another.

Round 0, who is asked, what each task says, local training, what an update counts, and how updates are combined are
the deployed code; what falls away is the machines that wait for others. So the bits are those of real processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter
from typing import Any

import numpy as np
from nervenet.broker import messages as m
from nervenet.models.compress import supported

from ..checkpoint.client_state import ClientStateStore
from ..config.factory import default_node_names, training_settings
from ..federated.admission import admit, unfit
from ..federated.client_worker import ClientWorker
from ..federated.coordinator_config import CoordinatorConfig
from ..federated.coordinator_worker import Aggregator, CoordinatorWorker, population_of
from ..federated.quorum import floor_of, least
from ..federated.round import Round, closing_fields
from ..federated.run_state import RunState
from ..federated.strategies.registry import build_strategy
from ..federated.task_dispatch import choose
from ..runtime import effects as e
from ..runtime import events as ev
from ..runtime.settling import settled
from ..runtime.worker import Cancellation
from .run import Job, Learned, Progress, Record, left_out, stepwise

COORDINATOR = "coordinator"
ROLE = "client"


def names(count: int) -> list[str]:
    """Return the names of so many clients, which are the address of what each of them draws."""
    return default_node_names(count, ROLE)


def learn(job: Job, rounds: int) -> Learned:
    """Do so many federated rounds.

    Raises
    ------
    IncompatibleSites, DataError
        The sites' rows do not fit each other, or the model.
    StrategyError
        Updates cannot be combined.
    ValueError
        The strategy has no rounds; or no site's training has a finite result.
    """
    return stepwise(FederatedRounds(job), rounds)


class FederatedRounds:
    """The rounds of one run."""

    def __init__(self, job: Job) -> None:
        experiment, self._job = job.experiment, job
        strategy = build_strategy(experiment.federated.strategy, experiment.federated.arguments)
        if strategy.demands.asynchronous:
            raise ValueError(
                f"strategy = {experiment.federated.strategy!r}: has no rounds, and in what order updates come is a "
                "matter of time; backend='processes' runs it"
            )
        seed, scale = experiment.seed, experiment.data.scaling
        self.history: list[Record] = []
        population = population_of(strategy, experiment.nodes, experiment.federated.participation)
        aggregator = Aggregator(strategy, population, report=experiment.federated.report_outliers)
        self.coordinator = CoordinatorWorker(job.site_model(None), aggregator, node=COORDINATOR, seed=seed, scale=scale)
        self.clients = {
            name: ClientWorker(job.site_model(rows), node=name, seed=seed, states=ClientStateStore(), scale=scale)
            for name, rows in job.sites.items()
        }
        config = CoordinatorConfig.of(experiment, list(self.clients), strategy, has_test=False, model=job.model)
        self.state = RunState(config)
        for name, client in self.clients.items():
            self.state.registry.enroll(name, client.site_model.examples, 0.0, supported())
        self._never = Cancellation()
        self._own = training_settings(experiment, job.model)

    def begin(self) -> None:
        """Settle what everybody must share before training: round 0, or what was agreed before."""
        run, sites = self.state, {name: client.site_model for name, client in self.clients.items()}
        ready = settled([self.coordinator], sites, self._job.agreement, limited=True)
        for client in self.clients.values():
            client.apply_agreement(e.ApplyAgreement(agreement=ready.agreement))
        run.model = ready
        run.zero.rows = {name: record.examples for name, record in run.registry.clients.items()}
        run.update_model(ready, 0)
        if (after := self._job.after) is not None:
            run.weights, run.clock, run.completed = after.weights, after.clock, after.round
            run.outgoing = self.coordinator.aggregator.restore(after.round, after.weights, after.state)

    def round(self, number: int) -> None:
        """Do one round, and record it."""
        run, began = self.state, perf_counter()
        config, registry = run.config, run.registry
        floor = floor_of(config, registry)
        asked, wanted = choose(number, 0, config, registry, least(config, registry), floor)
        current = run.round = Round(number, 0, "train", asked, wanted, 1.0, floor, 0.0)
        for name, task, body in self._tasks(asked, number):
            try:
                trained = self._train(name, task, body)
            except ArithmeticError as error:  # as a client would decline
                current.excused[name] = str(error)
                continue
            self._admit(name, trained, current)
        left_out(number, current.excused, len(asked))
        updates, _ = run.by_weight(current.contributions())
        folded = self.coordinator.aggregator.fold(e.Fold(number, 0, run.weights, updates))
        for name, reason in folded.rejected.items():
            current.admitted.pop(name, None)
            current.excused[name] = f"rejected: {reason}"
        registry.count((name, number) for name in current.admitted)
        run.update_model(folded, number, current.admitted.values())
        fields = closing_fields(current, perf_counter() - began)
        del fields["closed_by"]
        self.history.append({**fields, "participants": len(current.admitted), **folded.metrics})

    @property
    def completed(self) -> int:
        return self.state.completed

    def end(self) -> Learned:
        """Return what the run has come to."""
        return self._job.end(self._progress(), self.history, self.coordinator.site_model)

    def _progress(self) -> Progress:
        run = self.state
        assert run.model is not None  # noqa: S101 - after `begin`
        state = self.coordinator.aggregator.arrays(run.completed)
        return Progress(run.completed, run.model.agreement, np.asarray(run.weights), run.clock, state)

    def _tasks(self, asked: tuple[str, ...], number: int) -> Iterator[tuple[str, m.Task, Any]]:
        """Yield each client's task and its body, in the order of names."""
        sends = [each for each in self.state.tasks(asked, "train", number, 0) if isinstance(each, e.Send)]
        told = {name: (send.message, send.body) for send in sends for name in send.to}
        for name in sorted(told):
            task, body = told[name]
            assert isinstance(task, m.Task)  # noqa: S101 - `tasks` sends nothing else
            yield name, task, body

    def _train(self, name: str, task: m.Task, body: Any) -> ev.Trained:
        settings = {**self._own, **task.settings}
        order = e.Train(task.round, 0, body, settings, durable=task.durable, counted=task.counted, clock=task.clock)
        return self.clients[name].train(order, self._never)

    def _admit(self, name: str, trained: ev.Trained, current: Round) -> None:
        """Take an update as it would arrive: decoded, looked at, and for as many rows as its sender may count for."""
        run, config = self.state, self.state.config
        assert run.model is not None  # noqa: S101 - after `begin`
        payload = trained.payload or run.model.payload
        update = m.Update(
            current.number,
            0,
            examples=self.clients[name].site_model.examples,
            metrics=dict(trained.metrics),
            payload=payload,
            clock=trained.clock,
        )
        body, flaw = self.coordinator.unpack(trained.body, payload)
        arrived = ev.Arrived(name, update, body, flaw=flaw)
        fault = unfit(arrived, update, "train", run.model, config, run.registry)
        if fault:
            current.excused[name] = f"rejected: {fault[1]}"
            return
        most = run.registry.cap(config.federated.max_examples_ratio)
        current.admitted[name] = admit(arrived, update, "train", run.weights, most)
