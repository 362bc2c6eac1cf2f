"""docs/events.md against what is published: by the sources as they stand, by real runs, by disturbed virtual ones."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from federated_config import coordinator_config
from msgspec.structs import replace
from nervenet.broker import messages as m
from nervenet.broker.broker import Broker
from nervenet.broker.directory import Directory
from nervenet.broker.events import REQUIRED
from nervenet.broker.security.roles import PUBLISHERS
from nervenet.models import MLP
from nervenet.models.site_model import SiteModel
from nervenet.nodes import Client, Coordinator, Experiment, Monitor, Peer
from nervenet.nodes.checkpoint.client_state import ClientStateStore
from nervenet.nodes.federated import client_machine
from nervenet.nodes.federated.client_worker import ClientWorker
from nervenet.nodes.federated.coordinator_machine import CoordinatorMachine
from nervenet.nodes.federated.coordinator_worker import Aggregator, CoordinatorWorker
from nervenet.nodes.federated.strategies import Contribution
from nervenet.nodes.federated.strategies.averaging import FedAvg
from nervenet.nodes.federated.strategies.registry import STRATEGIES, build_strategy
from nervenet.nodes.gossip.algorithms.averaging import DPSGD
from nervenet.nodes.gossip.membership.service import MembershipRules, MembershipService
from nervenet.nodes.gossip.membership.swim import SwimRules
from nervenet.nodes.gossip.round_machine import PeerMachine, PeerRules
from nervenet.nodes.gossip.worker import GossipWorker
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.event_types import AnyEvent, Event, UnknownEvent
from nervenet.nodes.runtime.model_worker import ModelWorker
from nervenet.nodes.runtime.simulator import Simulation
from nervenet.nodes.runtime.worker import Cancellation, Worker
from nervenet.nodes.topology import schedule

ROOT = Path(__file__).parents[2]
EVENTS = (ROOT / "docs" / "events.md").read_text()

Found = dict[tuple[str, str], set[str]]
"""Fields by (type, role of the publisher), without those that every event has."""


def documented() -> dict[str, tuple[set[str], set[str]]]:
    """Roles and fields by type, as docs/events.md has them."""
    found = {}
    for part in re.split(r"^#### ", EVENTS, flags=re.MULTILINE)[1:]:
        heading, text = part.split("\n", 1)
        kind, roles = re.fullmatch(r"`([a-z.]+)` \(by: ([a-z, ]+)\)", heading).groups()  # type: ignore[union-attr]
        assert kind not in found, f"{kind} is described twice"
        text = re.split(r"^##? ", text, flags=re.MULTILINE)[0]
        found[kind] = (set(roles.split(", ")), set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)))
    return found


DOCUMENTED = documented()


def test_with_keys_the_documented_roles_alone_may_publish_an_event() -> None:
    found = {kind: roles - {"broker", "monitor"} for kind, (roles, _) in DOCUMENTED.items()}
    assert {kind: roles for kind, roles in found.items() if roles} == PUBLISHERS


def in_sources() -> Iterator[tuple[str, str, set[str]]]:
    """What the sources publish, the broker's own included, which its directory makes up."""
    spec = importlib.util.spec_from_file_location("published", Path(__file__).parent / "published.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield from module.published(ROOT)
    broker = Directory("", "", lease_s=1.0)
    broker.handle(b"", m.Join(1, "demo", "a", "peer", 1, 1, {}, {}, 1, 9.0), 0.0)
    for event in broker.tick(1.5) + broker.tick(4.0):
        if isinstance(event, dict):
            yield event["type"], "broker", set(event) - {"type", "run"}


SOURCES = list(in_sources())


@pytest.fixture(scope="module")
def real() -> list[dict[str, Any]]:
    """Events of real runs in this process: both modes, both tasks, with and without a test set."""
    events: list[dict[str, Any]] = []
    pause, client_machine.PUBLISH_EVERY_S = client_machine.PUBLISH_EVERY_S, 0.0

    async def everything() -> None:
        async with Broker("tcp://127.0.0.1:0") as broker:
            await asyncio.gather(
                *(
                    run(broker.address, f"{mode} {target} {tested}", target, tested)
                    for mode, run in (("f", federated), ("g", gossip))
                    for target, tested in ((sign, True), (sign, False), (total, True), (total, False))
                )
            )

    async def watched(address: str, run: str, nodes: list[Any]) -> None:
        async def watch() -> None:
            async with Monitor(address, run=run) as monitor:
                async for event in monitor:
                    assert not isinstance(event, UnknownEvent), str(event.raw)[:600]
                    events.append(event.raw)
                    left.discard(event["node"] if event["type"] == "node.left" and "subject" not in event else "")
                    if not left:
                        return

        left = {node.identity.name for node in nodes}
        async with asyncio.timeout(240):
            await asyncio.gather(watch(), *map(part, nodes))

    async def part(node: Any) -> None:
        async with node:
            async for _ in node.rounds():
                pass

    async def federated(address: str, run: str, target: Any, tested: bool) -> None:
        here = {"broker": address, "run": run, "nodes": 2}
        test = rows(9, target) if tested else None
        # Where there is a test set, the sites tell beside it.
        asked = {} if tested else {"compression": "delta+int8", "ditto": 0.1}
        plan = Experiment.from_dict({"nodes": 2, "federated": asked, "evaluation": {"sites": tested}})
        clients = [Client(MLP((3,)), rows(i, target), name=f"client-{i}", **here) for i in range(2)]
        coordinator = Coordinator(MLP((3,)), test=test, rounds=3, experiment=plan, **here)
        await watched(address, run, [coordinator, *clients])

    async def gossip(address: str, run: str, target: Any, tested: bool) -> None:
        test = rows(9, target) if tested else None
        here = {"broker": address, "run": run, "nodes": 2, "test": test}
        await watched(address, run, [Peer(MLP((3,)), rows(i, target), name=f"peer-{i}", **here) for i in range(2)])

    try:
        asyncio.run(everything())
    finally:
        client_machine.PUBLISH_EVERY_S = pause
    return events


def sign(X: Any) -> Any:
    return (X[:, 0] > 0).astype(int)


def total(X: Any) -> Any:
    return X.sum(axis=1)


def rows(seed: int, target: Any) -> tuple[Any, Any, Any]:
    X = np.random.default_rng(seed).normal(size=(40, 3))
    return X, target(X), 1.0 + np.arange(40) % 3


def simulated() -> Found:
    """What the machines publish on virtual time, while one node dies, one stalls and one sends what does not fit."""
    found: Found = defaultdict(set)

    def worker(name: str) -> Any:
        site_model = SiteModel(MLP((3,)), *rows(len(name), sign), test=rows(9, sign))
        role: ModelWorker
        if name == "coordinator":
            role = CoordinatorWorker(site_model, Aggregator(FedAvg()), node=name, seed=0)
        elif name.startswith("client"):
            role = ClientWorker(site_model, node=name, seed=0, states=ClientStateStore())
        else:
            role = GossipWorker(site_model, DPSGD(), node=name, seed=0)
        answer = Worker(role).answer
        return lambda job: (0.2, in_part(answer(job)) if name == "client-0" else answer(job))

    settings = {"epochs": 1, "local_steps": None, "batch_size": 16, "carry_optimizer": False}
    sim = Simulation()
    clients = [f"client-{i}" for i in range(4)]
    limits = {"min_clients": 4, "deadline_s": 3.0, "lost_after_s": 4.0}
    rules = coordinator_config(clients, 8, settings=settings, **limits)
    sim.add("coordinator", CoordinatorMachine(rules), worker("coordinator"))
    for name in clients:
        sim.add(name, client_machine.ClientMachine(client_machine.ClientConfig("coordinator", 40)), worker(name))
        sim.connect(name, "coordinator", ("client", "coordinator"))
    odd = m.Update(1, 0, 0, {}, None, None)
    sim.at(1.0, lambda: sim.post("coordinator", ev.Arrived("client-0", odd)))
    disturb(sim, "client-1", "client-2", "coordinator")
    collect(sim, found)

    sim = Simulation()
    peers = [f"peer-{i}" for i in range(4)]
    states = [m.MemberState(name, 1, "alive") for name in peers]
    for me in states:
        others = tuple(state for state in states if state != me)
        swim, layout = SwimRules(seed=0), partial(schedule, "ring")
        membership = MembershipService(MembershipRules(me, tuple(peers), others, layout, relaid=True, swim=swim))
        machine = PeerMachine(PeerRules(me.node, tuple(peers), settings=settings), membership)
        sim.add(me.node, machine, worker(me.node))
        sim.post(me.node, ev.Proceed(40))
    for one, other in combinations(peers, 2):
        sim.connect(one, other)
    disturb(sim, "peer-1", "peer-2", "peer-0")
    collect(sim, found)
    return found


def in_part(answer: ev.Event | None) -> ev.Event | None:
    return replace(answer, metrics={**answer.metrics, "partial": 1.0}) if isinstance(answer, ev.Trained) else answer


def hurried() -> set[str]:
    """What a client tells of a training that was stopped early, for a strategy that wants to know the loss before."""
    site_model = SiteModel(MLP((3,)), *rows(1, sign))
    role = ClientWorker(site_model, node="client-0", seed=0, states=ClientStateStore())
    survey = role.perform(e.Survey(), Cancellation())
    assert isinstance(survey, ev.Surveyed)
    role.perform(e.ApplyAgreement(surveys={"client-0": (survey.fields, survey.body)}), Cancellation())
    stops = iter((False, True))
    cancellation = Cancellation()
    cancellation.requested = lambda: next(stops, True)  # type: ignore[method-assign]
    job = e.Train(1, 0, None, {"epochs": 9, "probe": True, "partial": True})
    return set(role.train(job, cancellation).metrics)


def by_strategies() -> set[str]:
    """What strategies tell of a round, each of its own, with the report on outliers."""
    start = np.zeros(2)
    reported = {"fednova_normalizer": 1.0, "probe_loss": 1.0}
    rows = [[1.0, 2.0]] * 6 + [[1e6, 1e6]]
    given = tuple(Contribution(f"c{i}", np.array(row), start, 1, reported) for i, row in enumerate(rows))
    found: set[str] = set()
    for name in tuple(STRATEGIES.builtin):
        aggregator = Aggregator(build_strategy(name, {}), len(given), report=True)
        if len(aggregator.strategy.demands.parts) == 1:
            aggregator.begin(start)
            found |= set(aggregator.fold(e.Fold(1, 0, start, given)).metrics)
    return found


def disturb(sim: Simulation, dies: str, stalls: str, witness: str) -> None:
    sim.stall(stalls, 2.0, 4.0)
    sim.crash(dies, 10.0)
    sim.at(4.0, lambda: sim.post(witness, ev.MalformedMessage("stranger", "malformed: it begins with nothing")))
    sim.run(200.0)


def collect(sim: Simulation, found: Found) -> None:
    for node in sim.nodes.values():
        for _, kind, fields in node.published:
            found[kind, node.name.partition("-")[0]] |= set(fields)


@pytest.fixture(scope="module")
def seen(real: list[dict[str, Any]]) -> Found:
    """Everything that is published anywhere, as far as all three ways can tell."""
    found: Found = defaultdict(set)
    for event in real:
        found[event["type"], event["role"]] |= set(event) - set(REQUIRED)
    for way, fields in simulated().items():
        found[way] |= fields
    for kind, role, fields in SOURCES:
        found[kind, role] |= fields
    found["metric.local", "client"] |= hurried()
    found["round.completed", "coordinator"] |= by_strategies()
    del found["warning", "monitor"]  # described apart
    return found


def test_real_events_are_flat_json_maps_of_the_documented_fields(real):
    for event in real:
        for key, kind in REQUIRED.items():
            assert isinstance(event[key], kind)
        json.dumps(event, allow_nan=False)
        if event["role"] != "monitor":
            roles, fields = DOCUMENTED[event["type"]]
            assert event["role"] in roles
            assert set(event) - set(REQUIRED) <= fields


def test_real_events_are_numbered_without_gaps(real):
    assert not [event for event in real if event["type"] == "gap"]


def test_the_document_lists_every_type_and_no_other(seen):
    assert {kind for kind, _ in seen} == set(DOCUMENTED)


@pytest.mark.parametrize("kind", DOCUMENTED)
def test_the_document_says_who_publishes_and_every_field_and_no_other(kind, seen):
    roles, fields = DOCUMENTED[kind]
    assert {role for other, role in seen if other == kind} == roles
    assert set().union(*(found for (other, _), found in seen.items() if other == kind)) == fields


def test_every_documented_type_has_a_class_with_every_documented_field():
    classes = {cls.__struct_config__.tag: cls for cls in get_args(AnyEvent)}
    assert set(classes) - {"unknown"} == set(DOCUMENTED)
    common = set(Event.__struct_fields__)
    for kind, (_, fields) in DOCUMENTED.items():
        assert set(classes[kind].__struct_fields__) - common == fields, kind


def test_disturbed_runs_publish_events_about_it():
    found = simulated()
    reported: Mapping[str, set[str]] = defaultdict(set)
    for kind, role in found:
        reported[role].add(kind)
    assert {"node.suspect", "node.lost", "node.ready", "round.failed", "update.rejected"} <= reported["coordinator"]
    assert {"node.suspect", "node.lost", "node.ready", "update.rejected"} <= reported["peer"]
    assert "missing" in found["round.completed", "peer"]


def test_every_way_to_close_a_round_is_in_the_document():
    text = "".join((ROOT / "nodes" / path).read_text() for path in ("federated/sync_rounds.py", "gossip/rounds.py"))
    lines = [line for line in text.splitlines() if "_close(" in line]
    lines += [
        line for line in (ROOT / "nodes/federated/async_buffer.py").read_text().splitlines() if ".closing =" in line
    ]
    lines += [line for line in (ROOT / "nodes/federated/round.py").read_text().splitlines() if 'return "' in line]
    free = (ROOT / "nodes/gossip/asynchronous/machine.py").read_text().splitlines()
    lines += [line.partition(":")[2] for line in free if '"closed_by": "update"' in line]
    words = set(re.findall(r'"(\w+)"', "".join(lines)))
    row = next(line for line in EVENTS.splitlines() if line.startswith("| `closed_by`"))
    assert words >= {"all", "quorum", "deadline", "suspected", "overtaken"}
    assert set(re.findall(r"`(\w+)`", row)) == words | {"closed_by"}
