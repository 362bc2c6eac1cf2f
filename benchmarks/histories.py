"""Gossip through many histories drawn from seeds, and whether each keeps every promise.

python benchmarks/histories.py [--seeds 1000] [--first 0] [--processes 2]

Each history is a run by rounds on virtual time, of the deployed machines, through crashes, new lives, stalls,
partitions, latecomers, and a network that loses, doubles and reorders messages; what is drawn and what must hold is in
tests/faults/gossip_drawn.py and gossip_promises.py. Prints the histories that broke a promise, and how many of the
rounds with announced edges had them all go both ways, so that the mean was kept to 1e-12.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from multiprocessing import Pool
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "faults"))

from gossip_drawn import draw
from gossip_histories import Played
from gossip_promises import PROMISES, announced, breaches, kept


def played(seed: int) -> tuple[int, str, list[str], tuple[int, int], int]:
    """Play one: its seed, what it ran, the breaches, the rounds that kept the mean and all rounds, and the lives."""
    history = draw(seed)
    run = Played(history).play()
    rounds = kept(run) if announced(run) and not run.needs.mass else (0, 0)
    return seed, f"{history.algorithm} on {history.topology}", breaches(run), rounds, len(run.incarnations)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    began = time.monotonic()
    ran: Counter[str] = Counter()
    broken: Counter[str] = Counter()
    failed = lives = mutual = rounds = 0
    with Pool(asked.processes) as pool:
        for seed, what, found, (both, all_), count in pool.imap_unordered(
            played, range(asked.first, asked.first + asked.seeds), chunksize=4
        ):
            ran[what] += 1
            lives, mutual, rounds = lives + count, mutual + both, rounds + all_
            broken.update({breach.split(":", 1)[0] for breach in found})
            if found:
                failed += 1
                print(f"seed {seed} ({what}): {len(found)} breaches, first: {found[0]}", flush=True)
    for what, count in sorted(ran.items()):
        print(f"{count:>6} histories of {what}")
    print(f"{asked.seeds - failed:>6} of {asked.seeds} keep all promises; {lives} lives of peers were played")
    for promise in PROMISES:
        print(f"{broken[promise]:>6} break {promise!r}")
    print(f"{mutual:>6} of {rounds} rounds over announced edges have every pair mutual, and keep the sum to 1e-12")
    print(f"{time.monotonic() - began:.0f} s on {asked.processes} processes")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
