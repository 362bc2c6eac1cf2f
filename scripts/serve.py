"""``nervenet serve``: predictions over HTTP, from a saved model or from that of a run that goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .addresses import to_dial
from .http_access import Access, access_of
from .http_listener import address_of, listening, url_of
from .logs import log_options
from .output import going_on, warn
from .saved_model import best_option, load_saved, own_option

if TYPE_CHECKING:
    from nervenet.models.site_model import SiteModel
    from nervenet.nodes.serving.answers import Answers
    from nervenet.nodes.serving.live import RunFollower

STOP_S = 10  # for what is being answered when a signal ends the server


@click.command()
@click.argument("saved", metavar="RUN|MODEL", required=False, type=click.Path(path_type=Path))
@click.option("--http", metavar="HOST:PORT", default="127.0.0.1:8000", show_default=True, help="Where to listen.")
@click.option("--follow", is_flag=True, help="Of a run folder: serve the newest model while the run goes on.")
@click.option(
    "--broker", metavar="ADDRESS", callback=to_dial, help="The same, of the run of that broker on this machine."
)
@click.option("--max-rows", metavar="N", type=click.IntRange(1), default=100_000, show_default=True, help="A request.")
@click.option("--max-body", metavar="MIB", type=click.IntRange(1, 4096), default=16, show_default=True, help="A body.")
@click.option(
    "--token-file", metavar="FILE", type=click.Path(path_type=Path), help="Requests must bear the token in this file."
)
@click.option("--tls-cert", metavar="FILE", type=click.Path(path_type=Path), help="Encrypt, by this certificate (PEM).")
@click.option("--tls-key", metavar="FILE", type=click.Path(path_type=Path), help="The certificate's key (PEM).")
@click.option("--insecure", is_flag=True, help="Leave this machine with neither: anybody may ask.")
@best_option
@own_option
@log_options
def serve(
    saved: Path | None,
    http: str,
    follow: bool,
    broker: str | None,
    max_rows: int,
    max_body: int,
    token_file: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    insecure: bool,
    best: bool,
    own: str | None,
) -> None:
    """Answer predictions over HTTP.

    RUN|MODEL is a run folder, or a model file. POST /predict with {"X_test": [[…], …]}, raw inputs, is answered by
    {"y_pred": […]}; rows may be objects by column names, CSV or Arrow. /predict_proba tells probabilities,
    /openapi.json the rest. With --follow the model is that of a run that goes on, always the newest. Beyond this
    machine it needs a token (Authorization: Bearer TOKEN) or TLS.
    """
    host, port = address_of("--http", http)
    access, caution = access_of("--http", host, token_file, tls_cert, tls_key, insecure=insecure)
    if caution:
        warn(caution, "insecure" if insecure else "warning")
    from nervenet.nodes.serving.answers import Answers
    from nervenet.nodes.serving.live import RunFollower, no_model, run_of

    from .signals import run

    limits: dict[str, Any] = {"max_rows": max_rows, "max_body_bytes": max_body * 2**20}
    if best and (follow or broker is not None):
        raise click.UsageError("--best is of a run that has ended; --follow and --broker are of one that goes on")
    if follow or broker is not None:
        run_dir = None if saved is None else _run_dir(saved)
        if run_dir is None and broker is None:
            raise click.UsageError("--follow needs a run folder: nervenet serve RUN --follow")

        async def followed() -> None:
            follower = RunFollower(run_dir or await run_of(broker or ""), own, warn)
            await _serve(Answers(no_model(), allows=access.allows, **limits), follower, host, port, access)

        run(followed)
    elif saved is None:
        raise click.UsageError("missing RUN|MODEL: a run folder or a model file; or --broker ADDRESS")
    else:
        site_model, info = _saved(saved, best=best, own=own)
        run(lambda: _serve(Answers(site_model, info, allows=access.allows, **limits), None, host, port, access))


def _saved(saved: Path, *, best: bool, own: str | None) -> tuple[SiteModel, dict[str, Any]]:
    from nervenet.models.artifact import read_extra
    from nervenet.nodes.serving.answers import warm

    site_model, path = load_saved(saved, best=best, own=own)
    return warm(site_model), {"metrics": {} if best else _metrics(saved)} | read_extra(path)


def _run_dir(saved: Path) -> Path:
    from nervenet.nodes.config.keys import ExperimentError

    if not (saved / "experiment.toml").is_file():
        raise ExperimentError(f"{saved}: is no run folder to follow: it holds no experiment.toml")
    return saved


def _metrics(model: Path) -> dict[str, float | None]:
    """Return the model's metrics from the summary beside it, if there is one."""
    import json

    summary = (model if model.is_dir() else model.parent) / "summary.json"
    try:
        known = json.loads(summary.read_text(encoding="utf-8"))
        return {key: known[key] for key in ("accuracy", "r2", "loss") if key in known}
    except (OSError, ValueError, TypeError):
        return {}


async def _serve(answers: Answers, follower: RunFollower | None, host: str, port: int, access: Access) -> None:
    import uvicorn
    from nervenet.nodes.serving.app import app_of
    from nervenet.nodes.serving.live import follow

    from .http_connections import BoundedProtocol

    # Bound here and not by uvicorn, which exits by itself when the port is taken.
    with listening("--http", host, port) as listener:
        with going_on():
            print(f"serving {url_of(listener, host, encrypted=bool(access.certificate))}/predict")
        async with _beside(None if follower is None else follow(answers, follower)):
            config = uvicorn.Config(
                app_of(answers),
                http=BoundedProtocol,
                ws="none",
                log_config=None,
                log_level="critical",  # what strangers send is no news
                access_log=False,
                ssl_certfile=access.certificate or None,
                ssl_keyfile=access.key or None,
                timeout_graceful_shutdown=STOP_S,
            )
            await uvicorn.Server(config).serve(sockets=[listener])


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None] | None) -> AsyncIterator[None]:
    """Let work go on beside the server, and end with it; what ends it before is said."""
    if work is None:
        yield
        return

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            warn(f"the run is no longer followed: {type(error).__name__}: {error}")

    task = asyncio.create_task(work, name="follow")
    task.add_done_callback(ended)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
