"""How fast the MLP trains: against scikit-learn's partial_fit and, where it is installed, PyTorch on the CPU.

One epoch of 784-200-200-10, 600 rows, batch 10, plain SGD, float32, one thread: the same mathematics on the same data
in one run. The rivals take turns, and the best epoch of each counts, so that a busy machine slows all alike.

    python benchmarks/mlp_epoch.py
"""

import os

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # read once, when NumPy loads its BLAS

import sys
import time
import warnings
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from nervenet.models import MLP, LocalWork, generator

ROWS, SIZES, BATCH, LEARNING_RATE, L2 = 600, (784, 200, 200, 10), 10, 0.05, 1e-4
REPEATS = 15
FLOORS = {"scikit-learn": 2.1, "PyTorch": 1.4}

Epoch = Callable[[], object]


def never() -> bool:
    return False


def ours(X: np.ndarray, y: np.ndarray, hidden: tuple[int, ...], batch: int, optimizer: str, epochs: int = 1) -> Epoch:
    model = MLP(hidden, optimizer=optimizer, learning_rate=LEARNING_RATE, l2=L2)
    model.build(X.shape[1], 10, generator(0, "init"))
    rng, work = generator(0, "batches"), LocalWork(epochs=epochs, batch_size=batch)
    return lambda: model.fit(X, y, work, rng, never)


def scikit_learn(X: np.ndarray, y: np.ndarray, hidden: tuple[int, ...], batch: int) -> Epoch:
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(
        hidden, solver="sgd", momentum=0, nesterovs_momentum=False, alpha=L2, batch_size=batch,
        learning_rate_init=LEARNING_RATE, random_state=0,
    )  # fmt: skip
    model.partial_fit(X, y, classes=np.arange(10))
    return lambda: model.partial_fit(X, y)


def pytorch(X: np.ndarray, y: np.ndarray, hidden: tuple[int, ...], batch: int) -> Epoch | None:
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    sizes = (X.shape[1], *hidden, 10)
    layers: list[torch.nn.Module] = []
    for a, b in pairwise(sizes):
        layers += [torch.nn.Linear(a, b), torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers[:-1])
    optimizer = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE, weight_decay=L2 / batch)
    loss = torch.nn.CrossEntropyLoss()
    inputs, targets = torch.from_numpy(X), torch.from_numpy(y)

    def epoch() -> None:
        order = torch.randperm(len(inputs))
        X, y = inputs[order], targets[order]
        for start in range(0, len(X), batch):
            optimizer.zero_grad()
            loss(network(X[start : start + batch]), y[start : start + batch]).backward()
            optimizer.step()

    return epoch


def best_of(rivals: dict[str, Epoch]) -> dict[str, float]:
    """Seconds of each one's best epoch. They take turns of three, of which the first finds the caches cold."""
    best = dict.fromkeys(rivals, float("inf"))
    for name, epoch in [turn for _ in range(REPEATS) for turn in rivals.items()]:
        for _ in range(3):
            start = time.perf_counter()
            epoch()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def main() -> int:
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(0)
    X = rng.random((ROWS, SIZES[0]), dtype=np.float32)
    y = rng.integers(0, SIZES[-1], ROWS)
    rivals = {"nervenet": ours(X, y, SIZES[1:-1], BATCH, "sgd"), "scikit-learn": scikit_learn(X, y, SIZES[1:-1], BATCH)}
    torch_epoch = pytorch(X, y, SIZES[1:-1], BATCH)
    if torch_epoch is not None:
        rivals["PyTorch"] = torch_epoch

    print(f"one epoch, {'-'.join(map(str, SIZES))}, {ROWS} rows, batch {BATCH}, SGD, float32, one thread")
    best = best_of(rivals)
    held = True
    for name, seconds in best.items():
        line = f"  {name:<14}{seconds * 1e3:8.1f} ms"
        if name in FLOORS:
            ratio = seconds / best["nervenet"]
            held &= ratio >= FLOORS[name]
            line += f"{ratio:8.2f} x nervenet's (to reach: {FLOORS[name]})"
        print(line)
    if torch_epoch is None:
        print("  PyTorch         not installed")

    print("one step, 64-64-10, batch 16, float32 (what a node does with the defaults)")
    X, y = rng.random((180, 64), dtype=np.float32), rng.integers(0, 10, 180)
    epochs, steps = 5, 5 * -(-len(X) // 16)
    small = {optimizer: ours(X, y, (64,), 16, optimizer, epochs) for optimizer in ("sgd", "nesterov", "adam")}
    theirs = scikit_learn(X, y, (64,), 16)
    small["scikit-learn, sgd"] = lambda: [theirs() for _ in range(epochs)]
    for name, seconds in best_of(small).items():
        print(f"  {name:<20}{seconds / steps * 1e6:8.1f} µs")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
