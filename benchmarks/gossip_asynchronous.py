"""What a stopped peer costs the others: steps per second of the seven, with one of eight stopped for ten seconds.

8 peer processes on a ring, deployed code over real sockets, digits cut evenly, AD-PSGD; a step is a cycle of `--steps`
mini-batches. The pace of every peer is set: a mini-batch takes at least `--pause-ms`, most of which is sleep, so that
all eight together leave the cores half idle, and none gets faster because another one stops. The same window of time is
measured in a run in which a peer gets SIGSTOP at its beginning and SIGCONT at its end, and in a run without a stop
before it and one after it; the ratio to the mean of these two is taken peer by peer. Two more processes train alone, at
the same pace and without a neighbor, in every run: they tell what else the machine was doing, and a ratio of 0.9 of
theirs is nobody's fault. The second ratio is the first divided by theirs; it is the one to judge by on a machine that
is busy. The synchronous algorithm is shown beside it, since it runs on the same peers.

    python benchmarks/gossip_asynchronous.py [--stop-s 10] [--algorithms ad-psgd dpsgd gossip-learning]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

from nervenet.broker.broker import Broker
from nervenet.models import MLP, generator
from nervenet.models.data.partition import partition
from nervenet.models.data.splits import split
from nervenet.models.datasets import load
from nervenet.models.model import FitReport, LocalWork
from nervenet.models.site_model import SiteModel
from nervenet.models.site_statistics import agree
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.roles.peer import Peer
from nervenet.nodes.runtime.identity import NodeIdentity

PEERS, ALONE, GOAL, WARM_S = 8, 2, 0.9, 2.0


class Paced(MLP):
    """A network on a machine of a given speed: every mini-batch takes at least so long."""

    pause_s = 0.0

    def fit(
        self, X: Any, y: Any, work: LocalWork, rng: Any, stop: Callable[[], bool], correction: Any = None
    ) -> FitReport:
        """Train, and ask between two mini-batches whether to stop, as ever: but not before their time is over."""

        def paced() -> bool:
            time.sleep(self.pause_s)
            return stop()

        return super().fit(X, y, work, rng, paced, correction)


def run(algorithm: str, stopped: int | None, args: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """Train the peers; return for each, and for those alone, the times of its steps and its last accuracy."""
    gossip: dict[str, Any] = {"algorithm": algorithm}
    if algorithm == "gossip-learning":
        gossip["period_s"] = args.steps * args.pause_ms / 1000
    experiment = Experiment.from_dict(
        {
            "mode": "gossip",
            "nodes": PEERS,
            "rounds": 10**6,
            "training": {"local_steps": args.steps},
            "evaluation": {"every": 10},
            "gossip": gossip,
        }
    )
    train, test = split(load("digits"), seed=0)
    parts = partition(train, PEERS, seed=0)
    address_r, address_w = os.pipe()
    ends_at = time.monotonic() + WARM_S + 3 + args.stop_s + 4
    files = [folder / f"{algorithm}-{stopped}-{k}.json" for k in range(PEERS + ALONE)]
    pids = []
    for k in range(PEERS + ALONE):
        pid = os.fork()
        if pid == 0:
            os.close(address_w)
            broker = os.read(address_r, 200).decode().strip("\0")
            model = Paced()
            model.pause_s = args.pause_ms / 1000
            rows = parts[k % PEERS]
            site_model = SiteModel(model, train.X[rows], train.y[rows], test=(test.X, test.y))
            place = NodeIdentity(broker, "benchmark", f"peer-{k}", shared_config={"mode": "gossip"})
            try:
                if k >= PEERS:
                    files[k].write_text(json.dumps(_alone(site_model, LocalWork(local_steps=args.steps), ends_at)))
                    os._exit(0)
                found = asyncio.run(_learn(Peer.from_parts(site_model, experiment, place), ends_at))
                files[k].write_text(json.dumps(found))
            finally:
                os._exit(0)
        pids.append(pid)

    async def serve() -> None:
        async with Broker("tcp://127.0.0.1:0") as broker:
            serving = asyncio.create_task(broker.serve())
            for _ in pids:
                os.write(address_w, broker.address.encode().ljust(200, b"\0"))
            if stopped is not None:
                await asyncio.sleep(ends_at - args.stop_s - 4 - time.monotonic())
                os.kill(pids[stopped], signal.SIGSTOP)
                await asyncio.sleep(args.stop_s)
                os.kill(pids[stopped], signal.SIGCONT)
            for pid in pids:
                await asyncio.to_thread(os.waitpid, pid, 0)
            serving.cancel()

    asyncio.run(serve())
    os.close(address_r)
    os.close(address_w)
    window = (ends_at - args.stop_s - 4, ends_at - 4)
    results = [json.loads(file.read_text()) for file in files]
    for result in results:
        result["rate"] = sum(window[0] <= at < window[1] for at in result["times"]) / args.stop_s
        result["after"] = sum(window[1] + 1 <= at < window[1] + 3 for at in result["times"]) / 2
    return results


def _alone(site_model: SiteModel, work: LocalWork, ends_at: float) -> dict[str, Any]:
    site_model.build(agree({"alone": site_model.statistics()}), 0)
    times: list[float] = []
    while not times or times[-1] <= ends_at:
        site_model.train(work, generator(0, len(times)))
        times.append(time.monotonic())
    return {"times": times, "accuracy": 1.0}


async def _learn(peer: Peer, ends_at: float) -> dict[str, Any]:
    times, accuracy = [], 0.0
    async with peer:
        async for report in peer.rounds(10**6):
            times.append(time.monotonic())
            accuracy = accuracy if report.accuracy is None else report.accuracy
            if times[-1] > ends_at:
                break
    return {"times": times, "accuracy": accuracy}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stop-s", type=float, default=10.0)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--pause-ms", type=float, default=10.0)
    parser.add_argument("--algorithms", nargs="+", default=["ad-psgd", "gossip-learning", "dpsgd"])
    args = parser.parse_args()
    print(
        f"{PEERS} peer processes, ring, digits; {args.steps} mini-batches of {args.pause_ms:g} ms a step; "
        f"peer-3 stopped for {args.stop_s:g} s; {os.cpu_count()} cores"
    )
    print(
        "steps/s in the window     | without | with, others | worst of 7, ratio | alone | ratio/alone | that one, after"
        " | accuracy, worst"
    )
    for algorithm in args.algorithms:
        with tempfile.TemporaryDirectory() as folder:
            before = run(algorithm, None, args, Path(folder))
            disturbed = run(algorithm, 3, args, Path(folder))
            after = run(algorithm, None, args, Path(folder))
        # The mean of a run before and one after it: what else the machine does changes slowly.
        calm = [{"rate": (b["rate"] + a["rate"]) / 2} for b, a in zip(before, after, strict=True)]
        idle = sum(d["rate"] for d in disturbed[PEERS:]) / sum(c["rate"] for c in calm[PEERS:])
        calm, disturbed = calm[:PEERS], disturbed[:PEERS]
        ratios = [d["rate"] / c["rate"] for k, (c, d) in enumerate(zip(calm, disturbed, strict=True)) if k != 3]
        others = statistics.mean(d["rate"] for k, d in enumerate(disturbed) if k != 3)
        verdict = ""
        if algorithm == "ad-psgd":
            verdict = f"  >= {GOAL}: {'holds' if min(ratios) / idle >= GOAL else 'FALLS SHORT'}"
        without = statistics.mean(c["rate"] for c in calm)
        print(
            f"{algorithm:25} | {without:7.2f} | {others:12.2f} | {min(ratios):17.3f} | "
            f"{idle:5.3f} | {min(ratios) / idle:11.3f} | "
            f"{disturbed[3]['after']:15.2f} | {min(d['accuracy'] for d in disturbed):.3f}{verdict}",
            flush=True,
        )


if __name__ == "__main__":
    main()
