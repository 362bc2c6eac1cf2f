"""How fast vectors merge: the weighted mean of federated averaging against one pass of np.sum over the same bytes.

np.sum reads every byte once and writes next to nothing: the floor for anything that has to see all of them.

    python benchmarks/aggregate.py
"""

import os

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import sys
import time
from collections.abc import Callable

import numpy as np
from nervenet.models import weighted_mean

CASES = ((8, 5_000), (8, 200_000), (100, 1_000_000), (8, 10_000_000))
REPEATS = 7


def best_of(*rivals: Callable[[], object]) -> list[float]:
    """Seconds of each one's best run, all taking turns."""
    best = [float("inf")] * len(rivals)
    for _ in range(REPEATS):
        for i, run in enumerate(rivals):
            start = time.perf_counter()
            run()
            best[i] = min(best[i], time.perf_counter() - start)
    return best


def main() -> int:
    rng = np.random.default_rng(0)
    print("weighted mean of float32 vectors, one thread; the floor is np.sum over the same bytes")
    print("   vectors x parameters        mean       floor    mean/floor      GB/s   naive/floor")
    for count, size in CASES:
        vectors = [rng.random(size, dtype=np.float32) for _ in range(count)]
        weights = [float(n) for n in range(1, count + 1)]
        out = np.empty(size, np.float32)

        def floor(vectors: list[np.ndarray] = vectors) -> None:
            for vector in vectors:
                vector.sum()

        def mean(vectors: list[np.ndarray] = vectors, weights: list[float] = weights, out: np.ndarray = out) -> None:
            weighted_mean(vectors, weights, out=out)

        def naive(vectors: list[np.ndarray] = vectors, weights: list[float] = weights) -> None:
            sum(vector * weight for vector, weight in zip(vectors, weights, strict=True)) / sum(weights)

        ours, lowest, plain = best_of(mean, floor, naive)
        speed = count * size * 4 / ours / 1e9
        print(
            f"   {count:>7} x {size:>10,} {ours * 1e3:>9.2f} ms {lowest * 1e3:>8.2f} ms"
            f" {ours / lowest:>13.2f} {speed:>9.1f} {plain / lowest:>13.2f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
