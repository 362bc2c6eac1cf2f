"""Coordinator: federated learning in somebody's asyncio program, the averaging half."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from .. import effects as e
from ..reports import Reports, RoundReport
from ..session import Place, Session, members_of
from ..shell import Node
from ..terms import run_terms, settings_of
from ..trainer import Trainer
from .merger import Merger
from .rounds import RoundState
from .rules import RoundRules
from .strategies.registry import make

if TYPE_CHECKING:
    from nervenet.broker.messages import Roster
    from nervenet.models.learner import Learner

    from ..experiment import Experiment

PARTING_S = 2.0  # how long the coordinator waits for clients to take leave


class Coordinator:
    """Asks clients to train, and averages what they report.

    An asynchronous context manager that lives in the caller's event loop; a good guest in the same way as `Peer`.

    Parameters
    ----------
    model
        An `MLP`, any other `nervenet.models.Model`, or a scikit-learn estimator whose copies can be averaged.
    broker, run
        Address of the broker that introduces the nodes, and the name of the run.
    clients
        How many clients make the run; rounds begin when they are ready.
    rounds, seed, epochs, participation, quorum, deadline_s
        Shorthands for the keys of the experiment file; `deadline_s` in seconds.
    test
        Rows (X, y) on which to measure the global model after each round; without them the clients' hold-outs are
        asked.
    experiment
        Everything else that an experiment file says.

    Raises
    ------
    ExperimentError, CannotMerge
        From the constructor, for values that cannot be.
    BrokerUnreachable, JoinRefused, RosterIncomplete
        On entering; each names who and what.
    """

    def __init__(
        self,
        model: object,
        *,
        broker: str,
        run: str,
        name: str = "coordinator",
        clients: int | None = None,
        rounds: int | None = None,
        seed: int | None = None,
        epochs: int | None = None,
        participation: float | None = None,
        quorum: float | None = None,
        deadline_s: float | None = None,
        test: tuple[Any, Any] | None = None,
        experiment: Experiment | None = None,
    ) -> None:
        from ..embedding import embedded_experiment, site_learner

        wanted = {
            "nodes": clients,
            "rounds": rounds,
            "seed": seed,
            "training.epochs": epochs,
            "federated.participation": participation,
            "federated.quorum": quorum,
            "federated.deadline_s": deadline_s,
        }
        plan = embedded_experiment("federated", wanted, experiment)
        learner = site_learner(model, None, plan, test=test)
        self._set_up(learner, plan, Place(broker, run, name, terms=run_terms(plan, learner)))

    @classmethod
    def hosted(cls, learner: Learner, experiment: Experiment, place: Place) -> Coordinator:
        """Build a coordinator from parts that are checked already: for launchers."""
        coordinator = cls.__new__(cls)
        coordinator._set_up(learner, experiment, place)  # noqa: SLF001  (its own class)
        return coordinator

    def _set_up(self, learner: Learner, experiment: Experiment, place: Place) -> None:
        self.experiment = experiment
        self.place = place
        self.model = learner
        self.session = Session("coordinator", place, experiment, binds=True)
        self._reports = Reports()
        self._node: Node | None = None
        self._state: RoundState | None = None

    async def __aenter__(self) -> Coordinator:
        await self.session.open(self._begin)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._node is not None:
            if not self._node.finished.done():
                self.session.farewell(self.session.guests, "the coordinator left before the run was over")
            # The clients read the final model, or why there is none, before this end of the connection goes.
            await self.session.partings(PARTING_S)
        await self.session.__aexit__()

    def _begin(self, roster: Roster) -> None:
        plan = self.experiment
        federated, network = plan.federated, plan.network
        strategy = make(federated.strategy, federated.arguments)
        rules = RoundRules(
            rounds=plan.rounds,
            clients=frozenset(members_of(roster, "client")),
            seed=plan.seed,
            participation=federated.participation,
            quorum=federated.quorum,
            min_clients=federated.min_clients,
            deadline_s=federated.deadline_s,
            join_deadline_s=network.join_deadline_s,
            heartbeat_s=network.heartbeat_s,
            suspect_after_s=network.suspect_after_s,
            lost_after_s=5 * network.suspect_after_s,
            evaluate_every=plan.evaluation.every,
            evaluate_test=self.model.has_test,
            evaluate_sites=not self.model.has_test,
            settings={**settings_of(plan), **strategy.demands.settings},
            strategy=strategy,
        )
        trainer = Trainer(
            self.model,
            node=self.place.name,
            seed=plan.seed,
            scale=plan.data.scaling,
            merger=Merger(strategy, plan.nodes),
        )
        session = self.session
        state = self._state = RoundState(rules)
        self._node = Node(state, session.transport, trainer, session.publish, self._reports.put)
        session.publish("node.ready", {"pid": os.getpid()})
        self._node.post(e.Started())
        session.attach(self._node)

    @property
    def weights(self) -> Any:
        """The global weights after the last completed round, a flat vector; None before round 0 is over."""
        return None if self._state is None else self._state.weights

    async def rounds(self) -> AsyncIterator[RoundReport]:
        """Give each round when it is complete and evaluated, until the run is over and every client holds the final
        model.

        Raises
        ------
        NodeFailed
            If the run failed; the reason is the message.
        """
        if self._node is None:
            raise RuntimeError("a coordinator must be entered (async with) before its rounds are asked for")
        async for report in self._reports.until(None):
            yield report
