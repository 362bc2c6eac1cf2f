"""One client process of a federation on the digits, honest or not: python company.py BROKER RUN NAME SHARE VICE NODES.

SHARE is which eighth of the training rows is its own; VICE is honest, nan, inflation or layout.
"""

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np
from nervenet.broker.messages import Update
from nervenet.models import MLP, datasets
from nervenet.models.data.splits import split
from nervenet.nodes import Client, Experiment, NodeFailed

CLAIM = 10**9


def spoiled(vice: str, message: Any, array: Any) -> tuple[Any, Any]:
    """What the vice makes of a message that goes out."""
    match vice, message:
        case "nan", Update(payload=payload, round=number) if payload and number:
            return message, np.full_like(array, np.nan)
        case "inflation", Update(round=number) if number:
            return msgspec.structs.replace(message, examples=CLAIM), array * np.float32(-3)
        case "layout", Update(payload=payload, round=number) if payload and number:
            other = msgspec.structs.replace(payload, layout="f" * 16, length=payload.length + 1)
            return msgspec.structs.replace(message, payload=other), np.append(array, array.dtype.type(0))
    return message, array


async def take_part(broker: str, run: str, name: str, share: int, vice: str, nodes: int) -> None:
    """Be a client until the run is over."""
    train, _ = split(datasets.load("digits"), 0.2, 42)
    rows = np.random.default_rng(0).permutation(len(train.y))[share::8]
    plan = Experiment.from_dict({"nodes": nodes, "network": {"join_deadline_s": 60}})
    data = (train.X[rows], train.y[rows])
    client = Client(MLP(), data, broker=broker, run=run, name=name, experiment=plan, holdout=0.0)
    send: Callable[..., None] = client.session.transport.send

    def spoil(to: Any, message: Any, array: Any = None) -> None:
        send(to, *spoiled(vice, message, array))

    client.session.transport.send = spoil  # type: ignore[method-assign]
    async with client:
        async for report in client.rounds():
            print(report.round, flush=True)


if __name__ == "__main__":
    with suppress(NodeFailed):
        asyncio.run(take_part(*sys.argv[1:4], int(sys.argv[4]), sys.argv[5], int(sys.argv[6])))
