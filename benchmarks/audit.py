"""What an audit log costs a round, and whether the event loop notices.

A broker, a coordinator and two clients in three processes, around a model whose training does nothing: a round is then
nothing but messages. The same run without a log and with one at every node, in turns: the median round, and the
processor time of all three nodes for one, which says more on a busy machine. The floor of what a log costs is seven
SHA-256 of the vector: of the task at three nodes, of two updates at client and coordinator. Beside it, of one client's
process, the longest that its event loop was away from a ticker of 1 ms.

    python benchmarks/audit.py [--parameters 5000 200000 10000000] [--rounds 40]
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import numpy as np
from federated_round import WARM_UP, Still
from nervenet.broker.broker import Broker
from nervenet.models.site_model import SiteModel
from nervenet.nodes.audit.verify import verify
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.roles.client import Client
from nervenet.nodes.roles.coordinator import Coordinator
from nervenet.nodes.runtime.identity import NodeIdentity

CLIENTS = 2
TICK_S = 0.001


async def ticking(gaps: list[float]) -> None:
    """Note how long the loop was away, each millisecond."""
    last = time.perf_counter()
    while True:
        await asyncio.sleep(TICK_S)
        now = time.perf_counter()
        gaps.append(now - last - TICK_S)
        last = now


def run(size: int, rounds: int, audit_dir: Path | None) -> tuple[float, float, float]:
    """Return, in seconds, a round (median), the processor time of all three nodes for one (mean, their start included),
    and the longest gap of a client's loop in the second half of the rounds.
    """
    experiment = Experiment.from_dict(
        {
            "nodes": CLIENTS,
            "rounds": rounds + WARM_UP,
            "evaluation": {"every": 10**6},
            "federated": {"deadline_s": 120.0},
        }
    )
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((64, 4)), np.arange(64) % 2
    addresses, times, gaps_of = os.pipe(), os.pipe(), os.pipe()

    def child(role: type, name: str) -> None:
        broker = os.read(addresses[0], 200).decode().strip("\0")
        identity = NodeIdentity(broker, "benchmark", name, shared_config={"mode": "federated"}, audit_dir=audit_dir)
        data = (None, None) if role is Coordinator else (X, y)
        node = role.from_parts(
            SiteModel(Still(size), *data, test=(X, y) if role is Coordinator else None), experiment, identity
        )

        async def live() -> None:
            durations: list[float] = []
            gaps: list[float] = []
            node.session.on_event = lambda event: (
                durations.append(event["duration_s"]) if event["type"] == "round.completed" and event["round"] else None
            )
            async with node:
                ticker = asyncio.create_task(ticking(gaps)) if name == "client-0" else None
                async for _ in node.rounds():
                    pass
                if ticker is not None:
                    ticker.cancel()
            if role is Coordinator:
                os.write(times[1], json.dumps(statistics.median(durations[WARM_UP:])).encode())
            elif name == "client-0":
                os.write(gaps_of[1], json.dumps(max(gaps[len(gaps) // 2 :])).encode())

        asyncio.run(live())
        os._exit(0)

    pids = []
    names = [(Coordinator, "coordinator"), *((Client, f"client-{k}") for k in range(CLIENTS))]
    for role, name in names:
        pid = os.fork()
        if pid == 0:
            child(role, name)
        pids.append(pid)

    spent: list[float] = []

    def wait_for(pid: int) -> None:
        _, status, used = os.wait4(pid, 0)
        assert status == 0
        spent.append(used.ru_utime + used.ru_stime)

    async def introduce() -> None:
        async with Broker("tcp://127.0.0.1:0") as broker:
            serving = asyncio.create_task(broker.serve())
            for _ in pids:
                os.write(addresses[1], broker.address.encode().ljust(200, b"\0"))
            for pid in pids:
                await asyncio.to_thread(wait_for, pid)
            serving.cancel()

    asyncio.run(introduce())
    median_s, gap_s = (float(json.loads(os.read(pipe[0], 100))) for pipe in (times, gaps_of))
    for pipe in (addresses, times, gaps_of):
        for end in pipe:
            os.close(end)
    return median_s, sum(spent) / (rounds + WARM_UP), gap_s


def hash_s(size: int) -> float:
    """Return the seconds of one SHA-256 of such a vector."""
    vector = np.ones(size, np.float32)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        hashlib.sha256(memoryview(vector).cast("B")).hexdigest()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parameters", type=int, nargs="+", default=[5_000, 200_000, 10_000_000])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    print(f"{CLIENTS} clients, {given.rounds} rounds, median of {given.repeats}; milliseconds")
    print("  parameters   round without    with   CPU without    with   more   7 SHA-256   loop away: without   with")
    for size in given.parameters:
        rounds = given.rounds if size < 10**6 else max(5, given.rounds // 4)
        without, logged = [], []
        for _ in range(given.repeats):
            folder = Path(tempfile.mkdtemp(dir=Path.cwd()))
            without.append(run(size, rounds, None))
            logged.append(run(size, rounds, folder))
            found, problems = verify(folder)
            assert len(found) == 1 + CLIENTS, problems
            shutil.rmtree(folder)
        ours, theirs = ([statistics.median(f[k] for f in runs) * 1e3 for k in (0, 1, 2)] for runs in (logged, without))
        print(
            f"{size:12,}   {theirs[0]:13.2f}   {ours[0]:5.2f}   {theirs[1]:11.2f}   {ours[1]:5.2f}   "
            f"{ours[1] - theirs[1]:4.2f}   {7 * hash_s(size) * 1e3:11.2f}   {theirs[2]:18.1f}   {ours[2]:4.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
