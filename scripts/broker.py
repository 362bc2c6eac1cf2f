"""``nervenet broker``: a broker on its own, until a signal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .addresses import to_bind
from .http_options import check_used, http_access_options
from .logs import log_options
from .metrics_endpoint import endpoint_of, metrics_option
from .options import insecure_flag

if TYPE_CHECKING:
    from .metrics_endpoint import Endpoint


@click.command()
@click.option(
    "--bind",
    metavar="tcp://HOST:PORT",
    callback=to_bind,
    default="tcp://127.0.0.1:5555",
    show_default=True,
    help="PORT: the directory; PORT+1 and PORT+2: events. Port 0 picks free ones",
)
@click.option(
    "--advertise",
    metavar="HOST",
    help="Host by which others reach the events. [default: that by which they reached the directory]",
)
@click.option(
    "--keys", metavar="DIR", help="Folder of the broker's key, and of those that it allows; see nervenet keys."
)
@click.option("--name", metavar="NAME", help="Which key of that folder. [default: the only one, or that of broker]")
@insecure_flag
@metrics_option
@http_access_options
@log_options
def broker(
    bind: str,
    advertise: str | None,
    keys: str | None,
    name: str | None,
    insecure: bool,
    metrics: str | None,
    token_file: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
) -> None:
    """Introduce nodes and relay their events, until a signal.

    Weights never pass through it. One broker serves several runs. Beyond this machine it needs keys.
    """
    from .signals import run

    if keys is not None and insecure:
        raise click.UsageError("--keys and --insecure exclude each other: leave one of them out")
    check_used({"--metrics": metrics}, token_file, tls_cert, tls_key)
    endpoint = endpoint_of(metrics, token_file, tls_cert, tls_key, insecure=insecure)
    run(lambda: _serve(bind, advertise, keys, name, endpoint, insecure=insecure))


async def _serve(
    bind: str, advertise: str | None, keys: str | None, name: str | None, endpoint: Endpoint, *, insecure: bool
) -> None:
    from nervenet.broker.broker import Broker, watch_events
    from nervenet.nodes.config.schema import NetworkConfig
    from nervenet.nodes.runtime.secured import closing_gate, on_key_warning, security_of

    from .output import INSECURE, going_on, say, warn, warn_of_event

    security = security_of(NetworkConfig(keys=keys, insecure=insecure), name, "broker")
    on_key_warning(security, warn)
    if insecure:
        warn(INSECURE, "insecure")
    with closing_gate(security):
        async with (
            endpoint.open(say),
            Broker(bind, advertise=advertise, security=security, on_refused=warn_of_event) as serving,
        ):
            watch_events(serving, endpoint.count)
            with going_on():
                for service, address in serving.addresses.items():
                    print(f"{service.replace('_', ' '):<10} {address}")
            await serving.serve()
