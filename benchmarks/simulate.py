"""Simulations beside those of others: gossip of 100 peers, federated averaging of 100 clients, and 10,000 peers.

    python benchmarks/simulate.py [gossip] [federated] [many] [--rivals DIR] [--alone] [--peers 10000] [--rounds 100]

Rivals come from the package index, each into an environment of its own (in DIR, kept; by default in a temporary
folder), and run in the same command: gossipy (`gossipy-dfl`), and Flower's simulation on Ray (`flwr[simulation]`).
`--alone`: without.

- gossip: 100 peers x 100 rounds, logistic regression on digits, one epoch of the own rows and one model sent a round;
  a tenth of the evaluations that there could be.
- federated: 100 clients x 20 rounds of FedAvg on digits, the default network and training, each round judged.
- many: peers of a one-peer exponential graph, a network of 4,810 parameters, 16 rows each, one epoch a round; judged
  every 20 rounds on 800 rows.

What is timed of ours is the whole of `simulate`, with run folder and curves; of gossipy `init_nodes` and `start`, of
Flower `run_simulation`.

2026-11, 2 cores, other work beside it: gossip 0.50 s, gossipy 8.6 s, both .947; federated 0.91 s and .942, Flower 1.42
on Ray 2.55 20.8 s and .939; many 54 s and 1.25 GB.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # as in `nervenet simulate`
    os.environ[threads] = "1"

import numpy as np
from nervenet.models.data.partition import partition
from nervenet.models.data.splits import split
from nervenet.models.datasets import load
from nervenet.nodes.experiment.loader import load_experiment
from nervenet.nodes.simulation.simulate import simulate

LIMIT_S = 900.0  # for installing a rival, and for its run

GOSSIP = {
    "mode": "gossip",
    "nodes": 100,
    "rounds": 100,
    "model.hidden": [],
    "training.epochs": 1,
    "gossip.topology": "one-peer-exponential",
    "evaluation.every": 10,
    "evaluation.baseline": False,
}
FEDERATED = {"nodes": 100, "rounds": 20, "evaluation.baseline": False}
MANY = {
    "mode": "gossip",
    "training.epochs": 1,
    "gossip.topology": "one-peer-exponential",
    "evaluation.every": 20,
    "evaluation.baseline": False,
}

GOSSIPY = """
import json, sys, time
import numpy as np, torch
from gossipy import set_seed
from gossipy.core import AntiEntropyProtocol, CreateModelMode, StaticP2PNetwork
from gossipy.data import DataDispatcher
from gossipy.data.handler import ClassificationDataHandler
from gossipy.model.handler import TorchModelHandler
from gossipy.model.nn import LogisticRegression
from gossipy.node import GossipNode
from gossipy.simul import GossipSimulator, SimulationReport

torch.set_num_threads(1)
set_seed(0)
rows = np.load(sys.argv[1])
X, y = torch.tensor(rows["X"]).float(), torch.tensor(rows["y"]).long()
X_test, y_test = torch.tensor(rows["X_test"]).float(), torch.tensor(rows["y_test"]).long()
handler = ClassificationDataHandler(X, y, X_test, y_test)
dispatcher = DataDispatcher(handler, n=100, eval_on_user=False, auto_assign=True)
model = TorchModelHandler(
    net=LogisticRegression(X.shape[1], 10),
    optimizer=torch.optim.SGD,
    optimizer_params={"lr": 0.5, "weight_decay": 1e-4},
    criterion=torch.nn.CrossEntropyLoss(),
    local_epochs=1,
    batch_size=16,
    create_model_mode=CreateModelMode.MERGE_UPDATE,
)
nodes = GossipNode.generate(
    data_dispatcher=dispatcher, p2p_net=StaticP2PNetwork(100), model_proto=model, round_len=100, sync=True
)
simulator = GossipSimulator(
    nodes=nodes, data_dispatcher=dispatcher, delta=100, protocol=AntiEntropyProtocol.PUSH, sampling_eval=0.1
)
report = SimulationReport()
simulator.add_receiver(report)
began = time.monotonic()
simulator.init_nodes(seed=0)
simulator.start(n_rounds=100)
seconds = time.monotonic() - began
found = report.get_evaluation(False)
print("RESULT", json.dumps({"seconds": seconds, "accuracy": float(found[-1][1]["accuracy"])}))
"""

FLOWER = '''
import json, sys, time
import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

ROWS = sys.argv[1]
FOUND = {}


def forward(P, X):
    H = np.maximum(X @ P[0] + P[1], 0)
    Z = H @ P[2] + P[3]
    Z = np.exp(Z - Z.max(axis=1, keepdims=True))
    return H, Z / Z.sum(axis=1, keepdims=True)


def train(P, X, y, epochs, rng):
    """Train as nervenet's network does by default: SGD with Nesterov momentum, L2."""
    P, V, one_hot = [p.copy() for p in P], [np.zeros_like(p) for p in P], np.eye(10, dtype=np.float32)
    for _ in range(epochs):
        order = rng.permutation(len(X))
        for start in range(0, len(X), 16):
            batch = order[start : start + 16]
            H, out = forward(P, X[batch])
            D = (out - one_hot[y[batch]]) / len(batch)
            below = (D @ P[2].T) * (H > 0)
            gradients = [X[batch].T @ below + 1e-4 / len(batch) * P[0], below.sum(axis=0)]
            gradients += [H.T @ D + 1e-4 / len(batch) * P[2], D.sum(axis=0)]
            for p, v, g in zip(P, V, gradients):
                v *= 0.9
                v -= 0.05 * g
                p += 0.9 * v - 0.05 * g
    return P


client = ClientApp()


@client.train()
def fit(message: Message, context: Context) -> Message:
    site = int(context.node_config["partition-id"])
    rows = np.load(ROWS)
    own = rows["parts"] == site
    P = message.content["arrays"].to_numpy_ndarrays()
    P = train(P, rows["X"][own].astype(np.float32), rows["y"][own], 5, np.random.default_rng(site))
    content = {"arrays": ArrayRecord(P), "metrics": MetricRecord({"num-examples": int(own.sum())})}
    return Message(content=RecordDict(content), reply_to=message)


server = ServerApp()


@server.main()
def main(grid: Grid, context: Context) -> None:
    rng, rows = np.random.default_rng(0), np.load(ROWS)
    X, y = rows["X_test"].astype(np.float32), rows["y_test"]
    shapes = [(64, 64), (64,), (64, 10), (10,)]
    P = [rng.uniform(-1, 1, shape).astype(np.float32) * (6 / 128) ** 0.5 for shape in shapes]

    def judge(number: int, arrays: ArrayRecord) -> MetricRecord:
        _, out = forward(arrays.to_numpy_ndarrays(), X)
        FOUND["accuracy"] = float((out.argmax(axis=1) == y).mean())
        return MetricRecord({"accuracy": FOUND["accuracy"]})

    strategy = FedAvg(fraction_train=1.0, fraction_evaluate=0.0, min_train_nodes=100, min_available_nodes=100)
    strategy.start(grid=grid, initial_arrays=ArrayRecord(P), num_rounds=20, evaluate_fn=judge)


if __name__ == "__main__":
    began = time.monotonic()
    run_simulation(server, client, num_supernodes=100, backend_config={"client_resources": {"num_cpus": 1}})
    print("RESULT", json.dumps({"seconds": time.monotonic() - began, **FOUND}))
'''

# gossipy imports torchvision, and does not say so.
RIVALS = {
    "gossip": ("gossipy", ["gossipy-dfl", "torchvision"], GOSSIPY),
    "federated": ("Flower on Ray", ["flwr[simulation]"], FLOWER),
}


def ours(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the summary of a simulation, with the ``seconds`` of the whole call; imports are done before."""
    with tempfile.TemporaryDirectory() as folder:
        small = load_experiment(None, {"nodes": 2, "rounds": 1, "evaluation.baseline": False})
        asyncio.run(simulate(small, out=Path(folder) / "run"))
    experiment = load_experiment(None, settings)
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        result = asyncio.run(simulate(experiment, out=Path(folder) / "run"))
        return {**result, "seconds": time.monotonic() - began}


def write_rows(path: Path) -> None:
    """Write digits, standardized, as the rivals read them: with the site of each training row."""
    train, test = split(load("digits"), 0.2, seed=42)
    mean, spread = train.X.mean(axis=0), train.X.std(axis=0)
    spread[spread == 0] = 1.0
    parts = np.empty(len(train), int)
    for site, rows in enumerate(partition(train, 100, "iid", seed=0)):
        parts[rows] = site
    X, X_test = ((each.X - mean) / spread for each in (train, test))
    np.savez(path, X=X, y=train.y, X_test=X_test, y_test=test.y, parts=parts)


def rival(kind: str, folder: Path) -> dict[str, Any]:
    """Install a rival, if need be, and return what it says of its run; RuntimeError where that is not possible."""
    _, packages, program = RIVALS[kind]
    environment = folder / kind
    python = environment / "bin" / "python"
    if not (environment / "installed").exists():
        venv.create(environment, with_pip=True)
        run([python, "-m", "pip", "install", "--quiet", *packages])
        (environment / "installed").touch()
    (folder / f"{kind}.py").write_text(program)
    write_rows(folder / "rows.npz")
    said = run([python, folder / f"{kind}.py", folder / "rows.npz"])
    line = next(line for line in said.splitlines() if line.startswith("RESULT "))
    found: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
    return found


def run(command: list[Any]) -> str:
    """Return what a command prints. Raises RuntimeError, with its last words, where it fails."""
    try:
        ended = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{command[0]} took more than {LIMIT_S:g} s") from None
    if ended.returncode:
        raise RuntimeError(ended.stderr.strip()[-500:])
    return ended.stdout


def beside(kind: str, settings: Mapping[str, Any], folder: Path | None, target: str) -> None:
    found = ours(settings)
    what = f"{kind}: {found['nodes']} nodes x {found['rounds']} rounds by {found['engine']}"
    print(f"{what}: {found['seconds']:.2f} s ({target}), accuracy {found['accuracy']:.3f}", flush=True)
    if folder is None:
        return
    name = RIVALS[kind][0]
    try:
        other = rival(kind, folder)
    except (RuntimeError, OSError, StopIteration) as error:
        print(f"{kind}: {name} could not be run: {error}", flush=True)
        return
    times = other["seconds"] / found["seconds"]
    print(f"{kind}: {name} {other['seconds']:.2f} s, accuracy {other['accuracy']:.3f}: {times:.1f} times", flush=True)


def many(peers: int, rounds: int) -> None:
    """Simulate many peers on rows that are made up here: 64 inputs, 10 classes, 16 rows each."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((16 * peers + 800, 64))
    y = (X @ rng.standard_normal((64, 10)) + rng.standard_normal((len(X), 10))).argmax(axis=1)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.npz"
        np.savez(file, X=X, y=y)
        sizes = {"nodes": peers, "rounds": rounds, "data.test_size": 800 / len(X)}
        found = ours({**MANY, **sizes, "data.name": str(file)})
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"many: {peers} peers x {rounds} rounds, {found['parameters']} parameters: {found['seconds']:.1f} s (120), "
        f"{peak_gb:.2f} GB (2), accuracy {found['accuracy']:.3f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="*", default=["gossip", "federated", "many"])
    parser.add_argument("--rivals", type=Path)
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--peers", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = options.rivals or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        for kind in options.what:
            match kind:
                case "gossip":
                    beside(kind, GOSSIP, None if options.alone else folder, "at most 0.7")
                case "federated":
                    beside(kind, FEDERATED, None if options.alone else folder, "a tenth of Flower's")
                case "many":
                    many(options.peers, options.rounds)
                case _:
                    sys.exit(f"{kind}: expected gossip, federated or many")


if __name__ == "__main__":
    main()
