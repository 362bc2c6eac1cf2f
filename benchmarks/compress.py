"""How fast and how well vectors shrink: each codec on one core, beside np.copyto of the same vector in the same run.

The vector is what a difference of weights looks like: normal numbers whose spread changes from layer to layer, with a
few rows of exact zeros as dead units leave them. Speeds are in bytes of the uncompressed vector; best of several runs.

    python benchmarks/compress.py [--size 10000000] [--dtype float32]
"""

import os

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse
import sys
import time
from collections.abc import Callable

import numpy as np
from nervenet.models import generator
from nervenet.models.compress import parse

SPECS = (
    "delta",
    "delta+float16",
    "delta+bfloat16",
    "delta+int8",
    "delta+int4",
    "delta+top-k:0.1",
    "delta+top-k:0.1+int8",
    "delta+top-k:0.01",
    "delta+top-k:0.01+int8",
    "delta+deflate",
    "delta+float16+deflate",
    "delta+int8+deflate",
    "delta+int4+deflate",
    "delta+top-k:0.01+int8+deflate",
)
GOALS = {"delta+int8": 0.5}  # GB/s, encode and decode, for a vector that no cache holds
GOAL_SIZE = 10_000_000


def best(run: Callable[[], object], seconds: float = 1.0, repeats: int = 9) -> float:
    """Seconds of the best of up to `repeats` runs; a slow one is not repeated for ever."""
    found, begun = float("inf"), time.perf_counter()
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        found = min(found, time.perf_counter() - start)
        if time.perf_counter() - begun > seconds:
            break
    return found


def difference(size: int, dtype: str) -> np.ndarray:
    """A vector like the difference that a few epochs make."""
    rng = generator(0, "difference")
    vector = rng.standard_normal(size, dtype=np.float32).astype(dtype)
    layers = np.array_split(vector, 4)
    for layer, spread in zip(layers, (3e-3, 1e-3, 1e-2, 3e-4), strict=True):
        layer *= spread
        layer[: layer.size // 50] = 0
    return vector


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=10_000_000)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    args = parser.parse_args()
    vector = difference(args.size, args.dtype)
    copy = np.empty_like(vector)
    floor = best(lambda: np.copyto(copy, vector))
    norm = float(np.linalg.norm(vector))
    print(f"{args.size:,} {args.dtype}, one core; the floor, np.copyto: {vector.nbytes / floor / 1e9:.1f} GB/s")
    print(f"{'codec':30} {'bytes':>11} {'share':>7} {'encode GB/s':>11} {'decode GB/s':>11}  x floor  rel. error")
    short = 0
    for spec in SPECS:
        codec = parse(spec)
        frame = codec.encode(vector, generator(0, "rounding"))
        decoded = codec.decode(frame, vector.size, vector.dtype)
        error = float(np.linalg.norm(decoded - vector)) / norm
        encode = best(lambda codec=codec: codec.encode(vector, generator(0, "rounding")))
        decode = best(lambda codec=codec, frame=frame: codec.decode(frame, vector.size, vector.dtype))
        speeds = [vector.nbytes / seconds / 1e9 for seconds in (encode, decode)]
        goal = GOALS.get(spec) if args.size >= GOAL_SIZE else None
        verdict = "" if goal is None else f"  >= {goal} GB/s: {'holds' if min(speeds) >= goal else 'FALLS SHORT'}"
        short += "FALLS" in verdict
        print(
            f"{spec:30} {frame.size:>11,} {frame.size / vector.nbytes:>7.4f} {speeds[0]:>11.2f} {speeds[1]:>11.2f}"
            f" {encode / floor:>4.0f} {decode / floor:>4.0f} {error:>10.2e}{verdict}"
        )
        sys.stdout.flush()
    return int(short > 0)


if __name__ == "__main__":
    sys.exit(main())
