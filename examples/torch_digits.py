"""A small convolutional network of PyTorch learns digits, embedded in this program and under `nervenet launch`.

    pip install "nervenet[launch,torch]"
    python examples/torch_digits.py               federated and then gossip, four sites in this process
    cd examples
    nervenet launch --data digits --model torch_digits:DigitsCNN --mode gossip --epochs 2

Run by `make test-torch`.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import numpy as np
import torch
from nervenet.broker import Broker
from nervenet.models import TorchModel, datasets, partition
from nervenet.nodes import Client, Coordinator, Peer

SITES = ("east", "north", "south", "west")
ROUNDS = 5

torch.set_num_threads(1)  # several sites share this machine


class DigitsCNN(TorchModel):
    """One convolution, normalized by batches, and one layer behind it. Its parameters are keys of ``[model]``."""

    def __init__(self, channels: int = 16, rate: float = 0.05) -> None:
        self.channels, self.rate = channels, rate
        super().__init__(self.network, optimizer=partial(torch.optim.SGD, lr=rate, momentum=0.9))

    def network(self, n_features: int, n_classes: int | None) -> torch.nn.Module:
        """Return the network for images of 8 x 8 pixels, which come as rows of 64 numbers."""
        return torch.nn.Sequential(
            torch.nn.Unflatten(1, (1, 8, n_features // 8)),
            torch.nn.Conv2d(1, self.channels, kernel_size=3, padding=1),
            torch.nn.BatchNorm2d(self.channels),
            torch.nn.ReLU(),
            torch.nn.MaxPool2d(2),
            torch.nn.Flatten(),
            torch.nn.LazyLinear(n_classes or 1),
        )


async def federated(rows: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Four clients and their coordinator."""
    async with Broker("tcp://127.0.0.1:0") as broker:
        about: dict[str, Any] = {"broker": broker.addresses["directory"], "run": "digits", "nodes": len(rows)}

        async def client(name: str) -> None:
            async with Client(DigitsCNN(), rows[name], name=name, holdout=0.2, **about) as node:
                async for _ in node.rounds():
                    pass

        async def coordinator() -> None:
            async with Coordinator(DigitsCNN(), rounds=ROUNDS, epochs=2, **about) as node:
                async for report in node.rounds():
                    print(f"federated, round {report.round}: accuracy {report.accuracy:.3f}")

        await asyncio.gather(coordinator(), *map(client, rows))


async def gossip(rows: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Four peers, which average with their neighbors on a ring."""
    async with Broker("tcp://127.0.0.1:0") as broker:
        about: dict[str, Any] = {"broker": broker.addresses["directory"], "run": "digits", "nodes": len(rows)}

        async def peer(name: str) -> None:
            async with Peer(DigitsCNN(), rows[name], name=name, holdout=0.2, **about) as node:
                async for report in node.rounds(ROUNDS):
                    if report.round == ROUNDS:
                        print(f"gossip, {name} after {report.round} rounds: accuracy {report.accuracy:.3f}")

        await asyncio.gather(*map(peer, rows))


async def main() -> None:
    digits = datasets.load("digits")
    shares = partition.partition(digits, len(SITES), "dirichlet", alpha=1.0, seed=0)
    X, y = np.asarray(digits.X), digits.y
    rows = {name: (X[own], y[own]) for name, own in zip(SITES, shares, strict=True)}
    await federated(rows)
    await gossip(rows)


if __name__ == "__main__":
    asyncio.run(main())
