"""``nervenet broker``: a broker on its own, until a signal."""

from __future__ import annotations

import click


@click.command()
@click.option(
    "--bind",
    metavar="tcp://HOST:PORT",
    default="tcp://127.0.0.1:5555",
    show_default=True,
    help="PORT: the directory; PORT+1 and PORT+2: events. Port 0 picks free ones",
)
@click.option(
    "--advertise",
    metavar="HOST",
    help="Host by which others reach the events. [default: that by which they reached the directory]",
)
def broker(bind: str, advertise: str | None) -> None:
    """Introduce nodes and relay their events, until a signal.

    Weights never pass through it. One broker serves several runs.
    """
    from .signals import run

    run(lambda: _serve(bind, advertise))


async def _serve(bind: str, advertise: str | None) -> None:
    from nervenet.broker.broker import Broker

    async with Broker(bind, advertise=advertise) as serving:
        for name, address in serving.addresses.items():
            print(f"{name.replace('_', ' '):<10} {address}", flush=True)
        await serving.serve()
