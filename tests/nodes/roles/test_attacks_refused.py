"""Every attack on a run with keys is refused, each with an event, and the run goes on as if there were none."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import zmq
from nervenet.broker.broker import Broker
from nervenet.broker.disconnects import LEFT
from nervenet.broker.events import Publisher
from nervenet.broker.messages import GetEventAddresses, Join, Leave, RenewLease
from nervenet.broker.request_client import BrokerClient
from nervenet.broker.security.allow_list import allow, revoke
from nervenet.broker.security.keys import new_key_pair, write_keys
from nervenet.broker.security.plain import LOCAL
from nervenet.broker.sockets import dial
from nervenet.broker.transport import ZmqTransport
from nervenet.models import MLP, datasets
from nervenet.nodes import Client, Coordinator, Experiment, NodeFailed
from nervenet.nodes.config.schema import NetworkConfig
from nervenet.nodes.launching.launch_keys import _make
from nervenet.nodes.monitoring.monitor import Monitor
from nervenet.nodes.runtime.secured import close_gate, security_of

DEADLINE_S = 240.0
RUN, SITES = "study", ("north", "south")
KEYS = {"coordinator": "coordinator", **dict.fromkeys(SITES, "client")}
ATTACKERS = {"mallory": "client", "watcher": "monitor", "gone": "client", "stranger": None}
PROVEN = 5  # rounds that are compared with those of a run that nobody attacks


@dataclass
class Attacked:
    """A run, as those see it who attack it."""

    folder: Path
    broker: Broker
    coordinator: dict[str, str] = field(default_factory=dict)
    attackers: dict[str, Any] = field(default_factory=dict)
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    def __post_init__(self) -> None:
        self.context: zmq.Context[Any] = zmq.Context()
        self.stack.callback(self.context.destroy, 0)

    def by(self, name: str) -> Any:
        """How the sockets of an attacker are secured; plain for nobody."""
        if not name:
            return LOCAL
        if name not in self.attackers:
            self.attackers[name] = security_of(NetworkConfig(keys=str(self.folder / name)), name)
            self.stack.callback(close_gate, self.attackers[name])
        return self.attackers[name]

    async def ask(self, name: str, request: Callable[[int], Any]) -> None:
        """Ask for as long as there is no answer, and go on meanwhile."""
        client = BrokerClient(self.broker.address, self.context, self.by(name))
        self.stack.callback(client.close)
        asking = asyncio.ensure_future(client.ask(request, 2 * DEADLINE_S))
        self.stack.push_async_callback(asyncio.wait, [asking])
        self.stack.callback(asking.cancel)

    async def publish(self, name: str, kind: str, *, node: str = "", role: str = "", run: str = RUN) -> None:
        role = role or ATTACKERS[name] or "client"
        publisher = Publisher(node or name, role, run, 1, context=self.context, security=self.by(name))
        self.stack.push_async_callback(publisher.close, 0.0)
        publisher.connect(self.broker.addresses["events_in"])
        publisher.publish(kind, reason="forged")

    async def subscribe(self, name: str) -> None:
        address = self.broker.addresses["events_out"]
        socket, dialer = dial(self.context, "subscriber", address, security=self.by(name))
        self.stack.callback(socket.close, 0)
        if dialer is not None:
            self.stack.callback(dialer.close)

    async def greet(self, name: str, *, node: str = "", role: str = "client") -> None:
        transport = ZmqTransport(node or name, role, RUN, bind=None, context=self.context, security=self.by(name))
        await transport.open(lambda _: None, lambda _: None)
        self.stack.push_async_callback(transport.close, 0.0)
        transport.link("coordinator", self.coordinator)


def joins(node: str, role: str) -> Callable[[int], Any]:
    wanted = Join(0, RUN, node, role, 10**15, 1, {}, {"mode": "federated"}, 1, 60.0, replace=True)
    return lambda id_: msgspec.structs.replace(wanted, id=id_)


async def with_a_wrong_server_key(attacked: Attacked) -> None:
    folder = attacked.folder / "misled"
    _, public = write_keys(folder, new_key_pair("other"))
    write_keys(folder, new_key_pair("misled"))
    allow(folder, public, ["broker"])
    await attacked.ask("misled", GetEventAddresses)


async def with_a_key_that_is_revoked(attacked: Attacked) -> None:
    """It has been let in before."""
    client = BrokerClient(attacked.broker.address, attacked.context, attacked.by("gone"))
    attacked.stack.callback(client.close)
    await client.ask(GetEventAddresses, DEADLINE_S)
    revoke(attacked.folder / "keys", "gone")


PLAIN = ("does not encrypt", LEFT)  # whichever side is the first to notice
ATTACKS: dict[str, tuple[Callable[[Attacked], Any], str, tuple[str, ...]]] = {
    "plain, at the directory": (lambda a: a.ask("", GetEventAddresses), "directory", PLAIN),
    "plain, at the events": (lambda a: a.subscribe(""), "events_out", PLAIN),
    "plain, at the coordinator": (lambda a: a.greet("", node="north"), "inbox.coordinator", PLAIN),
    "an unknown key, at the directory": (
        lambda a: a.ask("stranger", GetEventAddresses), "directory", ("is not allowed here",)),
    "an unknown key, publishing": (lambda a: a.publish("stranger", "node.left"), "events_in", ("is not allowed here",)),
    "an unknown key, watching": (lambda a: a.subscribe("stranger"), "events_out", ("is not allowed here",)),
    "an unknown key, at the coordinator": (
        lambda a: a.greet("stranger"), "inbox.coordinator", ("is not allowed here",)),
    "a wrong key of the broker": (with_a_wrong_server_key, "directory", ("encrypts for another key",)),
    "a revoked key": (with_a_key_that_is_revoked, "directory", ("is not allowed here",)),
    "a monitor that publishes": (
        lambda a: a.publish("watcher", "node.left"), "events_in", ("watcher is allowed as monitor",)),
    "a monitor at the coordinator": (
        lambda a: a.greet("watcher"), "inbox.coordinator", ("watcher is allowed as monitor",)),
    "a monitor that joins": (
        lambda a: a.ask("watcher", joins("watcher", "monitor")), "directory", ("joins as monitor",)),
    "a client that joins as coordinator": (
        lambda a: a.ask("mallory", joins("mallory", "coordinator")), "directory", ("mallory speaks as coordinator",)),
    "a stolen name, at the directory": (
        lambda a: a.ask("mallory", joins("north", "client")), "directory", ("the name north is not that of its key",)),
    "a stolen name, at the coordinator": (
        lambda a: a.greet("mallory", node="north"), "inbox.coordinator", ("the name north is not that of its key",)),
    "a role that is not its own, at the coordinator": (
        lambda a: a.greet("mallory", role="coordinator"), "inbox.coordinator", ("mallory speaks as coordinator",)),
    "a forged event": (
        lambda a: a.publish("mallory", "node.left", node="north"), "events_in", ("the name north is not that of",)),
    "the end of a run, forged": (
        lambda a: a.publish("mallory", "run.completed"), "events_in", ("run.completed is not relayed",)),
    "an event of a run that it has not joined": (
        lambda a: a.publish("mallory", "metric.local"), "events_in", ("mallory has not joined run 'study'",)),
    "a forged farewell": (
        lambda a: a.ask("mallory", lambda id_: Leave(id_, RUN, "south", 1, "over")),
        "directory", ("the lease of south is not that of mallory",)),
    "a forged lease": (
        lambda a: a.ask("mallory", lambda id_: RenewLease(id_, RUN, "north", 1)),
        "directory", ("the lease of north is not that of mallory",)),
}  # fmt: skip


def make_keys(folder: Path) -> NetworkConfig:
    keys = folder / "keys"
    _make(keys, KEYS)
    for name, role in ATTACKERS.items():
        _, public = write_keys(folder / name, new_key_pair(name))
        if role is not None:
            allow(keys, public, [role])
        allow(folder / name, keys / "broker.pub", ["broker"])
        allow(folder / name, keys / "coordinator.pub", ["coordinator"])
    return NetworkConfig(keys=str(keys), join_deadline_s=60)


async def rounds_of(network: NetworkConfig, folder: Path, attack: Callable[..., Any]) -> list[tuple[Any, ...]]:
    """What became of the first rounds of a run, which lasts as long as ``attack`` does."""
    wanted = Experiment.from_dict({"mode": "federated", "nodes": 2, "rounds": 100_000, "evaluation": {"every": 1}})
    wanted = dataclasses.replace(wanted, network=network)
    data = datasets.load("iris")
    parts = np.array_split(np.random.default_rng(0).permutation(len(data.y)), 2)
    security = security_of(network, "broker")
    found: list[tuple[Any, ...]] = []
    async with AsyncExitStack() as stack:
        stack.callback(close_gate, security)
        broker = await stack.enter_async_context(Broker("tcp://127.0.0.1:0", security=security))
        attacked = Attacked(folder, broker)
        stack.push_async_exit(attacked.stack)

        async def follow(name: str, rows: Any) -> None:
            words: dict[str, Any] = {"broker": broker.address, "run": RUN, "name": name, "experiment": wanted}
            async with Client(MLP((8,)), (data.X[rows], data.y[rows]), **words) as client:
                async for _ in client.rounds():
                    pass

        clients = [asyncio.create_task(follow(*each)) for each in zip(SITES, parts, strict=True)]
        async with (
            asyncio.timeout(DEADLINE_S),
            Coordinator(MLP((8,)), broker=broker.address, run=RUN, experiment=wanted) as coordinator,
        ):
            attacked.coordinator = dict(coordinator.session.transport.addresses)
            attacking = asyncio.create_task(attack(attacked))
            async for report in coordinator.rounds():
                found.append((report.participants, report.closed_by, report.fields["loss"]))
                if len(found) >= PROVEN and attacking.done():
                    break
            await attacking
        ends = await asyncio.gather(*clients, return_exceptions=True)
    assert all(end is None or isinstance(end, NodeFailed) for end in ends), ends
    return found


async def all_attacks(told: dict[str, str], attacked: Attacked) -> None:
    """Attack in every way at once, and note by which event each is refused."""
    refused: list[Any] = []
    fresh, watches = asyncio.Event(), asyncio.Event()
    keys = attacked.folder / "keys"

    async def watch() -> None:
        async with Monitor(attacked.broker.address, keys=keys, name="monitor") as events:
            async for event in events:
                watches.set()
                if event.type == "connection.refused":
                    refused.append(event)
                    fresh.set()

    watching = asyncio.create_task(watch())
    await watches.wait()
    await asyncio.gather(*(attack(attacked) for attack, _, _ in ATTACKS.values()))
    while True:
        for name, (_, service, reasons) in ATTACKS.items():
            for event in refused:
                known = name != "a revoked key" or event.key == attacked.by("gone").keys.public
                if event.service == service and known and any(reason in event.reason for reason in reasons):
                    told[name] = event.reason
        if len(told) == len(ATTACKS):
            break
        fresh.clear()
        await fresh.wait()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_every_attack_is_refused_with_an_event_and_disturbs_no_round(tmp_path):
    network = make_keys(tmp_path)
    told: dict[str, str] = {}
    with suppress(TimeoutError):
        attacked = await rounds_of(network, tmp_path, partial(all_attacks, told))
    assert [name for name in ATTACKS if name not in told] == []
    undisturbed = await rounds_of(network, tmp_path, lambda _: asyncio.sleep(0))
    assert attacked[:PROVEN] == undisturbed[:PROVEN]
    assert {each[:2] for each in attacked} == {(SITES, "all")}
