"""How soon every survivor knows of a peer that is killed, and how often somebody is taken for dead who is not.

python benchmarks/detection.py [--peers 16] [--kills 3] [--minutes 1] [--rest-peers 64]

Three measurements, all with the deployed peers, each in a process of its own, over TCP:

1. peers on a ring, kill -9 of one after the other: seconds until the last of the survivors calls it suspect (from then
   on nobody waits for it), and gone (the ring closes);
2. the same peers train without a pause, so that all cores are busy (as many processes as peers want them): how often
   anybody is called gone, or only suspect, within so many minutes;
3. more peers at rest: control messages that a node sends a second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nervenet.broker.broker import Broker
from nervenet.models import MLP
from nervenet.models.data.partition import partition
from nervenet.models.data.splits import split
from nervenet.models.datasets import load
from nervenet.models.site_model import SiteModel
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.roles.peer import Peer
from nervenet.nodes.runtime.identity import NodeIdentity

TOLD = {"node.suspect", "node.lost"}
SETTLE_S = 25.0
GOAL_S, GOAL_MESSAGES = 3.0, 5.0


async def _take_part(peer: Peer, file: Path, rounds: int, rest_s: float) -> None:
    """Be a peer until the end; write down what is said of whom, and how much was sent at rest."""
    with file.open("a", buffering=1) as out:

        def note(event: Mapping[str, Any]) -> None:
            if event["type"] in TOLD:
                out.write(json.dumps({"type": event["type"], "peer": event["subject"], "time": event["time"]}) + "\n")

        peer.session.on_event = note
        async with peer:
            async for _ in peer.rounds(rounds):
                pass
            if rest_s:
                counters = peer.session.transport.counters
                await asyncio.sleep(SETTLE_S)
                before = counters.messages_sent
                await asyncio.sleep(rest_s)
                out.write(json.dumps({"type": "rate", "rate": (counters.messages_sent - before) / rest_s}) + "\n")
                await asyncio.sleep(3600)  # until it is ended: all are there while all measure


class Company:
    """Peers, each in a process of its own, and their broker in this one."""

    def __init__(self, n: int, folder: Path, *, rounds: int, rest_s: float = 0.0) -> None:
        self.names = [f"peer-{k:02d}" for k in range(n)]
        self.files = {name: folder / f"{name}.jsonl" for name in self.names}
        self.pids: dict[str, int] = {}
        self._plan = Experiment.from_dict(
            {
                "mode": "gossip",
                "nodes": n,
                "rounds": rounds,
                "training": {"epochs": 5},
                "evaluation": {"every": 10**6},
                "gossip": {"topology": "ring"},
                "network": {"join_deadline_s": 120},
            }
        )
        self._rounds, self._rest_s = rounds, rest_s
        train, self._test = split(load("digits"), seed=0)
        self._parts = [(train.X[rows], train.y[rows]) for rows in partition(train, n, seed=0)]

    def start(self, broker: str) -> None:
        """Fork them; before that no socket of this process may be open that they would use."""
        for k, name in enumerate(self.names):
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    site_model = SiteModel(MLP(), *self._parts[k], test=(self._test.X, self._test.y))
                    peer = Peer.from_parts(
                        site_model, self._plan, NodeIdentity(broker, "detection", name, shared_config={"nodes": 0})
                    )
                    asyncio.run(_take_part(peer, self.files[name], self._rounds, self._rest_s))
                    code = 0
                finally:
                    os._exit(code)
            self.pids[name] = pid

    def told(self, kind: str, peer: str | None = None) -> dict[tuple[str, str], float]:
        """When (who, of whom) was first told so."""
        found: dict[tuple[str, str], float] = {}
        for name, file in self.files.items():
            for line in file.read_text().splitlines() if file.exists() else ():
                event = json.loads(line)
                if event["type"] == kind and peer in (None, event.get("peer")):
                    found.setdefault((name, event.get("peer", "")), event.get("time", event.get("rate")))
        return found

    def stop(self) -> None:
        """End them all."""
        for pid in self.pids.values():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self.pids.clear()


def _free_address() -> str:
    return f"tcp://127.0.0.1:{random.SystemRandom().randrange(20_000, 30_000)}"


async def _detection(n: int, kills: int, seconds: float, folder: Path) -> None:
    company = Company(n, folder, rounds=10**6)
    address = _free_address()
    company.start(address)
    async with Broker(address) as broker:
        serving = asyncio.create_task(broker.serve())
        try:
            await asyncio.sleep(10.0)
            await asyncio.sleep(seconds)
            gone, suspect = company.told("node.lost"), company.told("node.suspect")
            load_1, cores = os.getloadavg()[0], os.cpu_count()
            print(f"all cores busy (load {load_1:.1f} on {cores}) for {seconds / 60:.1f} min, {n} peers that train:")
            print(f"  taken for dead: {len(gone)} times; suspected, and refuted: {len(suspect)} times", flush=True)
            print(f"kill -9 under that load, {n} peers  | all suspect it after | all know it is gone after")
            found = []
            for k in range(kills):
                victim = company.names[(5 * k + 3) % n]
                os.kill(company.pids[victim], signal.SIGKILL)
                killed_at = time.time()
                await asyncio.to_thread(os.waitpid, company.pids.pop(victim), 0)
                survivors = set(company.pids)
                known: dict[str, float] = {}
                for kind in ("node.suspect", "node.lost"):
                    while time.time() < killed_at + 30:
                        told = {who: at for (who, _), at in company.told(kind, victim).items() if at > killed_at}
                        if told.keys() >= survivors:
                            break
                        await asyncio.sleep(0.1)
                    known[kind] = max(told.values(), default=float("inf")) - killed_at
                found.append(known)
                print(f"  {victim:32} | {known['node.suspect']:18.2f} s | {known['node.lost']:22.2f} s", flush=True)
            worst = max(known["node.suspect"] for known in found)
            gone_s = statistics.median(known["node.lost"] for known in found)
            verdict = "holds" if worst <= GOAL_S else "FALLS SHORT"
            print(f"  worst {worst:.2f} s (goal {GOAL_S:g} s: {verdict}); gone, median {gone_s:.2f} s", flush=True)
        finally:
            company.stop()
            serving.cancel()


async def _rest(n: int, folder: Path) -> None:
    company = Company(n, folder, rounds=1, rest_s=15.0)
    address = _free_address()
    company.start(address)
    async with Broker(address) as broker:
        serving = asyncio.create_task(broker.serve())
        try:
            for _ in range(480):
                if len(rates := company.told("rate")) == n:
                    break
                await asyncio.sleep(0.5)
        finally:
            company.stop()
            serving.cancel()
    if not rates:
        print(f"{n} peers at rest: nobody came to rest in time")
        return
    mean, most = statistics.mean(rates.values()), max(rates.values())
    verdict = "holds" if mean <= GOAL_MESSAGES else "FALLS SHORT"
    print(
        f"{len(rates)} peers at rest: {mean:.2f} messages a node a second, most {most:.2f} "
        f"(goal {GOAL_MESSAGES:g}: {verdict})"
    )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=int, default=16)
    parser.add_argument("--kills", type=int, default=3, help="0: do not measure them")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long false alarms are counted")
    parser.add_argument("--rest-peers", type=int, default=64, help="0: do not measure them")
    args = parser.parse_args()
    if args.kills:
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(_detection(args.peers, args.kills, 60 * args.minutes, Path(folder)))
    if args.rest_peers:
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(_rest(args.rest_peers, Path(folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
