"""One exchange of a large model between two peers, against the least that it could cost.

The floor is a bare pyzmq loop: two processes, a ROUTER to receive and a DEALER to send in each; both send the same
bytes at once, and a round is over when both have what the other sent. Ours are two deployed peers around a model
whose training does nothing: a whole round, with the check of every value and the mixing; and of that the exchange
alone, from the send to the moment at which the neighbor's model has come and is checked.

    python benchmarks/exchange.py [--parameters 25000000] [--rounds 10]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import numpy as np
import zmq
from federated_round import Still
from nervenet.broker.broker import Broker
from nervenet.models.site_model import SiteModel
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.roles.peer import Peer
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime.identity import NodeIdentity
from nervenet.nodes.runtime.node import Node

WARM_UP = 3


def floor(size: int, rounds: int) -> float:
    """Median seconds of a round of the bare loop."""
    ports = [os.pipe() for _ in range(2)]
    result = os.pipe()
    pids = []
    for me in range(2):
        pid = os.fork()
        if pid == 0:
            context = zmq.Context()
            inbox, outbox = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
            os.write(ports[1 - me][1], str(inbox.bind_to_random_port("tcp://127.0.0.1")).encode().ljust(10))
            outbox.connect(f"tcp://127.0.0.1:{os.read(ports[me][0], 10).decode().strip()}")
            mine, times = np.full(size, me, np.float32), []
            for _ in range(rounds + WARM_UP):
                start = time.perf_counter()
                outbox.send(mine, copy=False)
                inbox.recv()
                inbox.recv(copy=False)
                times.append(time.perf_counter() - start)
            if me == 0:
                os.write(result[1], json.dumps(statistics.median(times[WARM_UP:])).encode())
            outbox.close(linger=5000)
            inbox.close(0)
            context.term()
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
    return float(json.loads(os.read(result[0], 100)))


class Watched(Node):
    """The shell, with a note of when a model was sent and when the neighbor's was taken."""

    def __init__(self, *arguments, **named) -> None:
        super().__init__(*arguments, **named)
        self.sent_at: dict[int, float] = {}
        self.took_s: dict[int, float] = {}

    def _perform_all(self, effects: Sequence[e.Effect]) -> None:
        for effect in effects:
            if isinstance(effect, e.Send) and effect.body is not None:
                self.sent_at[getattr(effect.message, "round", 0)] = time.perf_counter()
        super()._perform_all(effects)

    def _perform(self, effect: e.Effect) -> None:
        if isinstance(effect, e.Mix):
            self.took_s[effect.round] = time.perf_counter() - self.sent_at[effect.round]
        super()._perform(effect)


def ours(size: int, rounds: int, *, sockets: bool = False) -> tuple[float, float]:
    """Median seconds of a whole round, and of the exchange in it."""
    from nervenet.nodes.roles import base as room

    room.Node = Watched
    experiment = Experiment.from_dict(
        {
            "mode": "gossip",
            "nodes": 2,
            "rounds": rounds + WARM_UP,
            "evaluation": {"every": 10**6},
            "network": {"shared_memory": not sockets},
        }
    )
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((64, 4)), np.arange(64) % 2
    folder = Path(tempfile.mkdtemp())
    address = os.pipe()
    pids = []
    for name in ("peer-0", "peer-1"):
        pid = os.fork()
        if pid == 0:
            broker = os.read(address[0], 200).decode().strip("\0")
            place = NodeIdentity(broker, "benchmark", name, shared_config={"mode": "gossip"})
            peer = Peer.from_parts(SiteModel(Still(size), X, y, test=(X, y)), experiment, place)

            async def go(peer: Peer = peer, name: str = name) -> None:
                async with peer:
                    whole = [report.fields["duration_s"] async for report in peer.rounds()]
                    took = peer._node.took_s  # noqa: SLF001  (its own shell, watched)
                    told = [whole[WARM_UP:], [took[n] for n in sorted(took)][WARM_UP:]]
                    (folder / name).write_text(json.dumps(told))

            try:
                asyncio.run(go())
            finally:
                os._exit(0)
        pids.append(pid)

    async def serve() -> None:
        async with Broker("tcp://127.0.0.1:0") as broker:
            for _ in pids:
                os.write(address[1], broker.address.encode().ljust(200, b"\0"))
            serving = asyncio.create_task(broker.serve())
            for pid in pids:
                await asyncio.to_thread(os.waitpid, pid, 0)
            serving.cancel()

    asyncio.run(serve())
    found = [json.loads((folder / name).read_text()) for name in ("peer-0", "peer-1")]
    return tuple(statistics.median(found[0][i] + found[1][i]) for i in range(2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parameters", type=int, default=25_000_000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sockets", action="store_true", help="the models go by sockets, as between machines")
    args = parser.parse_args()
    low = min(floor(args.parameters, args.rounds) for _ in range(args.repeats))
    found = [ours(args.parameters, args.rounds, sockets=args.sockets) for _ in range(args.repeats)]
    whole, exchange = (min(one[i] for one in found) for i in range(2))
    size = 4 * args.parameters / 1e6
    print(f"two peers, {size:.0f} MB each way; best of {args.repeats} medians; {os.cpu_count()} cores")
    print(f"bare pyzmq loop {low * 1e3:.0f} ms; exchange {exchange * 1e3:.0f} ms, ratio {exchange / low:.2f}")
    print(f"whole round, with the mixing, {whole * 1e3:.0f} ms, ratio {whole / low:.2f}")


if __name__ == "__main__":
    main()
