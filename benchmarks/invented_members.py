"""What a peer that lies costs the others: it tells them ten times a second of 400 members who do not exist.

Five peers learn over a ring, in this process; one of them also sends 40 kB of member states to the other four. Measured
are the rounds a second of those four, the CPU time of a round and the descriptors of the process, without the lies (the
floor) and with them.

    python benchmarks/invented_members.py [--seconds 6]

2026-11, 2 cores of a machine that was busy with other work (load 15 to 35), floor -> with lies.
When peers believed each other about members: 50.4 -> 17.9, 40.4 -> 26.4 and 26.2 -> 13.6 rounds a second, 235 -> 321 to
375 descriptors, more with each second.
Since a member is asked itself: 8.8 -> 8.6 rounds a second, 14.1 -> 17.0 and 15.9 -> 16.0 ms of CPU a round, 235 -> 267
descriptors, and none more after a few seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from contextlib import suppress
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

from nervenet.broker import messages as m
from nervenet.broker.broker import Broker
from nervenet.models.data.partition import partition
from nervenet.models.datasets import load
from nervenet.models.mlp.mlp import MLP
from nervenet.nodes.roles.peer import Peer

PEERS, INVENTED, EVERY_S = 5, 400, 0.1


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def measure(seconds: float, *, lies: bool) -> tuple[float, float, int]:
    """Return the rounds a second of the slowest honest peer, the CPU time of a round in ms, and the most descriptors.

    The CPU time is that of the whole process, the lying included.
    """
    data = load("digits")
    shares = partition(data, PEERS, seed=0)
    done = [0] * PEERS
    most = 0
    async with Broker("tcp://127.0.0.1:0") as broker:

        async def learn(peer: Peer, at: int) -> None:
            async for report in peer.rounds(1_000_000):
                done[at] = report.round

        peers = [
            Peer(
                MLP(hidden=(8,)),
                (data.X[rows], data.y[rows]),
                broker=broker.address,
                run="lies",
                name=f"p{i}",
                nodes=PEERS,
                topology="ring",
                epochs=1,
            )
            for i, rows in enumerate(shares)
        ]
        serving = asyncio.create_task(broker.serve())
        await asyncio.gather(*(peer.__aenter__() for peer in peers))
        learning = [asyncio.create_task(learn(peer, i)) for i, peer in enumerate(peers)]
        while not all(done):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        liar = peers[-1].session
        made_up = tuple(
            m.MemberState(f"invented-{i:03d}", 1, "alive", addresses={"control": f"tcp://127.0.0.1:{20_000 + i}",
                                                                      "bulk": f"tcp://127.0.0.1:{21_000 + i}"})
            for i in range(INVENTED)
        )  # fmt: skip
        before, began, cpu = list(done), time.monotonic(), time.process_time()
        while time.monotonic() < began + seconds:
            if lies:
                honest = [f"p{i}" for i in range(PEERS - 1)]
                for at in range(0, INVENTED, 100):
                    liar.transport.send(honest, m.Gossip(made_up[at : at + 100], "answer"))
            await asyncio.sleep(EVERY_S)
            most = max(most, descriptors())
        rounds = (sum(done) - sum(before)) / PEERS
        spent_ms = 1e3 * (time.process_time() - cpu) / rounds
        pace = min(now - then for now, then in zip(done[:-1], before[:-1], strict=True)) / seconds
        for task in learning:
            task.cancel()
        await asyncio.gather(*learning, return_exceptions=True)
        await asyncio.gather(*(peer.__aexit__(KeyboardInterrupt, None, None) for peer in peers), return_exceptions=True)
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving
    return pace, spent_ms, most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=6.0)
    seconds = parser.parse_args().seconds
    for what, lies in (("floor", False), ("with lies", True)):
        pace, spent_ms, most = asyncio.run(measure(seconds, lies=lies))
        print(f"{what:10} {pace:6.1f} rounds/s  {spent_ms:6.1f} ms of CPU a round  {most:4d} descriptors")


if __name__ == "__main__":
    main()
