"""``nervenet serve``: predictions from a saved model over HTTP."""

from __future__ import annotations

import errno
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .http_access import Access, access_of
from .output import warn
from .plain_server import serve_plainly
from .saved_model import best_option, load_saved, own_option, saved_argument

if TYPE_CHECKING:
    from nervenet.models.site_model import SiteModel


@click.command()
@saved_argument
@click.option("--http", metavar="HOST:PORT", default="127.0.0.1:8000", show_default=True, help="Where to listen.")
@click.option(
    "--token-file", metavar="FILE", type=click.Path(path_type=Path), help="Requests must bear the token in this file."
)
@click.option("--tls-cert", metavar="FILE", type=click.Path(path_type=Path), help="Encrypt, by this certificate (PEM).")
@click.option("--tls-key", metavar="FILE", type=click.Path(path_type=Path), help="The certificate's key (PEM).")
@click.option("--insecure", is_flag=True, help="Leave this machine with neither: anybody may ask.")
@best_option
@own_option
def serve(
    saved: Path,
    http: str,
    token_file: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    insecure: bool,
    best: bool,
    own: str | None,
) -> None:
    """Answer predictions from a saved model over HTTP.

    RUN|MODEL is a run folder, or a model file. POST /predict with {"X_test": [[…], …]}, raw inputs, is answered by
    {"y_pred": […]}. GET /healthz says whether the server is up, GET /model what it serves. Beyond this machine it
    needs a token (Authorization: Bearer TOKEN) or TLS.
    """
    host, port = _address(http)
    access, caution = access_of(host, token_file, tls_cert, tls_key, insecure=insecure)
    if caution:
        warn(caution, "insecure" if insecure else "warning")
    from nervenet.models.artifact import read_extra

    from .signals import run

    site_model, path = load_saved(saved, best=best, own=own)
    info = {"metrics": {} if best else _metrics(saved)} | read_extra(path)
    run(lambda: _serve(site_model, info, host, port, access))


def _metrics(model: Path) -> dict[str, float | None]:
    """Return the model's metrics from the summary beside it, if there is one."""
    import json

    summary = (model if model.is_dir() else model.parent) / "summary.json"
    try:
        known = json.loads(summary.read_text(encoding="utf-8"))
        return {key: known[key] for key in ("accuracy", "r2", "loss") if key in known}
    except (OSError, ValueError, TypeError):
        return {}


def _address(http: str) -> tuple[str, int]:
    from nervenet.nodes.config.keys import ExperimentError

    host, colon, port = http.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise ExperimentError(f"--http {http}: expected HOST:PORT, as in 127.0.0.1:8000")
    return host.strip("[]"), int(port)


async def _serve(site_model: SiteModel, info: dict[str, Any], host: str, port: int, access: Access) -> None:
    from nervenet.models.extras import how_to_install, installed
    from nervenet.nodes.serving import Answers, predictor_app

    missing = next((package for package in ("starlette", "uvicorn") if not installed(package)), None)
    # Bound here and not by uvicorn, which exits by itself when the port is taken.
    with _listening(host, port) as listener:
        shown = f"[{host}]" if ":" in host else host
        scheme = "https" if access.certificate else "http"
        print(f"serving {scheme}://{shown}:{listener.getsockname()[1]}/predict", flush=True)
        if missing is not None:
            sys.stderr.write(f"by a server for a few clients at a time; {how_to_install(missing)}\n")
            await serve_plainly(Answers(site_model, info, allows=access.allows), listener, access.context())
            return
        import uvicorn

        from .http_connections import BoundedProtocol

        config = uvicorn.Config(
            predictor_app(site_model, info, allows=access.allows),
            http=BoundedProtocol,
            ws="none",
            log_level="critical",  # what strangers send is no news
            access_log=False,
            ssl_certfile=access.certificate or None,
            ssl_keyfile=access.key or None,
        )
        await uvicorn.Server(config).serve(sockets=[listener])


def _listening(host: str, port: int) -> socket.socket:
    from nervenet.broker.errors import AddressInUse, BadAddress

    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        dual = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
        # It listens at once: from here on connections are queued instead of refused.
        return socket.create_server(address[:2], family=family, dualstack_ipv6=dual)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(f"{host}:{port}") from None
        raise BadAddress(f"--http {host}:{port}", str(error.strerror)) from None
