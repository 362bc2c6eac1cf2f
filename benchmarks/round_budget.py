"""Where the time of one federated round goes: processor time, context switches and system calls, thread by thread.

The round is that of `federated_round.py`: deployed nodes around a model whose training does nothing. Each node notes
what the kernel has counted for its threads when the rounds that warm it up are over, and again at the end; the
processes of both floors do the same, in the same run. Counts are of the kernel and cost the round nothing. System calls
are counted in a run of its own (`--calls`), since strace slows down what it counts. `--parts` has the loops of the
coordinator and of one client profiled, by function, which doubles what they take and shows where to look.

    python benchmarks/round_budget.py [--parameters 5000] [--clients 8] [--rounds 300] [--calls] [--parts]
"""

from __future__ import annotations

import argparse
import cProfile
import io
import os
import pstats
import signal
import subprocess
import tempfile
import threading
import time
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import federated_round as bench
from bare_loop import loop

Counts = dict[str, list[float]]
"""By thread: processor time in microseconds, switches that it asked for (it waited), and those that it did not."""


def counts_of(pid: int) -> Counts:
    """What the kernel has counted so far for each thread of a process."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()} if pid == os.getpid() else {}
    found: Counts = defaultdict(lambda: [0.0, 0.0, 0.0])
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            name = (task / "comm").read_text().strip()
            spent = int((task / "schedstat").read_text().split()[0]) / 1e3
            status = (task / "status").read_text()
        except OSError:  # it has ended
            continue
        switches = [int(line.split()[1]) for line in status.splitlines() if "ctxt_switches" in line]
        if not name.startswith("ZMQ"):
            name = "loop" if int(task.name) == pid else names.get(int(task.name), name).partition(" ")[0]
        found[name] = [before + now for before, now in zip(found[name], (spent, *switches), strict=True)]
    return dict(found)


class Watch:
    """Notes the counts of a process between two rounds; `also` names another process to be noted with it."""

    def __init__(self, also: int = 0, *, parts: bool = False, calls: bool = False) -> None:
        self.pids = {"self": os.getpid()} | ({"broker": also} if also else {})
        self.profile = cProfile.Profile() if parts else None
        self.calls = Path(tempfile.mkstemp()[1]) if calls else None

    def begin(self) -> None:
        if self.calls is not None:
            command = ["strace", "-c", "-f", "-U", "name,calls", "-o", str(self.calls), "-p", str(os.getpid())]
            self.tracer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            until = time.monotonic() + 5.0
            while "TracerPid:\t0" in Path("/proc/self/status").read_text() and time.monotonic() < until:
                time.sleep(0.01)
        self.before = {who: counts_of(pid) for who, pid in self.pids.items()}
        if self.profile is not None:
            self.profile.enable()

    def end(self, rounds: int) -> dict[str, Any]:
        """Return the counts a round since `begin`, by process and thread, with the functions and system calls."""
        found: dict[str, Any] = {}
        if self.profile is not None:
            self.profile.disable()
            text = io.StringIO()
            pstats.Stats(self.profile, stream=text).strip_dirs().sort_stats("tottime").print_stats(45)
            found["profile"] = text.getvalue()
        for who, pid in self.pids.items():
            before = self.before[who]
            found[who] = {
                name: [(b - a) / rounds for a, b in zip(before.get(name, (0, 0, 0)), now, strict=True)]
                for name, now in counts_of(pid).items()
            }
        if self.calls is not None:
            self.tracer.send_signal(signal.SIGINT)
            self.tracer.wait(10)
            lines = [line.split() for line in self.calls.read_text().splitlines()]
            found["calls"] = {line[0]: int(line[1]) / rounds for line in lines if len(line) == 2 and line[1].isdigit()}
            self.calls.unlink()
        return found


def merged(found: list[Counts]) -> Counts:
    """The mean over processes, by thread."""
    names = sorted({name for counts in found for name in counts})
    return {name: [sum(c.get(name, [0, 0, 0])[i] for c in found) / len(found) for i in range(3)] for name in names}


def shown(who: str, times: int, counts: Counts) -> float:
    """Print the threads of a process, and return the processor time of all such processes."""
    total = sum(cpu for cpu, _, _ in counts.values())
    print(f"{who:<14} {times:>2} x {total:>7.0f} us a round")
    for name, (cpu, waits, taken) in sorted(counts.items(), key=lambda each: -each[1][0]):
        if cpu >= 0.5 or waits >= 0.05:
            print(f"    {name:<22} {cpu:>7.0f} us {waits:>8.1f} waits {taken:>6.1f} preempted")
    return times * total


def report(kind: str, median_s: float, found: dict[str, Any]) -> None:
    clients = [name for name in found if name.startswith("client")]
    print(f"\n{kind}: {median_s * 1e3:.2f} ms a round")
    total = shown("coordinator", 1, found["coordinator"]["self"])
    total += shown("client", len(clients), merged([found[name]["self"] for name in clients]))
    if "broker" in found["coordinator"]:
        total += shown("broker", 1, found["coordinator"]["broker"])
    print(f"all together {total / 1e3:.2f} ms of processor time a round")
    for name in ("coordinator", "client-0"):
        if "calls" in found[name]:
            calls = found[name]["calls"]
            by_count = sorted(((count, call) for call, count in calls.items() if call != "total"), reverse=True)
            shares = ", ".join(f"{call} {count:.1f}" for count, call in by_count[:9])
            print(f"{name}: {sum(count for count, _ in by_count):.1f} system calls a round: {shares}")
        if "profile" in found[name]:
            print(f"\n{name}, by function, in all rounds\n{found[name]['profile']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parameters", type=int, default=5_000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--calls", action="store_true", help="count system calls, in a run of their own")
    parser.add_argument("--parts", action="store_true", help="profile the loops of the coordinator and of a client")
    args = parser.parse_args()
    size, clients, rounds = args.parameters, args.clients, args.rounds
    print(f"{clients} client processes x {size:,} parameters, {rounds} rounds, {os.cpu_count()} cores")
    measurements = (("floor, bare pyzmq", bench.floor), ("event loops alone", loop), ("nervenet", bench.ours))
    for kind, measured in measurements:
        found: dict[str, Any] = {}
        report(kind, measured(size, clients, rounds, bench.Budget(Watch, found)), found)
    for option in ("calls", "parts"):
        if getattr(args, option):
            found = {}
            budget = bench.Budget(partial(Watch, **{option: True}), found)
            report(f"nervenet, {option}", bench.ours(size, clients, rounds, budget), found)


if __name__ == "__main__":
    main()
