"""Aggregators with real sockets, in one program with the coordinator above and their clients."""

import asyncio
import shutil
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nervenet.broker.broker import Broker
from nervenet.broker.errors import BadAddress, KeysError, NotEncrypted
from nervenet.broker.messages import Roster
from nervenet.broker.security.allow_list import allow
from nervenet.broker.security.keys import new_key_pair, write_keys
from nervenet.models import MLP, datasets
from nervenet.nodes import Client, Coordinator, Experiment, NodeFailed
from nervenet.nodes.config.compatibility import shared_config_of
from nervenet.nodes.config.factory import build_site_model
from nervenet.nodes.config.hierarchy import HierarchyConfig
from nervenet.nodes.config.schema import NetworkConfig
from nervenet.nodes.roles import aggregator as aggregators
from nervenet.nodes.roles.aggregator import Aggregator
from nervenet.nodes.runtime.identity import NodeIdentity
from nervenet.nodes.runtime.secured import close_gate, security_of

DEADLINE_S = 240.0
REGIONS = {"north": ["c0", "c1"], "south": ["c2", "c3"]}


def model(hidden: int = 4) -> MLP:
    return MLP((hidden,), dtype="float64")


def rows() -> dict[str, tuple[Any, Any]]:
    data = datasets.load("iris")
    order = np.random.default_rng(0).permutation(len(data.y))
    return {f"c{k}": (data.X[part], data.y[part]) for k, part in enumerate(np.array_split(order, 4))}


def plan(nodes: int, rounds: int = 3, hidden: int = 4) -> Experiment:
    model_, network = {"dtype": "float64", "hidden": [hidden]}, {"join_deadline_s": 60}
    return Experiment.from_dict({"nodes": nodes, "rounds": rounds, "model": model_, "network": network})


def aggregator(address: str, name: str, upstream: str = "", hidden: int = 4) -> Aggregator:
    experiment = replace(plan(len(REGIONS[name]), hidden=hidden), hierarchy=HierarchyConfig(regions=2))
    site_model = build_site_model(model(hidden), None, experiment)
    above = {"upstream": upstream or address, "upstream_run": "top"}
    shared = shared_config_of(experiment, site_model)
    return Aggregator.from_parts(
        site_model, experiment, NodeIdentity(address, name, name, shared_config=shared, **above)
    )


async def follow(node: Any) -> Any:
    async with node:
        async for _ in node.rounds():
            pass
    return node


def clients(address: str, run: str, names: list[str], nodes: int, hidden: int = 4) -> list[Any]:
    where: dict[str, Any] = {"broker": address, "run": run, "experiment": plan(nodes, hidden=hidden)}
    return [Client(model(hidden), rows()[name], name=name, **where) for name in names]


async def flat(hidden: int) -> Any:
    async with Broker("tcp://127.0.0.1:0") as broker, asyncio.timeout(DEADLINE_S):
        address = broker.addresses["directory"]
        top = Coordinator(model(hidden), broker=address, run="top", experiment=plan(4, hidden=hidden))
        await asyncio.gather(follow(top), *map(follow, clients(address, "top", list(rows()), 4, hidden)))
    return top.weights


@pytest.mark.parametrize("hidden", [4, 6_000])  # a model of 384 kB goes by shared memory
async def test_the_model_is_that_of_the_same_clients_without_regions(hidden: int) -> None:
    async with Broker("tcp://127.0.0.1:0") as broker, asyncio.timeout(DEADLINE_S):
        address = broker.addresses["directory"]
        top = Coordinator(model(hidden), broker=address, run="top", experiment=plan(2, hidden=hidden))
        below = [node for run, names in REGIONS.items() for node in clients(address, run, names, 2, hidden)]
        regions = [aggregator(address, name, hidden=hidden) for name in REGIONS]
        await asyncio.gather(*map(follow, [top, *regions, *below]))
    expected = await flat(hidden)
    assert np.abs(top.weights - expected).max() < 1e-12 * np.abs(expected).max()
    for region in regions:
        assert region.weights.tobytes() == top.weights.tobytes()


async def test_who_owns_an_aggregator_may_leave_at_any_time_and_all_are_told() -> None:
    async with Broker("tcp://127.0.0.1:0") as broker, asyncio.timeout(DEADLINE_S):
        address = broker.addresses["directory"]
        top = Coordinator(model(), broker=address, run="top", experiment=plan(2, rounds=100_000))
        below = [node for run, names in REGIONS.items() for node in clients(address, run, names, 2)]
        south = aggregator(address, "south")
        others = [asyncio.create_task(follow(node)) for node in (*below, south)]
        async with AsyncExitStack() as stack:
            await asyncio.gather(
                stack.enter_async_context(top), stack.enter_async_context(aggregator(address, "north"))
            )
            async for report in top.rounds():
                if report.round == 2:
                    break
        ended = await asyncio.gather(*others, return_exceptions=True)
    assert {type(each) for each in ended} == {NodeFailed}
    for of_south in (ended[2], ended[4]):
        assert "the coordinator left before the run was over" in str(of_south)
    for of_north in ended[:2]:
        assert "before the run was over" in str(of_north)


async def test_a_region_whose_upstream_does_not_answer_ends_by_that_word(monkeypatch: pytest.MonkeyPatch) -> None:
    above = aggregators.Above

    def soon(experiment: Experiment, *more: Any) -> Any:
        return above(replace(experiment, network=replace(experiment.network, join_deadline_s=1.0)), *more)

    monkeypatch.setattr(aggregators, "Above", soon)
    async with Broker("tcp://127.0.0.1:0") as broker, asyncio.timeout(DEADLINE_S):
        address = broker.addresses["directory"]
        below = clients(address, "north", REGIONS["north"], 2)
        north = aggregator(address, "north", upstream="tcp://127.0.0.1:1")
        ended = await asyncio.gather(*map(follow, [north, *below]), return_exceptions=True)
    assert {type(each) for each in ended} == {NodeFailed}
    assert all("tcp://127.0.0.1:1" in str(each) for each in ended), ended


async def test_what_its_clients_said_before_it_began_finds_its_other_half(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of an aggregator that is started again may be there first: all is heard as soon as it is attached."""
    north, heard = aggregator("tcp://127.0.0.1:1", "north"), []

    class Begun:
        def __init__(self, *_: object) -> None:
            self.pass_on: Any = None

        def post(self, _: object) -> None: ...

    monkeypatch.setattr("nervenet.nodes.roles.base.Node", Begun)
    monkeypatch.setattr(north.session, "publish", lambda *_: None)
    monkeypatch.setattr(north.session, "attach", lambda node: heard.append(node.pass_on))
    north._begin(Roster(0, "north", 1, {}, (), {}))
    monkeypatch.undo()
    north._node = None
    await north.session.close("done")
    assert heard == [north._up]


def keyed(experiment: Experiment, folder: Path) -> Experiment:
    return replace(experiment, network=replace(experiment.network, keys=str(folder)))


def keys_of_two_brokers(folder: Path) -> dict[str, Path]:
    """Make each node's folder of keys; in that of the aggregator, one for what is above."""
    allowed: dict[str, dict[str, str]] = {
        "hub": {"coordinator": "coordinator", "north": "aggregator"},
        "coordinator": {"hub": "broker", "north": "aggregator"},
        "relay": {"north": "coordinator", "c0": "client", "c1": "client"},
        "north": {"relay": "broker", "c0": "client", "c1": "client"},
        "c0": {"relay": "broker", "north": "coordinator"},
        "c1": {"relay": "broker", "north": "coordinator"},
    }
    public = {name: write_keys(folder / name, new_key_pair(name))[1] for name in allowed}
    shutil.copytree(folder / "north", folder / "north" / "upstream")
    for name, others in allowed.items():
        for other, role in others.items():
            allow(folder / name, public[other], [role])
    for other in ("hub", "coordinator"):
        allow(folder / "north" / "upstream", public[other], ["broker" if other == "hub" else "coordinator"])
    return {name: folder / name for name in allowed}


def keyed_aggregator(keys: Path, address: str, upstream: str) -> Aggregator:
    experiment = replace(keyed(plan(2), keys), hierarchy=HierarchyConfig(regions=1))
    site_model = build_site_model(model(), None, experiment)
    shared = shared_config_of(experiment, site_model)
    above = {"upstream": upstream, "upstream_run": "top"}
    identity = NodeIdentity(address, "north", "north", shared_config=shared, **above)
    return Aggregator.from_parts(site_model, experiment, identity)


def test_keys_of_two_brokers_in_one_folder_are_refused_at_once(tmp_path: Path) -> None:
    keys = keys_of_two_brokers(tmp_path)
    shutil.rmtree(keys["north"] / "upstream")
    allow(keys["north"], keys["hub"] / "hub.pub", ["broker"])
    with pytest.raises(KeysError, match=r"several are allowed as broker \(hub, relay\)"):
        keyed_aggregator(keys["north"], "tcp://127.0.0.1:1", "tcp://127.0.0.1:2")


async def test_with_keys_the_broker_above_may_have_another_one(tmp_path: Path) -> None:
    keys = keys_of_two_brokers(tmp_path)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(asyncio.timeout(DEADLINE_S))
        addresses = {}
        for name in ("hub", "relay"):
            security = security_of(NetworkConfig(keys=str(keys[name])), name)
            stack.callback(close_gate, security)
            broker = await stack.enter_async_context(Broker("tcp://127.0.0.1:0", security=security))
            addresses[name] = broker.addresses["directory"]
        one = replace(plan(1), federated=replace(plan(1).federated, min_clients=1))
        above = keyed(one, keys["coordinator"])
        top = Coordinator(model(), broker=addresses["hub"], run="top", name="coordinator", experiment=above)
        below = [
            Client(model(), rows()[name], broker=addresses["relay"], run="north", name=name, experiment=experiment)
            for name in REGIONS["north"]
            for experiment in [keyed(plan(2), keys[name])]
        ]
        north = keyed_aggregator(keys["north"], addresses["relay"], addresses["hub"])
        await asyncio.gather(*map(follow, [top, north, *below]))
    assert north.weights.tobytes() == top.weights.tobytes()


@pytest.mark.parametrize(
    ("upstream", "error", "words"),
    [
        ("hub:5555", BadAddress, "hub:5555"),
        ("tcp://127.0.0.1", BadAddress, "a tcp address ends in a port"),
        ("tcp://hub.example:5555", NotEncrypted, "tcp://hub.example:5555"),
    ],
)
def test_a_broker_above_that_cannot_be_dialed_is_refused_at_once(upstream: str, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        aggregator("tcp://127.0.0.1:1", "north", upstream=upstream)


async def test_above_an_aggregator_says_for_whom_it_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    from nervenet.nodes.runtime.session import Session

    said: list[tuple[str, Any]] = []
    publish = Session.publish

    def heard(self: Session, kind: str, fields: Any, own: Any = None) -> None:
        said.append((self.role, {"type": kind, "run": self.identity.run, **fields}))
        publish(self, kind, fields, own)

    monkeypatch.setattr(Session, "publish", heard)
    await test_the_model_is_that_of_the_same_clients_without_regions(4)
    ready = [fields for role, fields in said if role == "aggregator" and fields["type"] == "node.ready"]
    assert sorted((one["region"], one["clients"], one["run"]) for one in ready) == [
        ("north", 2, "top"),
        ("south", 2, "top"),
    ]
