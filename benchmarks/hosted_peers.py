"""Many peers in a few processes: whether 256 of them, hosted in 4, learn the digits, how fast and in how much memory.

Each has some six rows; what is measured is everything around the learning. The launcher's own command is run, and
watched from outside (/proc, so on Linux only): the largest resident size of each process that hosts peers.

    python benchmarks/hosted_peers.py [--peers 256] [--processes 4] [--rounds 10] [--topologies ring random-regular]

2026-11, 2 cores of a shared machine that was busy with other work, 256 peers in 4 processes, 10 rounds of 5 epochs:
ring 36.6 s in all, begun after 23.1 s, 0.46 s a round, 290 MB a process, no false alarm; random-regular (degree 4)
53.2 s, begun after 30.6 s, 0.99 s a round, 368 MB, 708 false alarms.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT_S = 600.0


def peak_mb(pid: int) -> float:
    """Return the largest resident size that a process has had, in MB; 0 where it has gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1000 for line in lines if line.startswith("VmHWM")), 0.0)


def measure(topology: str, options: argparse.Namespace) -> bool:
    """Run once, and print a line."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        settings = {
            "evaluation.baseline": "false",
            "network.join_deadline_s": options.join_s,
            "gossip.deadline_s": 120,
        } | ({"gossip.degree": 4} if topology == "random-regular" else {})
        command = [sys.executable, "-m", "nervenet.scripts.main", "launch", "--mode", "gossip", "--data", "digits"]
        command += ["--nodes", options.peers, "--processes", options.processes, "--rounds", options.rounds]
        command += ["--topology", topology, "--out", out, "--quiet"]
        command += [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        began = time.monotonic()
        running = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        peaks: dict[int, float] = {}
        while running.poll() is None and time.monotonic() < began + LIMIT_S:
            for pid in hosts(out):
                peaks[pid] = max(peaks.get(pid, 0.0), peak_mb(pid))
            time.sleep(0.1)
        running.kill()
        _, said = running.communicate()
        wall_s = time.monotonic() - began
        if running.returncode:
            print(f"{topology:16} failed after {wall_s:.0f} s: {said.decode().strip()[-300:]}", flush=True)
            return False
        summary = json.loads((out / "summary.json").read_text())
        events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
        done: dict[int, list[float]] = {}
        for event in events:
            if event["type"] == "round.completed":
                done.setdefault(event["round"], []).append(event["time"])
        first, last = max(done[0]), max(done[options.rounds])
        alarms = sum(event["type"] in ("node.suspect", "node.lost") for event in events)
    print(
        f"{topology:16} {summary['completed_rounds']:6d} {wall_s:7.1f} {first - events[0]['time']:8.1f} "
        f"{(last - first) / options.rounds:10.2f} {statistics.fmean(peaks.values()):9.0f} {max(peaks.values()):8.0f} "
        f"{alarms:7d} {summary['accuracy']:9.3f}",
        flush=True,
    )
    return bool(summary["completed_rounds"] == options.rounds)


def hosts(out: Path) -> set[int]:
    """Return the processes that host peers, as soon as it is known."""
    try:
        nodes = json.loads((out / "nodes.json").read_text())
    except (OSError, ValueError):
        return set()
    return {int(node["pid"]) for node in nodes.values() if node.get("role") == "peer" and node.get("pid")}


def main() -> int:
    """Print the table; 1 if a run did not do all its rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=int, default=256)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--join-s", type=int, default=180)
    parser.add_argument("--topologies", nargs="+", default=["ring", "random-regular"])
    options = parser.parse_args()
    print(f"{options.peers} peers in {options.processes} processes, digits, {options.rounds} rounds")
    print(
        f"{'topology':16} {'rounds':>6} {'wall s':>7} {'begun s':>8} {'a round s':>10} "
        f"{'mean MB':>9} {'most MB':>8} {'alarms':>7} {'accuracy':>9}"
    )
    whole = [measure(topology, options) for topology in options.topologies]
    return 0 if all(whole) else 1


if __name__ == "__main__":
    raise SystemExit(main())
