"""How long a launch takes, from the shell's point of view, and what its processes weigh.

    python benchmarks/launch.py [--repeats 5]

Prints: the default launch (8 nodes, digits, 20 rounds), whole command and start-up to the first round; the time from a
launcher's start to the last of 64 readiness messages, set beside the start of 64 bare interpreters that import numpy,
two at a time; and the memory (PSS, Linux) of a launched node process and of a stand-alone one.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

NERVENET = [sys.executable, "-m", "nervenet.scripts.main"]


def default_launch() -> tuple[float, float]:
    """Seconds of the whole command, and to the first round.started on its output."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        first = float("nan")
        command = [*NERVENET, "launch", "--json", "--out", f"{folder}/run"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            for line in process.stdout:
                if first != first and '"round.started"' in line:
                    first = time.perf_counter() - start
        return time.perf_counter() - start, first


def ready(nodes: int) -> tuple[float, list[int]]:
    """Seconds until the last of `nodes` was ready, and the PSS of each node process at the end of its first rounds
    (kB).
    """
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        options = ["--nodes", str(nodes), "--rounds", "1000", "--out", f"{folder}/run", "--quiet"]
        options += ["--set", "evaluation.baseline=false"]
        process = subprocess.Popen(
            [*NERVENET, "launch", *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        path = Path(folder, "run", "nodes.json")
        while not path.exists():
            if process.poll() is not None or time.perf_counter() - start > 60:
                raise SystemExit("the launch ended before its nodes were ready")
            time.sleep(0.002)
        taken = time.perf_counter() - start
        time.sleep(2.0)
        found = [pss(n["pid"]) for n in json.loads(path.read_text()).values() if n["role"] in ("client", "peer")]
        os.killpg(process.pid, signal.SIGINT)
        process.wait(20)
    return taken, found


def bare_interpreters(count: int) -> float:
    """Seconds to start `count` interpreters that import numpy, as many at a time as there are cores."""
    start = time.perf_counter()
    gate = threading.Semaphore(os.cpu_count() or 1)

    def one() -> None:
        with gate:
            subprocess.run([sys.executable, "-c", "import numpy"], check=True)

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - start


def standalone() -> int:
    """PSS (kB) of a `nervenet node peer` that has joined and waits for a second one."""
    broker = subprocess.Popen(
        [*NERVENET, "broker", "--bind", "tcp://127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    address = next(word for word in broker.stdout.readline().split() if word.startswith("tcp://"))
    options = ["--nodes", "2", "--data", "digits", "--rounds", "100000"]
    peers = [
        subprocess.Popen(
            [*NERVENET, "node", "peer", "--broker", address, "--run", "weigh", "--name", name, *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for name in ("a", "b")
    ]
    time.sleep(5)
    try:
        return max(pss(peer.pid) for peer in peers)
    finally:
        for process in (*peers, broker):
            process.terminate()
            process.wait(10)


def pss(pid: int) -> int:
    """Proportional set size of a process, in kB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise SystemExit("PSS is measured on Linux only")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    runs = [default_launch() for _ in range(args.repeats)]
    print(f"default launch, median of {args.repeats}:")
    print(f"  whole command          {statistics.median(r[0] for r in runs):6.2f} s   (goal 6)")
    print(f"  to the first round     {statistics.median(r[1] for r in runs):6.2f} s   (goal 3)")
    many = [ready(64) for _ in range(max(1, args.repeats // 2))]
    floor = bare_interpreters(64)
    fastest = statistics.median(m[0] for m in many)
    print(f"64 node processes ready  {fastest:6.2f} s   (goal 2; 64 bare interpreters with numpy: {floor:.2f} s)")
    weights = many[0][1]
    print(f"PSS a launched node      {statistics.median(weights) / 1024:6.1f} MB  (64 of them, goal 20)")
    print(f"PSS a launched node      {statistics.median(ready(8)[1]) / 1024:6.1f} MB  (8 of them, goal 20)")
    print(f"PSS a stand-alone node   {standalone() / 1024:6.1f} MB  (goal 60)")


if __name__ == "__main__":
    main()
