"""A long run with faults: whether memory, descriptors, threads, tasks and the run folder stay as they are.

python benchmarks/soak.py --mode federated|gossip [--rounds 10000] [--nodes 4] [--every 500]

A launch of real processes, all of whose connections go through a relay; every so many rounds a node is stopped for
three seconds, or connections are cut off for one. Samples every process: after a tenth of the rounds, and at the end.
Prints a line a sample and, by process, what it had then and in the end; exit code 1 if resident memory grew by more
than 5%, or descriptors, threads or tasks by more than two, or the events beyond `max_log_bytes`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "faults"))

from processes import FORK_SERVER, LAUNCHER, LaunchedRun, Rounds
from vocabulary import Cut, Stop

GROWTH = 1.05  # of resident memory
MORE = 2  # descriptors, threads or tasks
MAX_LOG_BYTES = 2 * 2**20
LOOK_S = 0.5


@dataclass(frozen=True)
class Sample:
    """What a process had at one moment."""

    resident: int
    own: int  # of that, what it shares with nobody: pages of the fork server belong to all
    descriptors: int
    threads: int
    tasks: int


def sample(names: dict[str, int], tasks: Path) -> dict[str, Sample]:
    """Look at every process."""
    found = {}
    for name, pid in names.items():
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            try:
                count = int(tasks.with_name(f"{tasks.name}.{pid}").read_text() or 0)
            except (OSError, ValueError):
                count = 0
            memory = process.memory_full_info()
            found[name] = Sample(memory.rss, memory.uss, process.num_fds(), process.num_threads(), count)
    return found


async def soak(asked: argparse.Namespace, folder: Path) -> bool:
    """Run it, disturb it, and compare; whether something grew."""
    words = ["--mode", asked.mode, "--nodes", asked.nodes, "--rounds", asked.rounds, "--data", "iris"]
    settings = ("evaluation.baseline=false", f"max_log_bytes={MAX_LOG_BYTES}", "evaluation.every=10")
    words += [word for setting in settings for word in ("--set", setting)]
    tasks = folder / "tasks"
    chance = random.Random(asked.seed)
    faults = 0
    samples: dict[int, dict[str, Sample]] = {}
    async with LaunchedRun(words, folder / "run", asked.slot, environment={"NERVENET_TEST_TASKS": str(tasks)}) as run:
        await run.in_round(1)
        names = {LAUNCHER: run.pid, FORK_SERVER: run.pid_of(FORK_SERVER) or 0, **run.nodes()}
        nodes = [name for name in names if name.startswith(("client", "peer"))]
        rounds, due, began = Rounds(run.folder), asked.every, time.monotonic()
        while run.process.returncode is None:
            number = rounds.look()
            step = asked.rounds // 10
            if number // step * step not in samples and number >= step:
                samples[number // step * step] = found = sample(names, tasks)
                line = {name: f"{one.resident / 2**20:.1f} MB" for name, one in found.items()}
                print(f"round {number} after {time.monotonic() - began:.0f} s, {faults} faults: {line}", flush=True)
            if number >= due and number < asked.rounds - asked.every // 2:
                due = number + asked.every
                victim, faults = chance.choice(nodes), faults + 1
                kind = chance.randrange(3)
                fault = Stop(victim, 0.0, 3.0) if kind == 0 else Cut(frozenset({victim}), 0.0, 1.0, kind == 1)
                await run.perform(fault)
            await asyncio.sleep(LOOK_S)
            # Not the very end: nodes report then, and the launcher takes their rounds.
            latest = sample(names, tasks) if 0.9 < number / asked.rounds < 0.98 else {}
            if len(latest) == len(names):
                samples[asked.rounds] = latest
        code = run.process.returncode
        size = sum(file.stat().st_size for file in run.folder.glob("events*.jsonl"))
        logs = sum(file.stat().st_size for file in run.folder.glob("nodes*.log"))
        summary = json.loads((run.folder / "summary.json").read_bytes())
    print(f"exit {code}, {summary['status']}, {summary['completed_rounds']} rounds, {faults} faults")
    print(f"events {size / 2**20:.2f} MB of {MAX_LOG_BYTES / 2**20:.0f}, logs {logs / 2**20:.2f} MB")
    first, last = samples[min(samples)], samples[max(samples)]
    grew = size > 1.1 * MAX_LOG_BYTES or code != 0
    memory = f"{'MB then':>8} {'now':>8} {'ratio':>6} {'own then':>8} {'now':>8}"
    print(f"{'process':12} {memory}  {'files':>10} {'threads':>9} {'tasks':>9}")
    for name, then in first.items():
        now = last.get(name, then)
        ratio = now.resident / then.resident
        counts = ((then.descriptors, now.descriptors), (then.threads, now.threads), (then.tasks, now.tasks))
        bad = ratio > GROWTH or any(after > before + MORE for before, after in counts)
        grew |= bad
        figures = " ".join(f"{before:>5} {after:>4}" for before, after in counts)
        own = f"{then.own / 2**20:8.1f} {now.own / 2**20:8.1f}"
        mark = "  GREW" if bad else ""
        print(f"{name:12} {then.resident / 2**20:8.1f} {now.resident / 2**20:8.1f} {ratio:6.3f} {own}  {figures}{mark}")
    together = [sum(one.own for one in found.values()) / 2**20 for found in (first, last)]
    print(f"own, together {together[0]:.1f} -> {together[1]:.1f} MB: {together[1] / together[0]:.3f}")
    return grew


def main() -> int:
    """Soak; 1 if something grew."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--mode", choices=["federated", "gossip"], default="federated")
    parser.add_argument("--rounds", type=int, default=10_000)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--every", type=int, default=500, help="rounds from one fault to the next")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--slot", type=int, default=240, help="the loopback network 127.SLOT")
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        return int(asyncio.run(soak(parser.parse_args(), Path(folder))))


if __name__ == "__main__":
    sys.exit(main())
