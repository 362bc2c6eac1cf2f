"""An all-reduce of a large model among peers, against whole models to everybody and the least that it could cost.

Peers, a process each, around a model whose training does nothing: a round of `all-reduce`, and one of `dpsgd` on the
complete graph, which comes to the same mean (all have as many rows). The floor is a bare pyzmq loop of as many
processes: each sends every other its part, adds up its own, and sends that to all. Prints seconds a round, and the
bytes that each peer sends in it.

    python benchmarks/all_reduce.py [--peers 4] [--parameters 25000000] [--rounds 3] [--shared-memory]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
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
from nervenet.nodes.runtime.identity import NodeIdentity

WARM_UP = 1


def floor(peers: int, size: int, rounds: int) -> tuple[float, float]:
    """Median seconds of a round of the bare loop, and the bytes that each process sends in it."""
    ports = [os.pipe() for _ in range(peers)]
    result = os.pipe()
    pids = []
    ends = [size * (place + 1) // peers for place in range(peers)]
    for me in range(peers):
        pid = os.fork()
        if pid == 0:
            context = zmq.Context()
            inbox = context.socket(zmq.ROUTER)
            mine = f"{me}:{inbox.bind_to_random_port('tcp://127.0.0.1')}"
            for other in range(peers):
                os.write(ports[other][1], mine.encode().ljust(16))
            known = [os.read(ports[me][0], 16).decode().split(":") for _ in range(peers)]
            outboxes = {}
            for other, port in known:
                outboxes[int(other)] = outbox = context.socket(zmq.DEALER)
                outbox.connect(f"tcp://127.0.0.1:{port.strip()}")
            others = [other for other in range(peers) if other != me]
            parts = np.split(np.full(size, me, np.float32), ends[:-1])
            times = []
            for _ in range(rounds + WARM_UP):
                start = time.perf_counter()
                for other in others:
                    outboxes[other].send_multipart([b"part", parts[other]], copy=False)
                total, came, told = parts[me].copy(), 0, 0
                whole = [total] * peers
                while came < len(others) or told < len(others):
                    _, kind, frame = inbox.recv_multipart(copy=False)
                    if kind.bytes == b"part":
                        total += np.frombuffer(frame.buffer, np.float32)
                        came += 1
                        if came == len(others):
                            total /= peers
                            for other in others:
                                outboxes[other].send_multipart([bytes([me]), total], copy=False)
                    else:
                        whole[kind.bytes[0]] = np.frombuffer(frame.buffer, np.float32)
                        told += 1
                np.concatenate(whole)
                times.append(time.perf_counter() - start)
            if me == 0:
                os.write(result[1], json.dumps(statistics.median(times[WARM_UP:])).encode())
            for outbox in outboxes.values():
                outbox.close(linger=5000)
            inbox.close(0)
            context.term()
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
    return float(json.loads(os.read(result[0], 100))), 2 * 4 * size * (peers - 1) / peers


def ours(algorithm: str, peers: int, size: int, rounds: int, *, shared_memory: bool) -> tuple[float, float]:
    """Median seconds of a round, and the bytes that a peer sends in it."""
    experiment = Experiment.from_dict(
        {
            "mode": "gossip",
            "nodes": peers,
            "rounds": rounds + WARM_UP,
            "gossip": {"algorithm": algorithm, "topology": "complete"},
            "evaluation": {"every": 10**6},
            "network": {"shared_memory": shared_memory},
        }
    )
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((64, 4)), np.arange(64) % 2
    folder = Path(tempfile.mkdtemp())
    address = os.pipe()
    names = [f"peer-{place}" for place in range(peers)]
    pids = []
    for name in names:
        pid = os.fork()
        if pid == 0:
            broker = os.read(address[0], 200).decode().strip("\0")
            place = NodeIdentity(broker, "benchmark", name, shared_config={"mode": "gossip"})
            peer = Peer.from_parts(SiteModel(Still(size), X, y, test=(X, y)), experiment, place)

            async def go(peer: Peer = peer, name: str = name) -> None:
                async with peer:
                    found = [report.fields async for report in peer.rounds()][WARM_UP:]
                    assert all(fields["closed_by"] == "all" for fields in found), found
                    told = [[fields["duration_s"] for fields in found]]
                    sent = peer.session.transport.counters.bytes_sent / (rounds + WARM_UP)
                    (folder / name).write_text(json.dumps([*told, sent]))

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
    found = [json.loads((folder / name).read_text()) for name in names]
    seconds = [max(each[0][number] for each in found) for number in range(rounds)]
    return statistics.median(seconds), statistics.mean(each[1] for each in found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=int, default=4)
    parser.add_argument("--parameters", type=int, default=25_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--shared-memory", action="store_true", help="as between processes of one host; the floor is not"
    )
    asked = parser.parse_args()
    given = asked.peers, asked.parameters, asked.rounds
    low, least = floor(*given)
    print(f"{asked.peers} peers, a model of {4 * asked.parameters / 1e6:.0f} MB; {os.cpu_count()} cores")
    print(f"{'bare pyzmq loop':<24} {low * 1e3:>7.0f} ms   {least / 1e6:>7.1f} MB sent by each")
    for algorithm in ("all-reduce", "dpsgd"):
        seconds, nbytes = ours(algorithm, *given, shared_memory=asked.shared_memory)
        what = f"{algorithm}{' on complete' if algorithm == 'dpsgd' else ''}"
        print(f"{what:<24} {seconds * 1e3:>7.0f} ms   {nbytes / 1e6:>7.1f} MB sent by each   ratio {seconds / low:.2f}")


if __name__ == "__main__":
    main()
