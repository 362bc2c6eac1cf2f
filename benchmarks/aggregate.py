"""How fast vectors merge, and in how much memory: averaging, and the rules that bear hostile updates.

Each figure stands beside a floor or a rival of the same run, measured in turns: one pass of np.sum over the same bytes,
which reads every byte once and writes next to nothing; numpy.median and scipy.stats.trim_mean on the stacked array,
which is made beforehand and not counted; one product of that array with its transpose. These run on one core, and so
does BLAS; ours share the blocks of a vector among the cores that there are, and are shown on one core as well, there
also where all vectors count the same. Memory is the peak of what is allocated during the call, the result included.

    python benchmarks/aggregate.py
"""

import os

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import sys
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
from nervenet.models import parallel, robust
from nervenet.models.aggregate import weighted_mean
from scipy.stats import trim_mean

Call = Callable[[], object]
CASES = ((8, 5_000), (8, 200_000), (100, 1_000_000), (8, 10_000_000))
REPEATS = 9


def best_of(*rivals: Call, repeats: int = REPEATS) -> list[float]:
    """Seconds of each one's best run, all taking turns."""
    best = [float("inf")] * len(rivals)
    for _ in range(repeats):
        for i, run in enumerate(rivals):
            start = time.perf_counter()
            run()
            best[i] = min(best[i], time.perf_counter() - start)
    return best


def peak(run: Call) -> int:
    """Bytes allocated at the worst moment of a call."""
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def on_one_core(run: Call) -> Call:
    """The same call where threads never pay."""

    def alone() -> None:
        worth, parallel.WORTH_THREADS = parallel.WORTH_THREADS, sys.maxsize
        try:
            run()
        finally:
            parallel.WORTH_THREADS = worth

    return alone


def normal(count: int, size: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(size, dtype=np.float32) for _ in range(count)]


def read(vectors: list[np.ndarray]) -> None:
    for vector in vectors:
        vector.sum()


def means() -> None:
    print(f"weighted mean of float32 vectors on {parallel.cores()} cores; the floor is np.sum over the same bytes")
    print(
        "   vectors x parameters        mean       floor    mean/floor   on one core   alike, on one"
        "   peak, models   naive/floor"
    )
    for count, size in CASES:
        vectors = normal(count, size)
        weights = [float(n) for n in range(1, count + 1)]
        out = np.empty(size, np.float32)

        def mean(vectors: list[np.ndarray] = vectors, weights: list[float] = weights, out: np.ndarray = out) -> None:
            weighted_mean(vectors, weights, out=out)

        def alike(vectors: list[np.ndarray] = vectors, out: np.ndarray = out) -> None:
            weighted_mean(vectors, [600.0] * len(vectors), out=out)

        def naive(vectors: list[np.ndarray] = vectors, weights: list[float] = weights) -> None:
            sum(vector * weight for vector, weight in zip(vectors, weights, strict=True)) / sum(weights)

        def floor(vectors: list[np.ndarray] = vectors) -> None:
            read(vectors)

        ours, alone, equal, lowest, plain = best_of(mean, on_one_core(mean), on_one_core(alike), floor, naive)
        models = peak(lambda vectors=vectors, weights=weights: weighted_mean(vectors, weights)) / (4 * size)
        print(
            f"   {count:>7} x {size:>10,} {ours * 1e3:>9.3f} ms {lowest * 1e3:>8.3f} ms {ours / lowest:>13.2f}"
            f" {alone / lowest:>13.2f} {equal / lowest:>15.2f} {models:>14.2f} {plain / lowest:>13.2f}"
        )


def versus(name: str, ours: Call, rival_name: str, rival: Call, repeats: int) -> None:
    mine, alone, other = best_of(ours, on_one_core(ours), rival, repeats=repeats)
    memory, rivals = peak(ours), peak(rival)
    print(
        f"   {name:<28} {mine * 1e3:>8.1f} ms   {rival_name:<24} {other * 1e3:>8.1f} ms {mine / other:>8.2f}"
        f" {alone / other:>13.2f} {memory / 1e6:>8.1f} / {rivals / 1e6:.1f} MB"
    )


def by_coordinate(vectors: list[np.ndarray]) -> None:
    stack = np.stack(vectors)
    median, trimmed = "coordinate median, 50 x 1M", "trimmed mean f = 5, 50 x 1M"
    versus(
        median, lambda: robust.coordinate_median(vectors), "numpy.median", lambda: np.median(stack, axis=0), repeats=3
    )
    versus(
        trimmed,
        lambda: robust.trimmed_mean(vectors, 5),
        "scipy.stats.trim_mean",
        lambda: trim_mean(stack, 0.1, axis=0),
        repeats=3,
    )


def by_vector(vectors: list[np.ndarray]) -> None:
    for name, rule in (
        ("geometric median, 3 steps", lambda: robust.geometric_median(vectors, iterations=3)),
        ("centered clipping, 1 step", lambda: robust.centered_clipping(vectors, vectors[0], 1.0)),
    ):
        versus(name, rule, "np.sum over 50 x 1M", lambda: read(vectors), REPEATS)


def by_distance(few: list[np.ndarray]) -> None:
    matrix = np.stack(few)
    for name, rule in (
        ("Krum f = 20, 100 x 200k", lambda: robust.krum(few, 20)),
        ("Multi-Krum f = 20, m = 50", lambda: robust.multi_krum(few, 20, 50)),
        ("Bulyan f = 20, 100 x 200k", lambda: robust.bulyan(few, 20)),
    ):
        versus(name, rule, "product with transpose", lambda: matrix @ matrix.T, REPEATS)


def main() -> int:
    means()
    print("\nrules that bear hostile updates, float32")
    print(f"   {'rule':<28} {'time':>11}   {'rival':<24} {'time':>11} {'ratio':>8} {'on one core':>13}   peak")
    by_coordinate(normal(50, 1_000_000))
    by_vector(normal(50, 1_000_000))
    by_distance(normal(100, 200_000))
    return 0


if __name__ == "__main__":
    sys.exit(main())
