"""What a federated round of PyTorch models costs beside the training alone: the network of examples/torch_digits.py.

Four clients in this process over real sockets against the same training of the same rows in a plain loop of PyTorch,
averaged by torch; both with one thread, in turns. Prints medians and their ratio (at most 1.1).

    python benchmarks/torch_round.py [--rounds 20] [--turns 3]
"""

import argparse
import asyncio
import statistics
import sys
import time
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from nervenet.broker import Broker
from nervenet.models import datasets, partition
from nervenet.nodes import Client, Coordinator

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
from torch_digits import SITES, DigitsCNN

EPOCHS, BATCH = 2, 16


async def ours(rows, rounds):
    """Return the seconds of each round, from one report to the next."""
    async with Broker("tcp://127.0.0.1:0") as broker:
        about = {"broker": broker.addresses["directory"], "run": "digits", "nodes": len(rows)}

        async def client(name):
            async with Client(DigitsCNN(), rows[name], name=name, holdout=0.2, **about) as node:
                async for _ in node.rounds():
                    pass

        async def coordinator():
            async with Coordinator(DigitsCNN(), rounds=rounds, epochs=EPOCHS, **about) as node:
                return [time.perf_counter() async for _ in node.rounds()]

        reported, *_ = await asyncio.gather(coordinator(), *map(client, rows))
        return np.diff(reported).tolist()


def plain(rows, rounds):
    """Return the seconds of each round of a loop over the sites, which evaluates each on its hold-out as we do."""
    held = {}
    for name, (X, y) in rows.items():
        cut = len(X) // 5
        X, y = torch.from_numpy(((X - X.mean(0)) / np.maximum(X.std(0), 1e-9)).astype(np.float32)), torch.from_numpy(y)
        held[name] = (X[cut:], y[cut:], X[:cut], y[:cut])
    network = DigitsCNN().network(64, 10)
    network(torch.zeros(2, 64))
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        copies = []
        for X, y, X_out, y_out in held.values():
            own = deepcopy(network).train()
            optimizer = torch.optim.SGD(own.parameters(), lr=0.05, momentum=0.9)
            for _ in range(EPOCHS):
                order = torch.randperm(len(X))
                for start in range(0, len(X), BATCH):
                    batch = order[start : start + BATCH]
                    optimizer.zero_grad()
                    torch.nn.functional.cross_entropy(own(X[batch]), y[batch]).backward()
                    optimizer.step()
            copies.append(own.state_dict())
            own.eval()
            with torch.no_grad():
                (own(X_out).argmax(1) == y_out).float().mean()
        network.load_state_dict({k: sum(c[k].float() for c in copies) / len(copies) for k in copies[0]})
        taken.append(time.perf_counter() - begun)
    return taken[1:]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--turns", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    digits = datasets.load("digits")
    shares = partition.partition(digits, len(SITES), "iid", seed=0)
    rows = {name: (digits.X[own], digits.y[own]) for name, own in zip(SITES, shares, strict=True)}
    found = {"plain": [], "nervenet": []}
    for _ in range(asked.turns):
        found["plain"].append(statistics.median(plain(rows, asked.rounds)))
        found["nervenet"].append(statistics.median(asyncio.run(ours(rows, asked.rounds))))
    best = {name: min(medians) for name, medians in found.items()}
    print(f"{len(SITES)} clients, {EPOCHS} epochs of {len(digits.X) * 4 // 20} rows, batches of {BATCH}, one thread")
    print(f"a round: plain {best['plain'] * 1e3:.1f} ms, nervenet {best['nervenet'] * 1e3:.1f} ms")
    print(f"ratio {best['nervenet'] / best['plain']:.2f} (at most 1.1)")


if __name__ == "__main__":
    main()
