"""What one slow client costs: time to the same accuracy, with rounds that wait for it and without.

8 client processes and a coordinator process, deployed code, digits cut evenly. The pace of every client is set: each
mini-batch takes a fast one 2 ms and the slow one ten times as long, so that neither the cores of this machine nor its
other work decide. The clock runs from the moment at which the first training tasks go out until the coordinator has
found an accuracy on its test set of at least the goal, which is the same for all.

    python benchmarks/asynchronous.py [--seeds 0 1 2] [--slower 10] [--epochs 5] [--goals 0.95 0.96 0.97]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

from nervenet.broker.broker import Broker
from nervenet.models import MLP
from nervenet.models.data.data import Dataset
from nervenet.models.data.partition import partition
from nervenet.models.data.splits import split
from nervenet.models.datasets import load
from nervenet.models.model import FitReport, LocalWork
from nervenet.models.site_model import SiteModel
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.roles.client import Client
from nervenet.nodes.roles.coordinator import Coordinator
from nervenet.nodes.runtime.identity import NodeIdentity

CLIENTS = 8
LIMIT_S = 90.0
SYNCHRONOUS = "fedavg"
RUNS: dict[str, dict[str, Any]] = {
    SYNCHRONOUS: {},
    "fedavg, quorum 0.85": {"quorum": 0.85},
    "fedbuff": {"strategy": "fedbuff"},
    "fedasync": {"strategy": "fedasync"},
}


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


def run(federated: dict[str, Any], goals: list[float], args: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Train until the last goal is reached; gives the seconds to each, the steps made, and the last accuracy."""
    experiment = Experiment.from_dict(
        {
            "nodes": CLIENTS,
            "rounds": 100_000,
            "seed": seed,
            "training": {"epochs": args.epochs},
            "federated": {"deadline_s": 60.0, **federated},
        }
    )
    train, test = split(load("digits"), seed=seed)
    parts = partition(train, CLIENTS, seed=seed)
    found = Path(tempfile.mkdtemp()) / "found.json"
    address_r, address_w = os.pipe()

    def site(number: int) -> tuple[type[Client], str, SiteModel]:
        model = Paced()
        model.pause_s = args.pause_ms / 1000 * (args.slower if number == CLIENTS - 1 else 1)
        rows = parts[number]
        return Client, f"client-{number}", SiteModel(model, train.X[rows], train.y[rows])

    def child(role: type[Client] | type[Coordinator], name: str, site_model: SiteModel) -> None:
        os.close(address_w)
        broker = os.read(address_r, 200).decode().strip("\0")
        node = role.from_parts(
            site_model, experiment, NodeIdentity(broker, "benchmark", name, shared_config={"mode": "federated"})
        )
        try:
            if isinstance(node, Coordinator):
                found.write_text(json.dumps(asyncio.run(_watch(node, goals))))
            else:
                asyncio.run(_take_part(node))
        finally:
            os._exit(0)

    nodes = [(Coordinator, "coordinator", _judge(train, test)), *(site(number) for number in range(CLIENTS))]
    pids = []
    for role, name, site_model in nodes:
        pid = os.fork()
        if pid == 0:
            child(role, name, site_model)
        pids.append(pid)

    async def serve() -> None:
        async with Broker("tcp://127.0.0.1:0") as broker:
            for _ in nodes:
                os.write(address_w, broker.address.encode().ljust(200, b"\0"))
            serving = asyncio.create_task(broker.serve())
            for pid in pids:
                await asyncio.to_thread(os.waitpid, pid, 0)
            serving.cancel()

    asyncio.run(serve())
    os.close(address_r)
    os.close(address_w)
    return dict(json.loads(found.read_text()))


def _judge(train: Dataset, test: Dataset) -> SiteModel:
    return SiteModel(Paced(), columns=train.columns, test=(test.X, test.y))


async def _watch(node: Coordinator, goals: list[float]) -> dict[str, Any]:
    began, reached = 0.0, dict.fromkeys(goals, math.nan)
    steps, accuracy = 0, math.nan
    async with node:
        async for report in node.rounds():
            now = time.perf_counter()
            if report.round == 1:
                began = now - report.fields["duration_s"]
            steps = report.round
            if report.accuracy is None:
                continue
            accuracy = report.accuracy
            for goal in goals:
                if accuracy >= goal and math.isnan(reached[goal]):
                    reached[goal] = now - began
            if not any(map(math.isnan, reached.values())) or now - began > LIMIT_S:
                break
    told = {str(goal): seconds for goal, seconds in reached.items()}
    return {"reached": told, "steps": steps, "accuracy": accuracy}


async def _take_part(node: Client) -> None:
    async with node:
        async for _ in node.rounds():
            pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--goals", type=float, nargs="+", default=[0.95, 0.96, 0.97])
    parser.add_argument("--slower", type=float, default=10.0)
    parser.add_argument("--pause-ms", type=float, default=2.0)
    parser.add_argument("--epochs", type=int, default=5)
    args = parser.parse_args()
    cores = os.cpu_count()
    print(f"{CLIENTS} client processes, one {args.slower:g} times slower; digits; seeds {args.seeds}; {cores} cores")
    print("seconds to an accuracy, median of the seeds, and its ratio to the synchronous run's (goal: at most 0.50)")
    print(f"{'':22}" + "".join(f"{f'to {goal:g}':>10}{'ratio':>7}" for goal in args.goals) + f"{'steps':>8}")
    base: dict[float, float] = {}
    for name, federated in RUNS.items():
        runs = [run(federated, args.goals, args, seed) for seed in args.seeds]
        line = f"{name:22}"
        for goal in args.goals:
            seconds = statistics.median(math.inf if math.isnan(s := r["reached"][str(goal)]) else s for r in runs)
            base.setdefault(goal, seconds)
            line += f"{seconds:>10.2f}{seconds / base[goal]:>7.2f}"
        print(line + f"{statistics.median(r['steps'] for r in runs):>8g}")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
