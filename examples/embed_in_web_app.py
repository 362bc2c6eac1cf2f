"""A web application that learns with others while it answers: a gossip peer inside Starlette's own event loop.

In three terminals: a broker, two standalone peers, and this application as the third peer of the run (``--data`` may be
files of your own, as long as all have the same columns):

    nervenet broker
    nervenet node peer --broker tcp://127.0.0.1:5555 --run demo --nodes 3 --name north --data iris --rounds 500 &
    nervenet node peer --broker tcp://127.0.0.1:5555 --run demo --nodes 3 --name south --data iris --rounds 500
    python examples/embed_in_web_app.py --run demo --nodes 3 --data iris --rounds 500

    curl 127.0.0.1:8000/predict -d '{"X_test": [[5.1, 3.5, 1.4, 0.2]]}'
    curl 127.0.0.1:8000/model

Until the peers have agreed on a model, a prediction is answered by 503; then by the model as it is at that moment, and
when the rounds are over, or learning has failed, by the last one. ``/model`` says which.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import uvicorn
from nervenet.broker import BrokerError
from nervenet.models import MLP, IncompatibleSites, datasets
from nervenet.nodes import NodeFailed, Peer, predictor_app
from starlette.applications import Starlette
from starlette.routing import Mount


def application(peer: Peer, rounds: int) -> Starlette:
    """Return the application around a peer that has not been entered yet."""
    progress: dict[str, Any] = {"learning": "waiting for the others", "round": 0, "metrics": {}}

    async def learn() -> None:
        try:
            async with peer:
                async for report in peer.rounds(rounds):
                    metrics = {"accuracy": report.accuracy, "r2": report.r2, "loss": report.loss}
                    known = {name: value for name, value in metrics.items() if value is not None}
                    progress.update(learning="under way", round=report.round, metrics=known)
            progress["learning"] = "done"
        except (BrokerError, NodeFailed, IncompatibleSites) as error:
            # The application outlives its learning: the model goes on answering.
            progress["learning"] = f"ended: {error}"

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        # Concurrently with the server, and not before it: the other peers may be minutes away.
        learning = asyncio.create_task(learn())
        yield
        learning.cancel()
        with suppress(asyncio.CancelledError):
            await learning  # leaving `async with peer` says goodbye to the neighbors, and frees sockets and threads

    return Starlette(routes=[Mount("/", predictor_app(peer.model, lambda: progress))], lifespan=lifespan)


def main() -> None:
    """Read the command line, and serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="A web application that learns with others while it answers.")
    parser.add_argument("--broker", default="tcp://127.0.0.1:5555", help="the broker's directory [%(default)s]")
    parser.add_argument("--run", default="demo", help="the run to join, the same for all [%(default)s]")
    parser.add_argument("--name", default="web", help="this peer's name in the run [%(default)s]")
    parser.add_argument("--nodes", type=int, default=3, help="peers in the run, this one counted [%(default)s]")
    parser.add_argument("--rounds", type=int, default=500, help="rounds to take part in [%(default)s]")
    parser.add_argument("--data", default="iris", help="this site's rows: a packaged name or a file [%(default)s]")
    parser.add_argument("--target", help="the column to predict, for a file")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen for HTTP [%(default)s]")
    parser.add_argument("--port", type=int, default=8000, help="[%(default)s]")
    options = parser.parse_args()

    site = datasets.load(options.data, target=options.target)
    peer = Peer(
        MLP(),
        (site.X, site.y),
        broker=options.broker,
        run=options.run,
        name=options.name,
        nodes=options.nodes,
        columns=site.columns,
    )
    uvicorn.run(application(peer, options.rounds), host=options.host, port=options.port, access_log=False)


if __name__ == "__main__":
    main()
