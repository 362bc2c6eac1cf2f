"""Peer: gossip learning in a user's asyncio program."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from nervenet.broker.messages import Member, MemberState, Roster
from nervenet.models.site_model import SiteModel

from ..config.factory import build_schedule, initial_model, task_settings
from ..config.keys import ExperimentError
from ..config.schema import Experiment
from ..consent.requests import Policy
from ..gossip.algorithms import Algorithm
from ..gossip.algorithms.registry import build_algorithm, encoding_of, has_rounds, synchronous_names
from ..gossip.algorithms.requirements import suitable_mixing
from ..gossip.all_reduce.worker import worker_of
from ..gossip.asynchronous.machine import AsyncPeerMachine
from ..gossip.asynchronous.worker import AsyncGossipWorker
from ..gossip.checkpoint_writer import CheckpointWriter
from ..gossip.membership.service import MembershipRules, MembershipService
from ..gossip.membership.swim import SwimRules
from ..gossip.round_machine import PeerMachine, PeerRules
from ..gossip.survey_tree import shortcuts_of, tree_of
from ..gossip.worker import GossipWorker
from ..runtime import events as ev
from ..runtime.identity import NodeFailed, NodeIdentity, members_of
from ..runtime.round_reports import RoundReport
from ..runtime.shared_agreement import SharedAgreements
from ..topology import TOPOLOGIES, Schedule, every_neighbor
from .base import Role
from .large_peer import around, until_fetched

GOODBYES_S = 1.0  # how long a peer that is done waits for its neighbors to say goodbye as well


class Peer(Role):
    """A gossip node: trains on its own data, exchanges weights with its neighbors, answers to nobody.

    An asynchronous context manager that lives in the caller's event loop: see `Role`.

    Parameters
    ----------
    model
        An `MLP`, any other `nervenet.models.Model`, or a scikit-learn estimator whose copies can be averaged.
    data
        This site's rows, raw (scaling is agreed with the others): X of shape (n, d), numbers, or a data frame that may
        have text, dates and gaps; y of shape (n,); and, as a third, sample_weight of shape (n,) where rows count
        differently: see `nervenet.models.SiteModel`.
    broker
        Address of the broker that introduces the peers, such as ``tcp://broker:5555``.
    run
        Name of the run to join; the first to join opens it.
    seed_peer
        In place of `broker`: the control address of any living peer of a run that has begun. This one then starts from
        a neighbor's model and round.
    name
        This peer's name, unique in the run; the order of names is the order of the ring.
    replace
        Take the name from another node of the run, even if that one still answers; else that raises `NameTaken`. One
        that no longer answers loses it once its lease is over.
    nodes
        How many peers make the run; default: as in `experiment`, 2 at the least.
    topology, seed, epochs
        Shorthands for ``gossip.topology``, ``seed`` and ``training.epochs``; all peers of a run must bring the same
        topology and seed.
    test
        Rows (X, y), or (X, y, sample_weight), on which to measure after each round; without them, `holdout` of `data`
        is kept apart and used.
    holdout
        Share of this site's rows that is not trained on, in [0, 1).
    columns
        Names of the columns of X, compared between the sites before any training.
    preprocess
        An unfitted scikit-learn transformer for tables, in place of ``data.preprocess``; all peers must bring the same.
    init
        ``"common"``: all peers start from the same weights, drawn from the seed. ``"own"``: this one starts from the
        weights it has. The path of a run folder or a saved model: all start from that, each with its own copy of it.
    checkpoint_dir
        Folder for states, which outlive this peer: where all peers of a run were killed and come back with their
        folders, they go on after the newest round of which each has one. One that comes back alone takes a neighbor's
        model. Algorithms without rounds keep none. None: nothing is kept.
    experiment
        Everything else that an experiment file says: mixing, deadlines, addresses.

    Raises
    ------
    ExperimentError, CannotMerge
        From the constructor, for values that cannot be, and for states of another experiment.
    BrokerUnreachable, PeerUnreachable, JoinRefused, RosterIncomplete, IncompatibleSites
        On entering or in the first round; each names who and what.

    Examples
    --------
    >>> async def learn(X, y):
    ...     async with Peer(MLP(), (X, y), broker="tcp://broker:5555", run="demo", nodes=3) as peer:
    ...         async for report in peer.rounds(50):
    ...             print(report.round, report.accuracy)
    ...     return peer.model
    """

    role = "peer"
    _init = "common"

    def __init__(
        self,
        model: object,
        data: tuple[Any, ...],
        *,
        broker: str = "",
        run: str,
        seed_peer: str = "",
        name: str | None = None,
        replace: bool = False,
        nodes: int | None = None,
        topology: str | None = None,
        seed: int | None = None,
        epochs: int | None = None,
        test: tuple[Any, ...] | None = None,
        holdout: float = 0.2,
        columns: Sequence[str] | None = None,
        preprocess: object = None,
        init: Path | str = "common",
        checkpoint_dir: Path | str | None = None,
        experiment: Experiment | None = None,
    ) -> None:
        from ..config.factory import build_site_model, with_preprocess
        from ..experiment.loader import experiment_from_keywords

        saved = None if init in ("common", "own") else str(init)
        wanted = {"init": saved, "nodes": nodes, "gossip.topology": topology, "seed": seed, "training.epochs": epochs}
        experiment = with_preprocess(experiment_from_keywords("gossip", wanted, experiment, model), preprocess)
        site_model = build_site_model(model, data, experiment, columns=columns, test=test, holdout=holdout)
        if bool(broker) == bool(seed_peer):
            raise ExperimentError("a peer joins by a broker or by a seed_peer; expected the address of one of them")
        self._init = "own" if init == "own" else "common"
        self._embed(site_model, experiment, broker, run, name, checkpoint_dir, replace=replace, seed_peer=seed_peer)

    def _set_up(self, site_model: SiteModel, experiment: Experiment, identity: NodeIdentity) -> None:
        gossip, folder = experiment.gossip, identity.checkpoint_dir
        self._writer = CheckpointWriter(folder, experiment) if folder and has_rounds(gossip.algorithm) else None
        if self._writer is not None:
            identity = replace(identity, previous_incarnation=self._writer.previous_incarnation)
        super()._set_up(site_model, experiment, identity)
        if identity.seed_peer and not has_rounds(gossip.algorithm):
            raise ExperimentError(
                f"gossip.algorithm = {gossip.algorithm!r}: does not go by rounds, and such a run takes no peers later "
                f"on; a seed peer is for {', '.join(synchronous_names())}"
            )
        self._algorithm: Algorithm | None = None
        address = {"node": identity.name, "seed": experiment.seed}
        if self._init == "own" and experiment.init is not None:
            raise ExperimentError(
                f"init = {experiment.init!r}: a peer starts from a saved model, or from its own weights"
            )
        common: dict[str, Any] = address | {"scale": experiment.data.scaling, "init": self._init, "sketches": True}
        common["initial"] = initial_model(experiment)
        self._worker: GossipWorker | AsyncGossipWorker
        if has_rounds(gossip.algorithm):
            self._algorithm = build_algorithm(gossip.algorithm, gossip.arguments, gossip.compression)
            self._worker = worker_of(self._algorithm)(site_model, self._algorithm, writer=self._writer, **common)
        else:
            self._worker = AsyncGossipWorker(site_model, **common)
        self._worker.shared = identity.agreements
        self._neighbors: tuple[str, ...] = ()
        self._state: PeerMachine | AsyncPeerMachine | None = None
        self._membership: MembershipService | None = None  # of a run by rounds

    async def __aexit__(self, *error: object) -> None:
        reason = self._leaving(error[0])
        try:
            if error[0] is None:
                await self._until_all_are_done()
                await until_fetched(self._node, self.experiment.network.heartbeat_s)
            if isinstance(self._state, PeerMachine) and self._state.superseded:
                self.session.stop_deciding()  # its name goes on elsewhere
            else:
                failed = f"{self.identity.name} failed: {error[1]}" if isinstance(error[1], NodeFailed) else ""
                self.session.send_goodbye(self._present(), reason, to_late=failed)
            if self._state is not None and self._state.status in ("resting", "finished"):
                # A neighbor may still have to read this peer's last model, or that which made it fail: then all of them
                # fail by the same name. See `Connections.wait_for_goodbyes`.
                await self.session.connections.wait_for_goodbyes(GOODBYES_S, self._last_words())
        finally:  # an owner may cut that short, and must not be left with open sockets
            await self.session.close(reason)

    async def _until_all_are_done(self) -> None:
        """Without rounds: go on answering those who have not done their cycles yet, up to the deadline."""
        if self._node is None or not isinstance(self._state, AsyncPeerMachine) or self._state.status != "resting":
            return
        self._node.post(ev.Proceed(self._state.until, last=True))
        with suppress(NodeFailed):
            async for _ in self._reports.until(None):
                pass

    def _begin(self, roster: Roster) -> None:
        experiment, name = self.experiment, self.identity.name
        members = members_of(roster, "peer")
        founders = sorted(roster.founders or members) if self._algorithm is not None else list(members)
        schedule = build_schedule(experiment, founders)
        self._neighbors = every_neighbor(schedule).get(name, ())
        self._tree = tree_of(schedule) if name in founders else None
        if self._algorithm is not None:
            self._state = self._synchronous(self._algorithm, schedule, roster)
        else:
            self._state = self._asynchronous(members)
        self._prepare_writer()
        node = self._start(*around(self._state, self._worker, experiment.network, self.identity.checkpoint_dir))
        if self._algorithm is None:  # else the machine links by itself, and learns from others who was started again
            self.session.follow(*(members[neighbor] for neighbor in self._neighbors))
        self.session.attach(node)

    def _prepare_writer(self) -> None:
        """Make checkpoints hold the statistics; those of one that is resumed from count on the event loop."""
        writer, session = self._writer, self.session
        if writer is None:
            return
        writer.stats, writer.incarnation = session.stats, session.incarnation
        writer.on_restored = self._restored
        for reason in writer.warnings:
            session.publish("warning", {"reason": reason})

    def _restored(self, number: int, known: Mapping[str, Any]) -> None:
        if self._node is not None:
            self._node.later(self.session.stats.restore, number, known)

    def _present(self) -> list[str]:
        if not isinstance(self._state, PeerMachine) or self._membership is None:
            return sorted({*self._neighbors, *self.session.connections.connected})
        return sorted({*self._membership.linked, *self.session.connections.connected})  # who has only dialed, too

    def _synchronous(self, algorithm: Algorithm, schedule: Schedule, roster: Roster) -> PeerMachine:
        experiment, needs, session = self.experiment, algorithm.needs, self.session
        mixing = experiment.gossip.mixing or suitable_mixing(needs, schedule)
        me = MemberState(self.identity.name, session.incarnation, "alive", addresses=dict(session.transport.addresses))
        founders = tuple(sorted(schedule.out(1)))
        self._membership = MembershipService(
            MembershipRules(
                me=me,
                founders=founders,
                others=states_of(roster, self.identity.agreements),
                layout=partial(build_schedule, experiment),
                relaid=TOPOLOGIES[experiment.gossip.topology].relaid_on_change,
                mixing=mixing,
                doubly=needs.doubly,
                shortcuts=shortcuts_of(self._tree, self.identity.name, self._neighbors),
                late=bool(roster.founders) and roster.founders.get(me.node) != me.incarnation,
                shared_config=self.identity.shared_config,
                events_in=session.events_in,
                swim=SwimRules(seed=experiment.seed).slower(
                    experiment.nodes / experiment.process_count, experiment.network.suspect_after_s
                ),
            )
        )
        return PeerMachine(
            replace(
                self._rules(founders),
                needs=needs,
                encoding=encoding_of(algorithm),
                min_peers=max(experiment.gossip.min_peers or 0, experiment.site.allow.min_clients or 0),
                wait_deadline_s=experiment.gossip.wait_deadline_s or experiment.network.rejoin_deadline_s,
                keeps=self._writer is not None,
                held=() if self._writer is None else self._writer.held,
            ),
            self._membership,
        )

    def _asynchronous(self, members: Mapping[str, Member]) -> AsyncPeerMachine:
        experiment, name = self.experiment, self.identity.name
        rules = replace(
            self._rules(members),
            neighbors=self._neighbors,
            shortcuts={peer: members[peer].addresses for peer in shortcuts_of(self._tree, name, self._neighbors)},
            seed=experiment.seed,
            incarnation=self.session.incarnation,
        )
        algorithm = build_algorithm(experiment.gossip.algorithm, experiment.gossip.arguments)
        machine: AsyncPeerMachine = algorithm.machine(rules)
        return machine

    def _rules(self, members: Collection[str]) -> PeerRules:
        experiment = self.experiment
        return PeerRules(
            name=self.identity.name,
            members=tuple(members),
            timing=experiment.timing,
            hosted=experiment.nodes / experiment.process_count,
            evaluation=experiment.evaluation,
            evaluate_on="test" if self.model.has_test else "holdout",
            settings=task_settings(experiment, self.model.model),
            tree=self._tree,
            same=None if self.identity.agreements is None else self.identity.agreements.answers,
            policy=Policy.of(experiment, self.identity.run, self.model),
        )

    @property
    def resumed(self) -> int | None:
        """The round after which the run goes on, where all peers take it up; None for a new run, and before round 0."""
        return self._state.resumed if isinstance(self._state, PeerMachine) else None

    @property
    def weights(self) -> Any:
        """This peer's weights after its last completed round, a flat vector; None before round 0 is over."""
        return None if self._state is None else self._state.weights

    @property
    def clock(self) -> float:
        """How far the learning-rate schedule of `weights` has come; 0 where the model has none."""
        return 0.0 if self._state is None else self._state.clock

    async def rounds(self, count: int | None = None) -> AsyncIterator[RoundReport]:
        """Take part in `count` more rounds (default: those of the experiment), and yield each when it is complete and
        evaluated. One that comes late, or goes on from a previous incarnation, counts from the run's first round. One
        that was alone, and goes back to the round of the others, yields rounds again.

        Raises
        ------
        NodeFailed
            If round 0 was not complete in time, or the model failed; the reason is the message.
        """
        if self._node is None or self._state is None:
            raise RuntimeError("a peer must be entered (async with) before it takes part in rounds")
        if count is not None and count < 1:
            raise ValueError(f"rounds must be at least 1, found {count}")
        until = self._state.until + (count or self.experiment.rounds)
        # Without rounds the run ends for a peer when its neighbors have done their cycles too, so that they find it.
        ends = count is None and isinstance(self._state, AsyncPeerMachine)
        self._node.post(ev.Proceed(until, last=ends))
        async for report in self._reports.until(None if ends else until):
            yield report


def states_of(roster: Roster, shared: SharedAgreements | None) -> tuple[MemberState, ...]:
    """Return the peers that are there as the roster has them; nodes that share their process have the same states."""

    def made() -> tuple[MemberState, ...]:
        there = [each for each in members_of(roster, "peer").values() if each.state != "dead"]
        return tuple(MemberState(each.node, each.incarnation, "alive", addresses=each.addresses) for each in there)

    return made() if shared is None else shared.made_of(roster.members, made)
