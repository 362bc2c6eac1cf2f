"""Gossip rounds in this process: the deployed workers of all peers, one call after another.

The graph of each round, the mixing weights, local training, what is sent and how it is mixed are the deployed code;
what falls away is the machines that wait for others. So the bits are those of real processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import Any

from nervenet.broker import messages as m
from nervenet.models.aggregate import plain_mean
from nervenet.models.weights import consensus_distance

from ..config.factory import build_schedule, default_node_names, task_settings
from ..gossip.algorithms.registry import build_algorithm, encoding_of, has_rounds
from ..gossip.algorithms.requirements import suitable_mixing
from ..gossip.inbox import ReceivedModel, mix_of, with_parts
from ..gossip.neighborhood import Neighborhood
from ..gossip.rules import PeerRules
from ..gossip.worker import GossipWorker
from ..runtime import effects as e
from ..runtime import events as ev
from ..runtime.settling import settled
from .run import Job, Learned, Progress, Record, stepwise

ROLE = "peer"

Inbox = dict[str, ReceivedModel]


def names(count: int) -> list[str]:
    """Return the names of so many peers, which are the address of what each of them draws."""
    return default_node_names(count, ROLE)


def learn(job: Job, rounds: int) -> Learned:
    """Do so many rounds of gossip.

    Raises
    ------
    IncompatibleSites, DataError
        The peers' rows do not fit each other, or the model.
    ValueError
        The algorithm has no rounds; or a peer's training, or a mixture, is not finite.
    """
    return stepwise(GossipRounds(job), rounds)


class GossipRounds:
    """The rounds of one run."""

    def __init__(self, job: Job) -> None:
        experiment, gossip = job.experiment, job.experiment.gossip
        if not has_rounds(gossip.algorithm):
            raise ValueError(
                f"algorithm = {gossip.algorithm!r}: has no rounds, and who meets whom is a matter of time; "
                "backend='processes' runs it"
            )
        self._job = job
        algorithm = build_algorithm(gossip.algorithm, gossip.arguments, gossip.compression)
        if algorithm.needs.reduces:
            raise ValueError(
                f"algorithm = {gossip.algorithm!r}: spares bytes between processes, and in this one nothing is sent; "
                "backend='processes' runs it"
            )
        needs, encoding = algorithm.needs, encoding_of(algorithm)
        seed, scale = experiment.seed, experiment.data.scaling
        self.peers = {
            name: GossipWorker(job.site_model(rows), algorithm, node=name, seed=seed, scale=scale)
            for name, rows in job.sites.items()
        }
        self._schedule = build_schedule(experiment, list(self.peers))
        rule = gossip.mixing or suitable_mixing(needs, self._schedule)
        self._around = {name: Neighborhood(name, self._schedule, rule, doubly=needs.doubly) for name in self.peers}
        members = tuple(self.peers)
        self._rules = {name: PeerRules(name, members, needs=needs, encoding=encoding) for name in self.peers}
        self._settings = task_settings(experiment, job.model)
        self.completed = 0
        self.history: list[Record] = []
        self.weights: dict[str, Any] = {}
        self.clocks: dict[str, float] = {}

    def begin(self) -> None:
        """Settle what all must share before training: round 0, or what was agreed before."""
        job = self._job
        first, *_ = peers = list(self.peers.values())
        self._ready = settled(peers, {name: peer.site_model for name, peer in self.peers.items()}, job.agreement)
        for name, peer in self.peers.items():
            if job.after is not None:
                weights, clock = job.after.peers.get(name, (job.after.weights, job.after.clock))
                peer.adopt(weights, clock)
            self.weights[name], self.clocks[name] = peer.site_model.get_weights(), peer.site_model.clock
        self.completed = 0 if job.after is None else job.after.round
        self._expected = with_parts(self._ready.payload, first.algorithm.needs.parts)

    def round(self, number: int) -> None:
        """Do one round, and record it."""
        try:
            self.history.append(self._round(number))
        except ArithmeticError as error:  # a peer without a finite model fails, and who mixes with it has none either
            raise ValueError(str(error)) from error

    def _round(self, number: int) -> Record:
        began = perf_counter()
        out = self._schedule.out(number)
        trained = {
            name: peer.train(e.Train(number, 0, None, self._settings, to=out[name]), lambda: False)
            for name, peer in self.peers.items()
        }
        inboxes = self._delivered(number, trained, out)
        for name, peer in self.peers.items():
            came = inboxes[name]
            weights = self._around[name].weights(number, came)
            mine = (trained[name].body, trained[name].clock)
            mixed = peer.mix(mix_of(number, mine, came, weights, self._rules[name]))
            self.weights[name], self.clocks[name] = mixed.body, mixed.clock
        self.completed = number
        losses = {name: each.metrics["loss"] for name, each in trained.items() if "loss" in each.metrics}
        return {
            "round": number,
            "participants": len(self.peers),
            "duration_s": perf_counter() - began,
            **({"loss": sum(losses.values()) / len(losses)} if losses else {}),
            "consensus_distance": consensus_distance(list(self.weights.values())),
        }

    def _delivered(
        self, number: int, trained: Mapping[str, ev.Trained], out: Mapping[str, tuple[str, ...]]
    ) -> dict[str, Inbox]:
        """Return what each peer receives in a round, by its sender, decoded as it would arrive."""
        inboxes: dict[str, Inbox] = {name: {} for name in self.peers}
        for sender, sent in trained.items():
            common = ev.OutgoingModel(sent.body, sent.payload or self._expected, base=sent.base)
            for receiver in out[sender]:
                mass = self._rules[receiver].needs.mass
                if mass and receiver not in sent.apart:
                    continue
                model = sent.apart.get(receiver, common)
                body, _ = self.peers[receiver].unpack(model.body, model.payload)
                message = m.Exchange(number, model.payload, model.mass, model.base, 0, sent.clock)
                inboxes[receiver][sender] = ReceivedModel(message, body)
        return {name: dict(sorted(inbox.items())) for name, inbox in inboxes.items()}

    def end(self) -> Learned:
        """Return what the run has come to."""
        return self._job.end(self._progress(), self.history, next(iter(self.peers.values())).site_model)

    def _progress(self) -> Progress:
        """Return how far the run has come: the mean of the peers' models, and each of them."""
        vectors = [self.weights[name] for name in sorted(self.weights)]
        mean = plain_mean(vectors)
        clock = sum(self.clocks.values()) / len(self.clocks)
        peers = {name: (self.weights[name], self.clocks[name]) for name in self.weights}
        return Progress(self.completed, self._ready.agreement, mean, clock, peers=peers)
