"""Every strategy at its defaults: accuracy on digits, IID and Dirichlet(0.3), beside federated averaging's.

python benchmarks/strategies.py [--seeds 0 1 2] [--only qfedavg fedadam]

Eight clients, all else as `nervenet launch --strategy NAME --data digits` has it, 20 rounds. The coordinator and its
clients are the deployed machines and workers, with all messages, on virtual time in one process. Strategies without
rounds make as many steps as take the updates of 20 rounds. The figure is the accuracy on the rows held out after the
last round, the mean over the seeds (of partition, start and batches); the last column of each pair is its share of
federated averaging's, and a star marks one below 0.9.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from nervenet.models import SiteModel
from nervenet.models.data.partition import partition
from nervenet.models.data.splits import split
from nervenet.models.datasets import load
from nervenet.nodes.checkpoint.client_state import ClientStateStore
from nervenet.nodes.config.factory import build_model
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.federated.client_machine import ClientConfig, ClientMachine
from nervenet.nodes.federated.client_worker import ClientWorker
from nervenet.nodes.federated.coordinator_config import CoordinatorConfig
from nervenet.nodes.federated.coordinator_machine import CoordinatorMachine
from nervenet.nodes.federated.coordinator_worker import Aggregator, CoordinatorWorker
from nervenet.nodes.federated.strategies.registry import STRATEGIES, build_strategy
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.simulator import Simulation
from nervenet.nodes.runtime.worker import RoleWorker, Worker

NODES, ROUNDS, JOB_S, LEAST = 8, 20, 0.1, 0.9
SCHEMES = ("iid", "dirichlet")


def run(name: str, scheme: str, seed: int, rounds: int = ROUNDS) -> float:
    """Return the final accuracy of one run."""
    strategy = build_strategy(name, {})
    if strategy.demands.asynchronous:
        rounds = rounds * NODES // strategy.demands.buffer
    experiment = Experiment.from_dict({"nodes": NODES, "rounds": rounds, "seed": seed, "federated": {"strategy": name}})
    data = experiment.data
    train, test = split(load("digits"), data.test_size, seed=data.split_seed)
    parts = partition(train, NODES, scheme, alpha=0.3, min_rows=data.min_rows, seed=seed)

    simulation = Simulation()
    names = [f"client-{k}" for k in range(NODES)]
    config = CoordinatorConfig.of(experiment, names, strategy, has_test=True)
    judge = SiteModel(build_model(experiment), test=(test.X, test.y))
    worker = CoordinatorWorker(judge, Aggregator(strategy, NODES), node="coordinator", seed=seed, scale=data.scaling)
    coordinator = simulation.add("coordinator", CoordinatorMachine(config), _working(worker))
    for client, part in zip(names, parts, strict=True):
        site = SiteModel(build_model(experiment), train.X[part], train.y[part], task=train.task)
        trainer = ClientWorker(site, node=client, seed=seed, states=ClientStateStore(), scale=data.scaling)
        simulation.add(client, ClientMachine(ClientConfig("coordinator", site.examples)), _working(trainer))
        simulation.connect("coordinator", client, ("coordinator", "client"))
    simulation.run(100.0 * rounds)
    ended = coordinator.finished
    if ended is None or ended.status != "completed":
        raise RuntimeError(f"{name}, {scheme}: {ended.reason if ended else 'the run did not end'}")
    return float(coordinator.completed[-1].metrics["test"]["accuracy"])


def _working(role: RoleWorker) -> Callable[[Any], tuple[float, ev.Event | None]]:
    worker = Worker(role)
    return lambda job: (JOB_S, worker.answer(job))


def main() -> None:
    """Print the table, as docs/federated.md has it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--only", nargs="*", default=[*STRATEGIES.builtin], help="strategies; default: all")
    args = parser.parse_args()
    print("| strategy | IID | of `fedavg` | Dirichlet 0.3 | of `fedavg` |\n|---|---|---|---|---|")
    best: dict[str, float] = {}
    for name in dict.fromkeys(["fedavg", *args.only]):
        cells = []
        for scheme in SCHEMES:
            accuracy = sum(run(name, scheme, seed) for seed in args.seeds) / len(args.seeds)
            share = accuracy / best.setdefault(scheme, accuracy)
            cells += [f"{accuracy:.3f}", f"{share:.2f}{' *' if share < LEAST else ''}"]
        print(f"| `{name}` | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
