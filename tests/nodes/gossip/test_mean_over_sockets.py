"""What peers promise of their sum, over real sockets in float64: nothing is made and nothing lost, to 1e-12.

Each peer is pulled towards a point of its own, and everything that training adds is written down: what all hold at the
end must be what they began with and what was added. In memory, and with crashes, this is shown in tests/faults.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

import numpy as np
import pytest
from nervenet.broker.broker import Broker
from nervenet.broker.messages import Accept, Decision, Exchange, Message, Propose, QueryDecision, Receipt, Refused
from nervenet.broker.testing.faults import Faults
from nervenet.models.model import FitReport, LocalWork
from nervenet.models.weights import Layout
from nervenet.nodes import Experiment, Peer
from nervenet.nodes.gossip import lifecycle
from nervenet.nodes.gossip.algorithms.push_sum import RECEIVED, SENT
from nervenet.nodes.gossip.asynchronous.ad_psgd import AdPsgdMachine
from nervenet.nodes.gossip.worker import GossipWorker
from nervenet.nodes.results.run_result import RunResult
from nervenet.nodes.results.summary import summarize

DEADLINE_S = 240.0
SIZE, RATE = 50, 0.1
EXACT = 1e-12


class Pulled:
    """A model whose training pulls it towards a point of its own, and writes down how far."""

    rule, dtype = "mean", "float64"
    capabilities = frozenset({"correction", "fednova_normalizer"})

    def __init__(self, seed: int, pace_s: float = 0.0) -> None:
        self.target = np.random.default_rng(seed).normal(size=SIZE)
        self.moved = np.zeros(SIZE)
        self.start: Any = None  # the seed's, or the model that one who comes late begins with
        self.pace_s = pace_s  # of a machine that takes so long for a training
        self.layout = Layout(("w",), ((SIZE,),), "float64")

    def build(self, n_features: int, n_classes: int | None, rng: np.random.Generator) -> Layout:
        self.w = rng.normal(size=SIZE)
        self.start = self.w.copy()
        self.fitted = False
        return self.layout

    def get_weights(self) -> Any:
        return self.w.copy()

    def set_weights(self, vector: Any) -> None:
        self.w = np.array(vector)
        if not self.fitted:
            self.start = self.w.copy()

    def fit(
        self, X: Any, y: Any, work: LocalWork, rng: Any, stop: Callable[[], bool], correction: Any = None
    ) -> FitReport:
        before, self.fitted = self.w, True
        self.w = before - RATE * (before - self.target + (0.0 if correction is None else correction))
        self.moved += self.w - before
        if self.pace_s:
            time.sleep(self.pace_s)
        return FitReport(0.5, len(y), 1, False, 1.0, RATE)

    def predict(self, X: Any) -> Any:
        return np.zeros(len(X))

    def probabilities(self, X: Any) -> None:
        return None

    def get_state(self, *, moments: bool = True) -> dict[str, Any]:
        return {}

    def set_state(self, state: Mapping[str, Any]) -> None:
        pass

    def describe(self) -> dict[str, Any]:
        return {"name": "pulled", "parameters": {}}


ALGORITHM = (Exchange, Propose, Accept, Decision, QueryDecision, Receipt, Refused)


class Rough:
    """A transport over a network that delays the messages of the algorithm, in their order, and drops some of those
    that `may_drop`.
    """

    def __init__(self, transport: Any, faults: Faults, may_drop: Callable[[Message], bool]) -> None:
        self._transport = transport
        self._faults = faults
        self._may_drop = may_drop
        self._waiting: dict[str, deque[tuple[Message, Any]]] = defaultdict(deque)
        self.dropped = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def send(self, to: str | Sequence[str], message: Message, array: Any = None) -> None:
        if not isinstance(message, ALGORITHM):
            self._transport.send(to, message, array)
            return
        loop = asyncio.get_running_loop()
        for peer in (to,) if isinstance(to, str) else to:
            delays = self._faults(self._transport.node, peer, message.lane, loop.time())
            if not delays and self._may_drop(message):
                self.dropped += 1
                continue
            self._waiting[peer].append((message, array))
            loop.call_later(delays[0] if delays else 0.0, self._next, peer)

    def _next(self, peer: str) -> None:
        """Whatever timer rings first, the oldest goes first: a connection keeps the order."""
        if self._waiting[peer]:
            self._transport.send(peer, *self._waiting[peer].popleft())

    async def close(self, drain_s: float) -> None:
        self._waiting.clear()
        await self._transport.close(drain_s)


Sums = dict[int, dict[str, Any]]


class Company:
    """Peers over real sockets, and what each round made of what it was given."""

    def __init__(self, gossip: Mapping[str, Any], n: int, rounds: int, **tables: Any) -> None:
        training = {"momentum": 0.0, "local_steps": 1}
        self.plan = Experiment.from_dict(
            {"mode": "gossip", "nodes": n, "rounds": rounds, "gossip": {"deadline_s": 20.0, **gossip}}
            | {"training": training, "evaluation": {"every": 10**6}}
            | {"network": {"join_deadline_s": 60, "suspect_after_s": 20, "transport": "tcp"} | tables}
        )
        self.peers: dict[str, Peer] = {}
        self.models: dict[str, Pulled] = {}
        self.before: Sums = defaultdict(dict)
        self.after: Sums = defaultdict(dict)
        self.closed: dict[int, set[str]] = defaultdict(set)
        self.rough: list[Rough] = []

    def peer(self, name: str, way: Mapping[str, str], *, pace_s: float = 0.0) -> Peer:
        model = Pulled(sum(name.encode()), pace_s)
        rows = (np.arange(8.0).reshape(8, 1), np.arange(8.0))
        peer = Peer(model, rows, run="g", name=name, holdout=0.0, experiment=self.plan, **way)
        self.peers[name], self.models[name] = peer, model
        if isinstance(peer._worker, GossipWorker):
            self._watch(name, peer._worker)
        peer.session.on_event = self.event
        return peer

    def event(self, event: dict[str, Any]) -> None:
        if event["type"] == "round.completed":
            self.closed[event["round"]].add(event["closed_by"])

    def _watch(self, name: str, role: Any) -> None:
        mix = role.mix

        def watched(job: Any) -> Any:
            mine, found = role._mine, mix(job)
            self.before[job.round][name], self.after[job.round][name] = np.array(mine), np.array(found.body)
            return found

        role.mix = watched

    def roughen(self, peer: Peer, may_drop: Callable[[Message], bool], **faults: Any) -> None:
        """Put a bad network between a peer and its neighbors."""
        wrapped = Rough(peer.session.transport, Faults(**faults), may_drop)
        peer.session.transport = wrapped  # type: ignore[assignment]
        self.rough.append(wrapped)

    @property
    def added(self) -> Any:
        """What all began with, and all that training has added."""
        return sum(model.start + model.moved for model in self.models.values())

    def state(self, name: str) -> Mapping[str, Any]:
        role = self.peers[name]._worker
        assert isinstance(role, GossipWorker)
        return role.state


def check_kept(found: Any, expected: Any) -> None:
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=EXACT * scale)


async def together(
    company: Company, *, pace_s: float = 0.0, enough: Callable[[], bool] = lambda: True, **rough: Any
) -> None:
    """Run all their rounds, from the first to the last; before, as many more as it takes until there is `enough`."""
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(Broker("tcp://127.0.0.1:0"))
        serving = asyncio.create_task(broker.serve())
        stack.callback(serving.cancel)

        done = asyncio.Barrier(len(NAMES))  # who leaves first would take with it what is delayed

        async def live(name: str) -> None:
            peer = company.peer(name, {"broker": broker.address}, pace_s=pace_s)
            if rough:
                company.roughen(peer, **rough)
            async with peer:
                while not enough():
                    async for _ in peer.rounds(1):
                        pass
                async for _ in peer.rounds():
                    pass
                if rough and company.plan.gossip.algorithm != "ad-psgd":  # whose peers know when they may go
                    await done.wait()

        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:  # none outlives the failure of another
            for name in NAMES:
                group.create_task(live(name))


def never(_: Message) -> bool:
    return False


def always(_: Message) -> bool:
    return True


def before_the_last(message: Message) -> bool:
    return isinstance(message, Exchange) and message.round < ROUNDS - 4


NAMES = [f"p{k}" for k in range(5)]
ROUNDS = 30


@pytest.mark.parametrize(
    ("gossip", "transport"),
    [
        ({"algorithm": "dpsgd", "topology": "ring"}, "tcp"),
        ({"algorithm": "dpsgd", "topology": "star"}, "ipc"),
        ({"algorithm": "dpsgd", "topology": "base-k"}, "tcp"),
        ({"algorithm": "gradient-tracking"}, "ipc"),
        ({"algorithm": "d2"}, "tcp"),
        ({"algorithm": "choco", "compression": "top-k:0.2", "gamma": 0.5}, "ipc"),
        ({"algorithm": "choco", "compression": "int8", "gamma": 0.5}, "tcp"),
    ],
    ids=lambda g: "-".join(map(str, g.values())) if isinstance(g, dict) else str(g),
)
async def test_by_rounds_the_sum_is_what_it_was_and_what_training_added(gossip: dict[str, Any], transport: str) -> None:
    company = Company(gossip, len(NAMES), ROUNDS, transport=transport)
    delays = {"seed": 1, "delay_s": (0.0, 0.01)}
    await together(company, may_drop=never, **delays)
    assert {by for found in company.closed.values() for by in found} == {"all"}
    check_kept(sum(peer.weights for peer in company.peers.values()), company.added)
    apart = [
        np.abs(a - b).max() for a in (p.weights for p in company.peers.values()) for b in [company.peers["p0"].weights]
    ]
    assert max(apart) > 1e-6, "equal peers would prove nothing"


@pytest.mark.parametrize("topology", ["ring", "static-exponential"])
async def test_push_sum_keeps_sum_and_mass_through_loss_and_delay(
    topology: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Rounds close soon without what was lost; how long a training takes is up to the machine.
    monkeypatch.setattr(lifecycle, "PATIENCE", DEADLINE_S / 0.05)
    company = Company({"algorithm": "sgp", "topology": topology, "deadline_s": 0.05}, len(NAMES), ROUNDS)
    # The last rounds arrive: what was on its way is what the running sums bring.
    rough = {"seed": 2, "drop": 0.2, "delay_s": (0.0, 0.01)}
    await together(company, may_drop=before_the_last, **rough)
    assert sum(each.dropped for each in company.rough) > 20
    states = [company.state(name) for name in NAMES]
    on_its_way, mass_on_its_way = on_the_way(company, NAMES)
    check_kept(sum(state["numerator"] for state in states) + on_its_way, company.added)
    assert abs(sum(float(state["mass"]) for state in states) + mass_on_its_way - len(NAMES)) < EXACT * len(NAMES)


def on_the_way(company: Company, names: Sequence[str]) -> tuple[Any, float]:
    """What one has given and the other not had yet, between all pairs of these."""
    given, mass = np.zeros(SIZE), 0.0
    for one in names:
        for other in names:
            mine, theirs = company.state(one), company.state(other)
            given = given + mine.get(SENT + other, 0.0) - theirs.get(RECEIVED + one, 0.0)
            mass += float(mine.get("sent-mass/" + other, 0.0)) - float(theirs.get("received-mass/" + one, 0.0))
    return given, mass


async def test_averaging_in_pairs_keeps_the_sum_through_loss_and_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    average, averages = AdPsgdMachine._average, list[str]()

    def counted(self: AdPsgdMachine, peer: str, *rest: Any) -> Any:
        averages.append(peer)
        return average(self, peer, *rest)

    monkeypatch.setattr(AdPsgdMachine, "_average", counted)
    company = Company({"algorithm": "ad-psgd", "patience_s": 0.25}, len(NAMES), ROUNDS, heartbeat_s=0.1)

    def enough() -> bool:
        """How many pairs find each other in so many cycles depends on how busy the machine is."""
        return sum(each.dropped for each in company.rough) > 4 and len(averages) > 4

    rough = {"seed": 3, "drop": 0.1, "delay_s": (0.0, 0.004)}
    await together(company, pace_s=0.005, enough=enough, may_drop=always, **rough)
    check_kept(sum(peer.weights for peer in company.peers.values()), company.added)


# ------------------------------------------------------------------------------------------------------- come and leave


async def coming_and_leaving(company: Company) -> None:
    """Five do 20 rounds; one comes that knows the address of a single peer, and one leaves after round 40 of 60."""
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(Broker("tcp://127.0.0.1:0"))
        serving = asyncio.create_task(broker.serve())
        stack.callback(serving.cancel)
        come, begun, done = asyncio.Event(), asyncio.Event(), asyncio.Barrier(len(NAMES))  # all but the one that leaves

        async def live(name: str, last: int) -> None:
            async with company.peer(name, {"broker": broker.address}, pace_s=0.005) as peer:
                async for report in peer.rounds(20):
                    come.set() if report.round == 20 else None
                await begun.wait()
                async for _ in peer.rounds(last - 20):
                    pass
                if last == 60:
                    await done.wait()

        async def late() -> None:
            await come.wait()
            address = company.peers["p2"].session.transport.addresses["control"]
            async with company.peer("zoe", {"seed_peer": address}) as peer:

                def heard(event: dict[str, Any]) -> None:
                    company.event(event)
                    begun.set() if event["type"] == "round.started" else None

                peer.session.on_event = heard
                async for _ in peer.rounds():
                    pass
                await done.wait()

        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
            group.create_task(late())
            for name in NAMES:
                group.create_task(live(name, 40 if name == "p4" else 60))


async def test_mixing_keeps_the_sum_while_one_joins_and_one_leaves() -> None:
    company = Company({"algorithm": "dpsgd"}, len(NAMES), 60)
    await coming_and_leaving(company)
    # Of a round in which a machine that is too busy is thought gone nothing is promised.
    whole = [number for number, by in company.closed.items() if number and by == {"all"}]
    assert len(whole) > 50
    for number in whole:
        before, after = company.before[number], company.after[number]
        check_kept(sum(after.values()), sum(before[name] for name in after))
    assert max(number for number, after in company.after.items() if "p4" in after) == 40
    assert "zoe" in company.after[60]
    assert len(company.after[60]) == 5


async def test_push_sum_accounts_for_all_mass_while_one_joins_and_one_leaves() -> None:
    company = Company({"algorithm": "sgp"}, len(NAMES), 60)
    await coming_and_leaving(company)
    names = sorted(company.peers)
    assert "zoe" in company.after[60]
    on_its_way, mass_on_its_way = on_the_way(company, names)
    states = [company.state(name) for name in names]
    check_kept(sum(state["numerator"] for state in states) + on_its_way, company.added)
    assert abs(sum(float(state["mass"]) for state in states) + mass_on_its_way - len(names)) < EXACT * len(names)


async def test_the_mass_that_a_peer_took_with_it_is_accounted_for_by_name() -> None:
    company = Company({"algorithm": "sgp"}, len(NAMES), 60)
    await coming_and_leaving(company)
    facts = {name: peer.session.stats.report(peer.session.transport.counters) for name, peer in company.peers.items()}
    del facts["p4"]  # all that is known of it is what the others say
    mass = summarize(company.plan, RunResult(facts, lost={"p4": "killed"}))["mass"]
    assert set(mass["gone"]) == {"p4"}
    assert abs(mass["held"] + mass["gone"]["p4"] - 6) < 1e-7, "five that began, and one that came; nine digits are told"
    had = float(company.state("p4")["mass"])
    on_its_way = sum(
        float(company.state(name).get("sent-mass/p4", 0.0))
        - float(company.state("p4").get("received-mass/" + name, 0.0))
        - float(company.state("p4").get("sent-mass/" + name, 0.0))
        + float(company.state(name).get("received-mass/p4", 0.0))
        for name in facts
    )
    assert abs(mass["gone"]["p4"] - had - on_its_way) < 1e-7
