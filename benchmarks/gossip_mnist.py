"""Gossip on a part of MNIST: how fast a small network of peers learns, as others have been measured.

    NERVENET_DATA=… python benchmarks/gossip_mnist.py [--repeats 3]

An MLP 784-256-128-10, 12,000 training rows in all, Adam at 1e-3, batches of 64, three rounds of one epoch, a process
for each peer. Four peers on a complete graph: seconds from the start of the first training to the last mix, beside
the training alone of as many rows in bare processes, as many at a time as there are peers (the floor of the same
run). Eight peers on a ring: seconds of the whole command. Other systems, measured on another day on two cores: 0.66
to 0.80 s and 27 s; 10.9 s and 59 s.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import numpy as np
from nervenet.models.data.splits import split
from nervenet.models.datasets import load
from nervenet.models.mlp.mlp import MLP
from nervenet.models.model import LocalWork

ROWS, TEST, PEERS, ROUNDS = 12_000, 3_000, 4, 3
HIDDEN = (256, 128)
LAUNCH = [sys.executable, "-m", "nervenet.scripts.main", "launch", "--mode", "gossip", "--json"]
OPTIONS = ["--hidden", "256,128", "--rounds", str(ROUNDS), "--epochs", "1", "--batch-size", "64"]
OPTIONS += ["--learning-rate", "0.001", "--set", "training.optimizer=adam", "--set", "data.scale=none"]
OPTIONS += ["--set", "evaluation.baseline=false", "--set", f"evaluation.every={ROUNDS}"]


def excerpt(folder: Path) -> Path:
    """A file with a random part of MNIST, pixels in [0, 1]."""
    data = load("mnist")
    chosen = np.random.default_rng(0).permutation(len(data.y))[: ROWS + TEST]
    path = folder / "mnist.npz"
    np.savez(path, X=data.X[chosen], y=data.y[chosen])
    return path


def launched(data: Path, folder: Path, nodes: int, topology: str) -> tuple[float, float, float]:
    """Seconds of the command, seconds from the first training to the last mix, and the mean accuracy."""
    test = f"data.test_size={TEST / (ROWS + TEST)}"
    words = ["--data", str(data), "--nodes", str(nodes), "--topology", topology, "--out", str(folder), "--set", test]
    start = time.perf_counter()
    done = subprocess.run([*LAUNCH, *OPTIONS, *words], capture_output=True, text=True, check=True)
    whole = time.perf_counter() - start
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    begun = min(x["time"] for x in events if x["type"] == "round.started" and x["round"] == 1)
    mixed = max(x["time"] for x in events if x["type"] == "round.completed" and x["round"] == ROUNDS)
    return whole, mixed - begun, json.loads((folder / "summary.json").read_text())["accuracy"]


def alone(data: Path, share: int) -> None:
    """Train one peer's rows, and print when that began and ended."""
    _, rest = None, split(load(str(data)), test_size=TEST / (ROWS + TEST))[0]
    model = MLP(HIDDEN, optimizer="adam", learning_rate=1e-3)
    X = np.ascontiguousarray(rest.X[share::PEERS], np.float32)
    classes, y = np.unique(rest.y[share::PEERS], return_inverse=True)
    model.build(X.shape[1], len(classes), np.random.default_rng(0))
    print("ready", flush=True)
    sys.stdin.readline()
    begun = time.time()
    for number in range(ROUNDS):
        model.fit(X, y, LocalWork(1, None, 64, True), np.random.default_rng(number), lambda: False)
    print(json.dumps([begun, time.time()]), flush=True)


def floor(data: Path) -> float:
    """Seconds in which bare processes do the training of all peers, side by side."""
    words = [sys.executable, __file__, "--alone", str(data)]
    pipe = subprocess.PIPE
    children = [subprocess.Popen([*words, "--share", str(i)], stdin=pipe, stdout=pipe, text=True) for i in range(PEERS)]
    for child in children:
        child.stdout.readline()
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    times = [json.loads(child.communicate()[0]) for child in children]
    return max(end for _, end in times) - min(start for start, _ in times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--alone", type=Path)
    parser.add_argument("--share", type=int, default=0)
    options = parser.parse_args()
    if options.alone:
        alone(options.alone, options.share)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = excerpt(folder)
        floors, fours, eights = [], [], []
        for repeat in range(options.repeats):
            floors.append(floor(data))
            fours.append(launched(data, folder / f"four-{repeat}", 4, "complete"))
            eights.append(launched(data, folder / f"eight-{repeat}", 8, "ring"))
    bare = statistics.median(floors)
    learning = statistics.median(four[1] for four in fours)
    print(f"{os.cpu_count()} cores; medians of {options.repeats}")
    print(
        f"4 peers, complete: first training to last mix {learning:.2f} s, training alone {bare:.2f} s "
        f"(ratio {learning / bare:.2f}; goal 0.45 s), accuracy {min(f[2] for f in fours):.3f} (goal .92), "
        f"whole command {statistics.median(f[0] for f in fours):.2f} s"
    )
    print(
        f"8 peers, ring: whole command {statistics.median(e[0] for e in eights):.2f} s (goal 6 s), "
        f"first training to last mix {statistics.median(e[1] for e in eights):.2f} s, "
        f"accuracy {min(e[2] for e in eights):.3f} (goal .90)"
    )


if __name__ == "__main__":
    main()
