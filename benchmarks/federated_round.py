"""One federated round without training, against the least that it could cost.

The floor is a bare pyzmq loop in blocking sockets: one ROUTER sends the same bytes to 8 DEALER processes and takes as
many back, with no header, no check, no average. A second one, `bare_loop.py`, has an event loop in each process, a
header, a look at every value and the average, and nothing else. Ours is the deployed coordinator and 8 deployed client
processes - codec, screening of every value, worker threads, weighted average, heartbeats, events to a broker - around a
model whose training does nothing, and is done where that of nervenet's own models is; `--foreign`: where that of a
user's is, in a thread. Vectors from 256 kB on go through shared memory, unless by `--sockets`.

    python benchmarks/federated_round.py [--parameters 5000 200000 10000000] [--clients 8] [--rounds 60]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import numpy as np
import zmq
from bare_loop import loop
from nervenet.broker.broker import Broker
from nervenet.models.model import FitReport
from nervenet.models.site_model import SiteModel
from nervenet.models.weights import Layout
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.launching.node_process import settle_process
from nervenet.nodes.roles.client import Client
from nervenet.nodes.roles.coordinator import Coordinator
from nervenet.nodes.runtime.identity import NodeIdentity

WARM_UP = 5


class Budget:
    """Has each process of a run watched between its first rounds and its last: see `round_budget.py`.

    ``watch(also)`` makes a process's watch, with ``begin()`` and ``end(rounds)``, ``found`` takes what that returns.
    """

    def __init__(self, watch: Callable[..., Any], found: dict[str, Any]) -> None:
        self._watch, self._found = watch, found
        self._folder = Path(tempfile.mkdtemp())

    def begin(self, also: int = 0) -> None:
        self._current = self._watch(also)
        self._current.begin()

    def end(self, name: str, rounds: int) -> None:
        (self._folder / name).write_text(json.dumps(self._current.end(rounds)))

    def collect(self) -> None:
        self._found.update((each.name, json.loads(each.read_text())) for each in sorted(self._folder.iterdir()))
        shutil.rmtree(self._folder)


class Still:
    """A model of any size that learns nothing: what it was last given is what it answers."""

    dtype = "float32"
    runs_foreign_code = False  # as none of nervenet's own models does, whose short trainings are done on the loop

    def __init__(self, size: int) -> None:
        self.size = size
        self.layout = Layout(("w",), ((size,),), "float32")

    def build(self, n_features, n_classes, rng):  # noqa: ARG002
        self.vector = rng.standard_normal(self.size, dtype=np.float32)
        return self.layout

    def get_weights(self):
        return self.vector

    def set_weights(self, vector):
        self.vector = vector

    def fit(self, X, y, work, rng, stop):  # noqa: ARG002
        return FitReport(0.0, len(y), 0, False)

    def predict(self, X):
        return np.zeros(len(X), np.int64)

    def probabilities(self, X):  # noqa: ARG002
        return None

    def get_state(self, *, moments=True):  # noqa: ARG002
        return {}

    def set_state(self, state):
        pass

    def describe(self):
        return {"name": "still", "parameters": {"size": self.size}}


def floor(size: int, clients: int, rounds: int, budget: Budget | None = None) -> float:
    """Median seconds of a round of the bare loop."""
    read, write = os.pipe()
    pids = []
    for number in range(clients):
        pid = os.fork()
        if pid == 0:
            os.close(write)
            where = os.read(read, 200).decode().strip("\0")
            socket = zmq.Context().socket(zmq.DEALER)
            socket.setsockopt(zmq.IDENTITY, b"%d" % number)
            socket.connect(where)
            mine = np.zeros(size, np.float32)
            socket.send(b"ready")
            done = 0
            while True:
                frame = socket.recv(copy=size < 16_384)
                if len(frame) == 0:
                    os._exit(0)
                socket.send(mine, copy=size < 16_384)
                done += 1
                if budget is not None and done == WARM_UP:
                    budget.begin()
                if budget is not None and done == WARM_UP + rounds:
                    budget.end(f"client-{number}", rounds)
        pids.append(pid)
    context = zmq.Context()
    router = context.socket(zmq.ROUTER)
    port = router.bind_to_random_port("tcp://127.0.0.1")
    address = f"tcp://127.0.0.1:{port}"
    for _ in pids:
        os.write(write, address.encode().ljust(200, b"\0"))
    names = [router.recv_multipart()[0] for _ in pids]
    model = np.ones(size, np.float32)
    times = []
    for number in range(rounds + WARM_UP):
        if budget is not None and number == WARM_UP:
            budget.begin()
        start = time.perf_counter()
        for name in names:
            router.send(name, zmq.SNDMORE)
            router.send(model, copy=size < 16_384)
        for _ in names:
            router.recv()
            router.recv(copy=size < 16_384)
        times.append(time.perf_counter() - start)
    if budget is not None:
        budget.end("coordinator", rounds)
    for name in names:
        router.send_multipart([name, b""])
    for pid in pids:
        os.waitpid(pid, 0)
    context.destroy(linger=0)
    if budget is not None:
        budget.collect()
    return statistics.median(times[WARM_UP:])


def ours(size: int, clients: int, rounds: int, budget: Budget | None = None, *, sockets: bool = False) -> float:
    """Median seconds of a round of the deployed coordinator and clients."""
    experiment = Experiment.from_dict(
        {
            "nodes": clients,
            "rounds": rounds + WARM_UP,
            "evaluation": {"every": 10**6},
            "federated": {"deadline_s": 120.0},
            "network": {"shared_memory": not sockets},
        }
    )
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((64, 4)), np.arange(64) % 2
    folder = Path(tempfile.mkdtemp())
    pids = []
    address_r, address_w = os.pipe()

    def child(role: str, name: str) -> None:
        os.close(address_w)
        settle_process()
        broker = os.read(address_r, 200).decode().strip("\0")
        place = NodeIdentity(broker, "benchmark", name, shared_config={"mode": "federated"})
        data = (None, None) if role is Coordinator else (X, y)
        node = role.from_parts(
            SiteModel(Still(size), *data, test=(X, y) if role is Coordinator else None), experiment, place
        )

        async def go() -> None:
            durations = []
            async with node:
                async for report in node.rounds():
                    durations.append(report.fields["duration_s"])
                    if budget is not None and len(durations) == WARM_UP:
                        budget.begin(os.getppid() if role is Coordinator else 0)
                    if budget is not None and len(durations) == WARM_UP + rounds:
                        budget.end(name, rounds)
            if role is Coordinator:
                (folder / "durations").write_text(json.dumps(durations))

        try:
            asyncio.run(go())
        finally:
            os._exit(0)

    # As the fork server of `nervenet launch` does, whose processes these are.
    gc.collect()
    gc.freeze()
    names = [(Coordinator, "coordinator")] + [(Client, f"client-{i}") for i in range(clients)]
    for role, name in names:
        pid = os.fork()
        if pid == 0:
            child(role, name)
        pids.append(pid)

    async def serve() -> None:
        async with Broker("tcp://127.0.0.1:0") as broker:
            for _ in names:
                os.write(address_w, broker.address.encode().ljust(200, b"\0"))
            serving = asyncio.create_task(broker.serve())
            for pid in pids:
                await asyncio.to_thread(os.waitpid, pid, 0)
            serving.cancel()

    asyncio.run(serve())
    if budget is not None:
        budget.collect()
    return statistics.median(json.loads((folder / "durations").read_text())[WARM_UP:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parameters", type=int, nargs="+", default=[5_000, 200_000, 10_000_000])
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--foreign", action="store_true", help="train in a thread, as models of the user's own are")
    parser.add_argument("--sockets", action="store_true", help="large vectors go by sockets, too, as between machines")
    args = parser.parse_args()
    Still.runs_foreign_code = args.foreign
    goals = {5_000: 3.0} | ({200_000: 1.4, 10_000_000: 1.1} if args.sockets else {200_000: 0.8, 10_000_000: 0.35})
    print(
        f"{args.clients} client processes, {args.rounds} rounds, best of {args.repeats} medians; {os.cpu_count()} cores"
    )
    print(f"{'parameters':>12} {'floor ms':>10} {'ours ms':>10} {'ratio':>7} {'goal':>6} {'loop ms':>9} {'ratio':>7}")
    for size in args.parameters:
        rounds = args.rounds if size < 10**6 else max(6, args.rounds // 5)
        low = min(floor(size, args.clients, rounds) for _ in range(args.repeats))
        loops = min(loop(size, args.clients, rounds) for _ in range(args.repeats))
        high = min(ours(size, args.clients, rounds, sockets=args.sockets) for _ in range(args.repeats))
        floors = f"{loops * 1e3:>9.2f} {high / loops:>7.2f}"
        print(
            f"{size:>12,} {low * 1e3:>10.2f} {high * 1e3:>10.2f} {high / low:>7.2f} {goals.get(size, ''):>6} {floors}"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
