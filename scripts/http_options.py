"""Who may read what a command tells over HTTP beside its work: the options, once for all such endpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

_FILE = click.Path(path_type=Path)
_ENDPOINTS = "Of the pages of this command"
_TOKEN = click.option(
    "--token-file", metavar="FILE", type=_FILE, help=f"{_ENDPOINTS}: requests must bear the token in this file."
)
_CERTIFICATE = click.option(
    "--tls-cert", metavar="FILE", type=_FILE, help=f"{_ENDPOINTS}: encrypt, by this certificate (PEM)."
)
_KEY = click.option("--tls-key", metavar="FILE", type=_FILE, help="The certificate's key (PEM).")


def http_access_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options by which `http_access.access_of` decides: token_file, tls_cert and tls_key."""
    for option in (_KEY, _CERTIFICATE, _TOKEN):  # the last decorator's option comes first in the help
        function = option(function)
    return function


def endpoint_option(name: str, default: str, text: str) -> Callable[..., Any]:
    """Return an option that stands alone, or with HOST:PORT behind it: None where it does not stand."""
    return click.option(
        f"--{name}", metavar="[HOST:PORT]", is_flag=False, flag_value=default, help=f"{text} [HOST:PORT: {default}]"
    )


def check_used(endpoints: Mapping[str, str | None], *files: Path | None) -> None:
    """Refuse --token-file, --tls-cert or --tls-key where no endpoint, by its option, is asked for."""
    from nervenet.nodes.config.keys import ExperimentError

    if any(files) and not any(endpoints.values()):
        told = "--token-file, --tls-cert and --tls-key"
        raise ExperimentError(f"{told}: nothing is told over HTTP; expected {' or '.join(endpoints)}, too")
