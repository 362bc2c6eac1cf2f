# ruff: noqa: SLF001
"""How soon a revoked key is cut off: from the removal of its file to the end of its connection, as its owner sees it.

A hub is broker, coordinator and peer at once; a site has a connection to each of its sockets, and is dialed by it as a
peer. Its key is revoked and allowed again, over and over; prints the median and the worst for each kind of socket. Two
seconds are promised, half a second is by design: a node looks at its list twice a second.

    python benchmarks/revocation.py [--times 20]
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import struct
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import zmq
from nervenet.broker.broker import Broker
from nervenet.broker.channel import Channel
from nervenet.broker.events import Publisher
from nervenet.broker.lease import Lease
from nervenet.broker.messages import Join
from nervenet.broker.security import dialer as dialer_module
from nervenet.broker.security.allow_list import allow, revoke
from nervenet.broker.security.dialer import Dialer
from nervenet.broker.security.gate import Gate
from nervenet.broker.security.keys import new_key_pair, write_keys
from nervenet.broker.security.policy import Curve, own_keys
from nervenet.broker.subscriber import EventStream
from nervenet.broker.transport import ZmqTransport

HUB, SITE = "hub", "site"
DEADLINE_S = 60.0


class Clock:
    """When each connection of the site was established and closed last, by socket."""

    def __init__(self) -> None:
        self.up: dict[str, bool] = {}
        self.closed_at: dict[str, float] = {}
        self.names: dict[str, str] = {}  # by address

    def note(self, address: str, up: bool) -> None:
        name = self.names.get(address)
        if name is None:
            return
        if self.up.get(name) and not up:
            self.closed_at[name] = time.perf_counter()
        self.up[name] = up

    def watch(self) -> None:
        """Look over the shoulder of every dialer of this process."""
        event = Dialer._event

        def noted(dialer: Dialer, channel: Channel, identity: bytes, frames: list[Any]) -> None:
            kind, _ = struct.unpack("=hi", frames[0])
            if kind in (zmq.EVENT_HANDSHAKE_SUCCEEDED, zmq.EVENT_DISCONNECTED):
                self.note(dialer._address, kind == zmq.EVENT_HANDSHAKE_SUCCEEDED)
            event(dialer, channel, identity, frames)

        disconnect = Dialer._disconnect

        def hung_up(dialer: Dialer) -> None:
            if dialer._entry is not None:
                self.note(dialer._address, False)
            disconnect(dialer)

        Dialer._event = noted  # type: ignore[method-assign]
        Dialer._disconnect = hung_up  # type: ignore[method-assign]

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not done():  # noqa: ASYNC110
                await asyncio.sleep(0.002)


async def measure(folder: Path, times: int) -> dict[str, list[float]]:
    """Return the seconds until each kind of connection had ended."""
    roles = {HUB: ["broker", "coordinator", "peer"], SITE: ["client", "peer"]}
    for name in roles:
        write_keys(folder / name, new_key_pair(name))
    for name, other in ((HUB, SITE), (SITE, HUB)):
        allow(folder / name, folder / other / f"{other}.pub", roles[other])
    clock = Clock()
    clock.watch()
    found: dict[str, list[float]] = {}
    async with AsyncExitStack() as stack:

        def secured(name: str) -> Curve:
            keys = own_keys(folder / name, name)
            gate = Gate(folder / name, own=keys)
            stack.callback(gate.close)
            return Curve(keys, gate)

        async def transport(name: str, role: str, run: str, security: Curve, *, binds: bool) -> ZmqTransport:
            made = ZmqTransport(name, role, run, bind="tcp://127.0.0.1:*" if binds else None, security=security)
            await made.open(lambda _: None, lambda _: None)
            stack.push_async_callback(made.close, 0.0)
            return made

        broker = await stack.enter_async_context(Broker("tcp://127.0.0.1:0", lease_s=60.0, security=secured(HUB)))
        coordinator = await transport(HUB, "coordinator", "federated", secured(HUB), binds=True)
        peer = await transport(HUB, "peer", "gossip", secured(HUB), binds=True)
        security = secured(SITE)
        client = await transport(SITE, "client", "federated", security, binds=False)
        fellow = await transport(SITE, "peer", "gossip", secured(SITE), binds=True)
        clock.names = {address: service for service, address in broker.addresses.items()}
        for kind, node in (("coordinator", coordinator), ("peer", peer)):
            clock.names |= {address: f"{kind}, {lane}" for lane, address in node.addresses.items()}
        clock.names |= {address: f"dialed peer, {lane}" for lane, address in fellow.addresses.items()}
        context: zmq.Context[Any] = zmq.Context()
        stack.callback(context.destroy, 0)
        join = Join(0, "federated", SITE, "client", 1, 1, {}, {"mode": "gossip"}, 1, 60.0)
        await stack.enter_async_context(Lease(broker.address, join, context, security=security))
        await stack.enter_async_context(EventStream(broker.address, security=security))
        publisher = Publisher(SITE, "client", "federated", 1, security=security)
        stack.push_async_callback(publisher.close, 0.0)
        publisher.connect(broker.addresses["events_in"])
        client.link(HUB, coordinator.addresses)
        fellow.link(HUB, peer.addresses)
        peer.link(SITE, fellow.addresses)
        kinds = sorted(set(clock.names.values()))
        found = {kind: [] for kind in kinds}
        for _ in range(times):
            await clock.until(lambda: all(clock.up.get(kind) for kind in kinds))
            publisher.publish("node.ready", pid=1)
            await asyncio.sleep(random.uniform(0.3, 0.8))  # at any moment between two looks
            clock.closed_at.clear()
            began = time.perf_counter()
            revoke(folder / HUB, SITE)
            await clock.until(lambda: len(clock.closed_at) == len(kinds))
            for kind in kinds:
                found[kind].append(clock.closed_at[kind] - began)
            allow(folder / HUB, folder / SITE / f"{SITE}.pub", roles[SITE])
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20)
    options = parser.parse_args()
    dialer_module._AGAIN_S = (0.5, 0.5)  # so that it is soon back for the next time
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measure(Path(folder), options.times))
    print(f"{options.times} revocations; seconds until the connection had ended (2.0 promised)")
    print(f"{'socket':<24}{'median':>8}{'worst':>8}")
    for kind, seconds in found.items():
        print(f"{kind:<24}{statistics.median(seconds):>8.2f}{max(seconds):>8.2f}")


if __name__ == "__main__":
    main()
