"""What FederatedClassifier costs beside the training itself: digits, 10 clients, in memory.

The floor is the same number of `partial_fit` calls of the bare estimator, on as many rows, in the same run and process.
Processor time, the least of several turns, so that other programs on the machine count for little.

    python benchmarks/estimators.py [--rounds 20] [--turns 5]
"""

from __future__ import annotations

import os

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from nervenet.nodes import FederatedClassifier
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier

CLIENTS, EPOCHS = 10, 5
REACH = 1.15


def calls_of(fit: Callable[[], Any]) -> list[int]:
    """Return how many rows each `partial_fit` of a fit has, but for those that only make arrays."""
    rows: list[int] = []
    own = SGDClassifier.partial_fit

    def counted(self: Any, X: Any, y: Any, **given: Any) -> Any:
        if len(X) > 1:
            rows.append(len(X))
        return own(self, X, y, **given)

    SGDClassifier.partial_fit = counted
    try:
        fit()
    finally:
        SGDClassifier.partial_fit = own
    return rows


def seconds(work: Callable[[], Any]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--turns", type=int, default=5)
    chosen = parser.parse_args()
    X, y = load_digits(return_X_y=True)
    X = X / 16
    own = FederatedClassifier(SGDClassifier(), n_clients=CLIENTS, rounds=chosen.rounds, epochs=EPOCHS, random_state=0)
    rows = calls_of(lambda: own.fit(X, y))
    order = np.random.default_rng(0).permutation(max(rows)) % len(X)
    parts = [np.resize(order, count) for count in rows]
    pieces = [(X[part], y[part]) for part in parts]

    def bare() -> None:
        clients = [SGDClassifier(shuffle=False) for _ in range(CLIENTS)]
        for place, (inputs, labels) in enumerate(pieces):
            clients[place % CLIENTS].partial_fit(inputs, labels, classes=np.arange(10))

    bare()
    turns = [(seconds(bare), seconds(lambda: own.fit(X, y))) for _ in range(chosen.turns)]
    floor, found = (min(each) for each in zip(*turns, strict=True))
    print(f"{len(rows)} partial_fit calls of {np.mean(rows):.0f} rows: {floor:.3f} s of processor time")
    done = f"{CLIENTS} clients, {chosen.rounds} rounds"
    print(f"FederatedClassifier, {done}: {found:.3f} s, accuracy {own.score(X, y):.3f}")
    print(f"ratio {found / floor:.3f} (to reach: {REACH})")


if __name__ == "__main__":
    main()
