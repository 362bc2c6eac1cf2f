"""Control messages that a peer sends a second at rest: 64 peers, four to a process, linked as each topology has it.

They learn two rounds, then nothing is left to do but to say that they are there. Directory leases are counted apart:
one every 5/3 s.

    python benchmarks/gossip_rest.py [--peers 64] [--topologies complete random-regular ring]

2026-11, 2 cores of a shared machine, 64 peers, leases among them, by heartbeats, before peers probed each other: ring
4.60, complete 4.59 (which begins, and has done its two rounds, after 12 s).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

from nervenet.broker.broker import Broker
from nervenet.models.data.partition import partition
from nervenet.models.datasets import load
from nervenet.models.mlp.mlp import MLP
from nervenet.models.site_model import SiteModel
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.roles.peer import Peer
from nervenet.nodes.runtime.identity import NodeIdentity

GOAL, LEASE_S, SETTLE_S = 5.0, 5 / 3, 10.0


def measure(topology: str, peers: int, processes: int, rest_s: float) -> tuple[float, float, int]:
    """Return control messages a peer and second at rest, the seconds until then, and how many were suspected."""
    pids, pipes = [], []
    where_r, where_w = os.pipe()
    for group in range(processes):
        answer_r, answer_w = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(where_w)
            try:
                broker = os.read(where_r, 200).decode().strip("\0")
                told = asyncio.run(_rest(topology, peers, range(group, peers, processes), broker, rest_s))
                os.write(answer_w, json.dumps(told).encode())
            finally:
                os._exit(0)
        os.close(answer_w)
        pids.append(pid)
        pipes.append(answer_r)

    async def serve() -> None:
        async with Broker("tcp://127.0.0.1:0") as broker:
            serving = asyncio.create_task(broker.serve())
            os.write(where_w, broker.address.encode().ljust(200, b"\0") * processes)
            for pid in pids:
                await asyncio.to_thread(os.waitpid, pid, 0)
            serving.cancel()

    asyncio.run(serve())
    found = [told for pipe in pipes for told in json.loads(os.read(pipe, 60_000) or b"[]")]
    if len(found) < peers:
        raise SystemExit(f"only {len(found)} of {peers} peers came to rest")
    rate = sum(sent for sent, *_ in found) / sum(seconds for _, seconds, *_ in found)
    return rate + 1 / LEASE_S, max(begun for _, _, begun, _ in found), sum(suspected for *_, suspected in found)


async def _rest(topology: str, peers: int, mine: range, broker: str, rest_s: float) -> list[tuple[Any, ...]]:
    experiment = Experiment.from_dict(
        {
            "mode": "gossip",
            "nodes": peers,
            "rounds": 2,
            "gossip": {"topology": topology, "deadline_s": 300.0},
            "training": {"epochs": 1},
            "network": {"join_deadline_s": 300.0},
        }
    )
    data = load("digits")
    parts = partition(data, peers, seed=0)
    began = time.monotonic()

    async def one(k: int) -> tuple[Any, ...]:
        site_model = SiteModel(MLP(hidden=(8,)), data.X[parts[k]], data.y[parts[k]])
        suspected = 0

        def count(event: dict[str, Any]) -> None:
            nonlocal suspected
            suspected += event["type"] in ("node.suspect", "node.lost")

        async with Peer.from_parts(site_model, experiment, NodeIdentity(broker, "rest", f"peer-{k:02d}")) as peer:
            peer.session.on_event = count
            async for _ in peer.rounds():
                pass
            begun = time.monotonic() - began
            await asyncio.sleep(SETTLE_S)  # until the others have come to rest, too
            before, at = peer.session.transport.counters.messages_sent, time.monotonic()
            await asyncio.sleep(rest_s)
            seen = (peer.session.transport.counters.messages_sent - before, time.monotonic() - at, begun, suspected)
            await asyncio.sleep(SETTLE_S)
            return seen

    return list(await asyncio.gather(*map(one, mine)))


def main() -> int:
    """Print the table; 1 if the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=int, default=64)
    parser.add_argument("--processes", type=int, default=16)
    parser.add_argument("--rest-s", type=float, default=20.0)
    parser.add_argument("--topologies", nargs="+", default=["ring", "random-regular", "complete"])
    options = parser.parse_args()
    print(f"{'topology':16} {'control a peer and second':>26} {'begun and 2 rounds, s':>22} {'suspected':>10}")
    held = True
    for topology in options.topologies:
        rate, seconds, suspected = measure(topology, options.peers, options.processes, options.rest_s)
        held &= rate <= GOAL
        print(f"{topology:16} {rate:26.2f} {seconds:22.1f} {suspected:10d}", flush=True)
    print(f"at most {GOAL}: {'yes' if held else 'NO'}")
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
