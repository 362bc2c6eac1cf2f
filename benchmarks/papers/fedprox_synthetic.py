"""FedProx against FedAvg on the synthetic data of Li et al. 2020 (arXiv 1812.06127, section 5 and figures 1 and 2).

30 clients, 10 a round, E = 20, B = 10, learning rate 0.01, multinomial logistic regression, 200 rounds; accuracy on the
pooled tenth of every client's rows that nobody trains on, averaged over the rounds 150 to 200. Stragglers do a random
number of 1 to 19 epochs: FedAvg drops them; FedProx (μ = 1) keeps what they have done; the third column is FedAvg that
keeps it, too, which shows how much of the gain is the proximal term's. A draw makes the data, the initial weights, who
is asked, who straggles and by how much, and the order of the batches: they are the same for all three methods.

    python benchmarks/papers/fedprox_synthetic.py --results fedprox.jsonl      about an hour on one core, resumable
    python benchmarks/papers/fedprox_synthetic.py --draws 2 --data "(0,0)"     some of it
    python benchmarks/papers/fedprox_synthetic.py --results fedprox.jsonl --show       the table of what is there
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from harness import Federation, Notebook, Rows
from nervenet.models import MLP, generator
from nervenet.models.data.synthetic import synthetic
from nervenet.models.local import LocalSettings
from nervenet.nodes.federated.sampling import uniform
from nervenet.nodes.federated.strategies.averaging import FedAvg
from nervenet.nodes.federated.strategies.client_drift import FedProx

CLIENTS, ASKED, EPOCHS, ROUNDS, COUNTED = 30, 10, 20, 200, 150
FEDAVG, FEDPROX, KEEPING = "FedAvg", "FedProx", "FedAvg keeping"
DATA = {"IID": (0.0, 0.0), "(0,0)": (0.0, 0.0), "(0.5,0.5)": (0.5, 0.5), "(1,1)": (1.0, 1.0)}
PUBLISHED = {("(0,0)", 0): ".685 / .801", ("(0.5,0.5)", 0): ".700 / .776"}
"""FedAvg / FedProx from a log that was published with the authors' program: of one draw."""
JUDGED = [("(0,0)", 0), ("IID", 0), ("(1,1)", 90)]
CELLS = [*JUDGED, *((d, s) for d in reversed(DATA) for s in (0, 50, 90) if (d, s) not in JUDGED)]


def model() -> MLP:
    """Multinomial logistic regression, without a penalty: the authors' program names one and leaves it out."""
    return MLP(hidden=(), optimizer="sgd", learning_rate=0.01, l2=0.0)


def split(sites: list[Rows], draw: int) -> tuple[dict[str, Rows], Rows]:
    """Keep a tenth of each client's rows from training, and pool it."""
    train, test = {}, []
    for k, (X, y) in enumerate(sites):
        order, edge = generator(draw, "split", k).permutation(len(y)), int(0.9 * len(y))
        train[f"client-{k:02}"] = (X[order[:edge]].astype(np.float32), y[order[:edge]])
        test.append((X[order[edge:]], y[order[edge:]]))
    return train, (np.concatenate([X for X, _ in test]).astype(np.float32), np.concatenate([y for _, y in test]))


def accuracy(data: str, late: int, method: str, draw: int, rounds: int = ROUNDS, counted: int = COUNTED) -> float:
    """Mean test accuracy from round `counted` on, with `late` percent of stragglers."""
    rows = synthetic(*DATA[data], sites=CLIENTS, seed=draw, iid=data == "IID")
    edges = np.flatnonzero(np.diff(rows.sites)) + 1
    clients = list(zip(np.split(rows.X, edges), np.split(rows.y, edges), strict=True))
    sites, test = split(clients, draw)
    strategy = FedProx(mu=1.0) if method == FEDPROX else FedAvg()
    federation = Federation(sites, test, model, seed=draw, strategy=strategy)
    found = []
    for number in range(1, rounds + 1):
        asked = uniform(list(sites), ASKED, seed=draw, round=number, attempt=0)
        rng = generator(draw, "stragglers", number)
        stragglers = set(rng.choice(asked, round(ASKED * late / 100), replace=False).tolist())
        done = {name: int(rng.integers(1, EPOCHS)) if name in stragglers else EPOCHS for name in asked}
        settings = {
            name: LocalSettings(epochs=epochs, batch_size=10, **strategy.demands.settings)
            for name, epochs in done.items()
            if method != FEDAVG or name not in stragglers
        }
        federation.fold(federation.train(settings, number), number)
        if number >= counted:
            found.append(federation.accuracy())
    return float(np.mean(found))


def show(cells: dict[tuple[str, int], list[dict[str, float]]]) -> None:
    """Print the table: means over the draws, how often FedProx is ahead of FedAvg, and by how much."""
    print(f"{'data':10} {'late':>4} {'draws':>5} | {'paper, one draw':>15} |", end="")
    print(f" {FEDAVG:>7} {FEDPROX:>7} {KEEPING:>14} | FedProx ahead (of FedAvg, of keeping), mean gain")
    for data, late in [(d, s) for d in DATA for s in (0, 50, 90)]:
        draws = cells.get((data, late), [])
        if not draws:
            continue
        a, p, k = (np.array([draw[method] for draw in draws]) for method in (FEDAVG, FEDPROX, KEEPING))
        print(f"{data:10} {late:3}% {len(draws):5} | {PUBLISHED.get((data, late), '-'):>15} |", end="")
        print(f" {a.mean():7.3f} {p.mean():7.3f} {k.mean():14.3f} |", end="")
        print(f" {(p > a).sum():2} of {len(draws)}, {(p > k).sum():2} of {len(draws)}", end="")
        print(f"  {(p - a).mean():+.3f} (median {np.median(p - a):+.3f}), {(p - k).mean():+.3f}")
    judged = {cell: np.array([draw[FEDPROX] - draw[FEDAVG] for draw in cells.get(cell, [])]) for cell in JUDGED}
    for cell, words, holds in (
        (
            JUDGED[0],
            "FedProx ahead in 9 of 10, by .025 in the mean",
            lambda g: (g > 0).mean() >= 0.9 <= g.mean() / 0.025,
        ),
        (JUDGED[1], "FedAvg ahead in the mean", lambda g: g.mean() < 0),
        (JUDGED[2], "FedProx ahead in 9 of 10", lambda g: (g > 0).mean() >= 0.9),
    ):
        if len(judged[cell]):
            print(f"{cell[0]} with {cell[1]}% stragglers: {words}: {'holds' if holds(judged[cell]) else 'FALLS SHORT'}")


def main() -> None:
    """Compute what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, help="file to keep the results in, and to go on from")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--data", nargs="*", choices=DATA, default=list(DATA))
    parser.add_argument("--late", nargs="*", type=int, choices=(0, 50, 90), default=[0, 50, 90])
    parser.add_argument("--show", action="store_true", help="compute nothing")
    args = parser.parse_args()
    notebook = Notebook(args.results, compute=not args.show)
    cells: dict[tuple[str, int], list[dict[str, float]]] = {}
    for data, late in CELLS:
        for draw in range(args.draws) if data in args.data and late in args.late else ():
            found = {}
            for method in (FEDAVG, FEDPROX, KEEPING) if late else (FEDAVG, FEDPROX):
                words = ("fedprox", data, late, method, draw)
                found[method] = notebook.get(words, lambda m=method, n=draw: accuracy(data, late, m, n))  # noqa: B023
            found.setdefault(KEEPING, found[FEDAVG])
            if None not in found.values():
                cells.setdefault((data, late), []).append(found)
    show(cells)


if __name__ == "__main__":
    main()
