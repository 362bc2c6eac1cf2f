"""Federated averaging on MNIST: rounds to 97 % (McMahan et al. 2017, arXiv 1602.05629, Table 1, the 2NN).

784-200-200-10 with ReLU, 199,210 parameters; 100 clients of 600 images; E = 1, B = 10; plain SGD; pixels / 255. IID is
shuffled; two shards is sorted by label, cut into 200 and dealt, two to a client. Everything runs through the deployed
coordinator and clients, machines and workers, on virtual time. The paper tunes the rate per
cell; ours is 0.2 for all. For IID, C = 0.1 no other of four did better on seed 9, which is not counted: 69, 46, 34 and
34 rounds at .05, .1, .2 and .3. The other cells took it over untried (--rates tries it in all of them). What is counted
is the first round at 97 %, the same as on a curve made monotone.

    NERVENET_DATA=… python benchmarks/papers/fedavg_mnist.py       about five minutes on one core
    … --results fedavg.jsonl      resumable
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median

from harness import Notebook, Simulated, sites_of
from nervenet.models import MLP
from nervenet.models.datasets import load

TARGET, CLIENTS = 0.97, 100
CELLS = {
    # partition, C: the paper's rounds, a reproduction's (rate 0.05), what we want to reach; our rate, limit
    ("iid", 0.1): (87, 46, 50, 0.2, 150),
    ("iid", 0.2): (77, None, 45, 0.2, 150),
    ("shards", 0.1): (664, 199, 250, 0.2, 500),
    ("shards", 0.2): (619, None, None, 0.2, 500),
}
RATES = (0.05, 0.1, 0.2, 0.3)


def rounds_needed(scheme: str, share: float, rate: float, seed: int, limit: int) -> list[float]:
    """Return [first round at the target, or NaN; accuracy there or after the last; best before]."""
    data = load("mnist")
    assert data.test is not None
    run = Simulated(
        sites_of(data, CLIENTS, scheme, seed=seed),
        (data.test.X, data.test.y),
        lambda: MLP(hidden=(200, 200), optimizer="sgd", learning_rate=rate, l2=0.0),
        seed=seed,
        rounds=limit,
        participation=share,
        settings={"epochs": 1, "batch_size": 10},
    )
    best = accuracy = 0.0
    for report in run.rounds():
        accuracy = report.get("accuracy", 0.0)
        if accuracy >= TARGET:
            return [report["round"], accuracy, best]
        best = max(best, accuracy)
    return [float("nan"), accuracy, best]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, help="file to keep the results in, and to go on from")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--rates", action="store_true", help="try the rates instead, on a seed that is not counted")
    args = parser.parse_args()
    notebook = Notebook(args.results)

    def needed(scheme: str, share: float, rate: float, seed: int, limit: int) -> float:
        words = ("fedavg", scheme, share, rate, seed, limit)
        return float(notebook.get(words, lambda: rounds_needed(scheme, share, rate, seed, limit))[0])

    if args.rates:
        for (scheme, share), (*_, limit) in CELLS.items():
            found = "  ".join(f"{rate}: {needed(scheme, share, rate, 9, limit):.0f}" for rate in RATES)
            print(f"{scheme:7} C = {share}  rounds to {TARGET:.0%} by rate  {found}", flush=True)
        return
    print(f"rounds to {TARGET:.0%} | paper | independent | ours, median (each seed)  rate | goal")
    for (scheme, share), (paper, other, goal, rate, limit) in CELLS.items():
        found = [needed(scheme, share, rate, seed, limit) for seed in args.seeds]
        middle = median(found)
        verdict = "" if goal is None else f"<= {goal}: {'holds' if middle <= goal else 'FALLS SHORT'}"
        each = ", ".join(f"{n:.0f}" for n in found)
        print(
            f"{scheme:7} C = {share} | {paper:5} | {other or '-':>11} | {middle:4.0f} ({each})  {rate} | {verdict}",
            flush=True,
        )


if __name__ == "__main__":
    main()
