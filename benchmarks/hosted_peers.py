"""Many nodes in a few processes: how soon they begin, how fast they are, and in how much memory and how many files.

The launcher's own command is run, and its processes are watched from outside (/proc, so on Linux only). `own MB` is the
memory that is a process's alone (private pages), by node; `files` the open files of all processes that host nodes. The
floor beside it is that of the machine: what one process takes that only imports what a node imports, and how long.

    python benchmarks/hosted_peers.py [--nodes 256] [--processes 4] [--rounds 10] [--topologies ring random-regular]
    python benchmarks/hosted_peers.py --nodes 500 --data synthetic --topologies ring
    python benchmarks/hosted_peers.py --mode federated --nodes 1000 --data synthetic --participation 0.1

2026-11, 2 cores of a shared machine, ahead of the other work on it, floor .41 s: 256 peers, 10 rounds: ring begun after
4.1 s, .17 s a round; random-regular (degree 4) 3.5 s, .42 s; 1.8 MB of its own a peer, 1,740 to 1,770 files, no false
alarm (before they shared an inbox and met by a tree: 17 to 23 s, 1.1 s, 11,068 files). 500 peers on a ring: begun after
11.7 to 13.6 s, 2.9 MB, 3,212 files (187 s, 11,052 files). Since a process reads a roster once, and small shares of rows
without a map: 2.3 MB and 2,208 files, where it had been 2.5 MB and 2,703 on the same busy machine; 53 s of
processor time in place of 63 s.

2026-11, alone on that machine at normal priority, in a slow phase of it (floor .44 s), before and since they hold
an answer once, share threads and sockets of events, and wait as long as long ways take: 256 peers, ring: begun after
14.2 and 6.6 s, .31 and .14 s a round, 1.6 and .84 MB, 1,222 and 841 files, 5 to 11 false alarms and none;
random-regular: 6.4 and 3.9 s, 1.5 and .73 s, 1.6 and 1.0 MB, 1,271 and 880 files. 500 peers on a ring: 36.7 and
24.8 s, .38 and .30 s, 2.4 and 1.2 MB, 2,209 and 1,466 files. 1,000 clients of whom
100 take part in a round: begun after 3.9 s, .12 s a round.

Since rings meet by a tree with links of its own, on the same machine: ring begun after 1.5 s, .31 to .34 s a round,
7.4 to 7.7 s in all; random-regular 2.8 to 3.6 s, .62 to .81 s. 500 peers on a ring: 3.9 s, 1.3 s a round, 21 s in
all, 1,464 files. With default settings and 30 rounds, five runs of 256 on a ring: begun after 1.3 to 1.8 s, .26 s a
round, no false alarm (before: 10 to 11.4 s and 4 to 17).

Since neighbors of a drawn graph share a process, and peers of a full one report and write less often and hold test set,
graph and members once, on the same machine with much other work on it, three pairs of runs in turns, before and since:
random-regular .73 to .83 and .53 to .67 s a round, 930 to 1,030 and 740 to 900 ms of processor time of the hosts, begun
after 4.3 to 4.9 and 2.8 to 3.3 s, 1.0 and .84 MB, no false alarm; ring .90 and .75 MB.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIMIT_S = 600.0


FLOOR = "import time; t = time.perf_counter(); import nervenet.nodes.roles.peer, nervenet.models.mlp; print(t)"


@dataclass
class Watched:
    """The most that was seen of one process."""

    own_mb: float = 0.0
    resident_mb: float = 0.0
    files: int = 0

    def look(self, pid: int) -> None:
        """Look at a process, if it is still there."""
        with suppress(OSError, ValueError):
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            sizes = {line.split(":")[0]: int(line.split()[1]) / 1000 for line in rollup.splitlines()[1:]}
            own = sizes["Private_Clean"] + sizes["Private_Dirty"]
            self.own_mb, self.resident_mb = max(self.own_mb, own), max(self.resident_mb, sizes["Rss"])
            self.files = max(self.files, len(list(Path(f"/proc/{pid}/fd").iterdir())))


def measure(topology: str, options: argparse.Namespace) -> bool:
    """Run once, and print a line."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        settings = {
            "evaluation.baseline": "false",
            "network.join_deadline_s": options.join_s,
            f"{options.mode}.deadline_s": 120,
        } | ({"gossip.degree": 4} if topology == "random-regular" else {})
        command = [sys.executable, "-m", "nervenet.scripts.main", "launch", "--mode", options.mode]
        command += ["--data", options.data, "--nodes", options.nodes, "--processes", options.processes]
        command += ["--rounds", options.rounds, "--out", out, "--quiet"]
        more = ["--topology", topology] if options.mode == "gossip" else ["--participation", options.participation]
        command += [*more, *(word for key, value in settings.items() for word in ("--set", f"{key}={value}"))]
        began = time.monotonic()
        running = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        seen: dict[int, Watched] = {}
        while running.poll() is None and time.monotonic() < began + LIMIT_S:
            for pid in hosts(out):
                seen.setdefault(pid, Watched()).look(pid)
            time.sleep(0.25)
        running.kill()
        _, said = running.communicate()
        wall_s = time.monotonic() - began
        if running.returncode:
            print(f"{topology:16} failed after {wall_s:.0f} s: {said.decode().strip()[-300:]}", flush=True)
            return False
        summary = json.loads((out / "summary.json").read_text())
        log = (out / "events.jsonl").read_text()
        events = [json.loads(line) for line in log.splitlines()]
    alarms = sum(event["type"] in ("node.suspect", "node.lost") for event in events)
    own = sum(each.own_mb for each in seen.values()) / options.nodes
    files = sum(each.files for each in seen.values())
    print(
        f"{topology:16} {summary['completed_rounds']:6d} {wall_s:7.1f} {begun(events):8.1f} "
        f"{summary['round_s_median']:10.3f} {own:7.2f} {max((e.resident_mb for e in seen.values()), default=0):7.0f} "
        f"{files:6d} {len(log) / options.rounds / 1000:8.1f} {alarms:7d} {summary['accuracy']:9.3f}",
        flush=True,
    )
    return bool(summary["completed_rounds"] == options.rounds)


def begun(events: list[dict[str, Any]]) -> float:
    """Return after how many seconds the last node had round 0 behind it."""
    first = [event["time"] for event in events if event["type"] == "round.completed" and event["round"] == 0]
    return float(max(first, default=float("nan")) - events[0]["time"])


def hosts(out: Path) -> set[int]:
    """Return the processes that host peers, as soon as it is known."""
    try:
        nodes = json.loads((out / "nodes.json").read_text())
    except (OSError, ValueError):
        return set()
    return {int(node["pid"]) for node in nodes.values() if node.get("role") in ("peer", "client") and node.get("pid")}


def main() -> int:
    """Print the table; 1 if a run did not do all its rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", choices=["gossip", "federated"], default="gossip")
    parser.add_argument("--nodes", type=int, default=256)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--participation", type=float, default=1.0)
    parser.add_argument("--join-s", type=int, default=180)
    parser.add_argument("--topologies", nargs="+", default=["ring", "random-regular"])
    options = parser.parse_args()
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", FLOOR], check=True, stdout=subprocess.DEVNULL)
    print(f"{options.nodes} nodes in {options.processes} processes, {options.data}, {options.rounds} rounds")
    print(f"floor: {time.perf_counter() - began:.2f} s for one process that imports what a node imports")
    print(
        f"{'topology':16} {'rounds':>6} {'wall s':>7} {'begun s':>8} {'a round s':>10} "
        f"{'own MB':>7} {'most MB':>7} {'files':>6} {'kB/round':>8} {'alarms':>7} {'accuracy':>9}"
    )
    whole = [measure(each, options) for each in (options.topologies if options.mode == "gossip" else ["federated"])]
    return 0 if all(whole) else 1


if __name__ == "__main__":
    raise SystemExit(main())
