"""A launch on a Dask cluster of two workers against a plain launch of the same run; and a worker killed in the middle.

    python benchmarks/on_dask.py [--repeats N] [--rounds N] [--mode federated|gossip]

Both run in this process one after the other, in turns: 8 nodes in two processes, digits. The figures are seconds from
the first round to the end, and seconds before it, of which a cluster of its own takes most. The last run kills a worker
when a quarter of the rounds is done, and prints when its nodes were back.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from distributed import LocalCluster
from nervenet.nodes import Experiment, launch, load_experiment

GOAL = 1.2


async def timed(experiment: Experiment, folder: Path, on: object | None = None, **keys: Any) -> tuple[float, float]:
    """Return the seconds of the rounds, and those before them."""
    result = await launch(experiment, out=folder, on=on, progress=False, **keys)
    assert result["status"] == "completed"
    return result["wall_s"] - result["startup_s"], result["startup_s"]


async def compare(experiment: Experiment, repeats: int, folder: Path) -> None:
    plain, placed = [], []
    async with LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0", asynchronous=True
    ) as cluster:
        for number in range(repeats):
            plain.append(await timed(experiment, folder / f"plain-{number}"))
            placed.append(await timed(experiment, folder / f"dask-{number}", cluster))
        for name, figures in (("plain launch", plain), ("on 2 Dask workers", placed)):
            rounds, before = (statistics.median(column) for column in zip(*figures, strict=True))
            print(f"{name:20} rounds {rounds:6.3f} s   before the first {before:6.3f} s   (medians of {repeats})")
        ratio = statistics.median(a[0] / b[0] for a, b in zip(placed, plain, strict=True))
        print(f"{'after start-up':20} {ratio:.2f} times the plain launch (goal {GOAL})")
        await kill_a_worker(experiment, cluster, folder / "killed")


async def kill_a_worker(experiment: Experiment, cluster: Any, folder: Path) -> None:
    """Kill one of the two workers, whose nanny starts another: the nodes go to whichever takes them first."""
    happened: dict[str, float] = {}
    back: set[str] = set()

    def on_event(event: dict[str, Any]) -> None:
        now, reason = time.perf_counter(), str(event.get("reason"))
        if event["type"] == "round.completed" and event["round"] >= experiment.rounds // 4 and "killed" not in happened:
            happened["killed"] = now
            os.kill(next(iter(cluster.workers.values())).process.pid, signal.SIGKILL)
        elif event["type"] == "node.joined" and "killed" in happened:
            happened["back"] = now
            back.add(event["node"])
        elif "started again at worker" in reason:
            happened.setdefault("placed", now)

    result = await launch(experiment, out=folder, on=cluster, progress=False, on_event=on_event)
    after = {name: f"{happened[name] - happened['killed']:.2f} s" for name in ("placed", "back") if name in happened}
    print(
        f"a worker killed: {result['status']}, {result['completed_rounds']} of {experiment.rounds} rounds, "
        f"lost {len(result['nodes_lost'])}; {len(back)} nodes back (placed after {after.get('placed')}, the last one "
        f"joined after {after.get('back')})"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--mode", default="federated")
    asked = parser.parse_args()
    settings: dict[str, Any] = {
        "mode": asked.mode,
        "rounds": asked.rounds,
        "processes": 2,
        "evaluation.baseline": False,
    }
    if asked.mode == "federated":
        settings["federated.min_clients"] = 8  # so that the run waits for those that were killed
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(compare(load_experiment(None, settings), asked.repeats, Path(folder)))


if __name__ == "__main__":
    main()
