"""``--metrics``: the figures of the runs that a command sees, where Prometheus fetches them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .http_access import Access, access_of
from .http_listener import address_of, listening, url_of
from .http_options import endpoint_option
from .output import warn

if TYPE_CHECKING:
    from nervenet.nodes.exporting.metrics import RunMetrics
    from nervenet.nodes.runtime.event_types import Event

OPTION, PATH = "--metrics", "/metrics"
metrics_option = endpoint_option("metrics", "127.0.0.1:9464", "Tell Prometheus the figures of the runs, at /metrics.")


@dataclass(frozen=True)
class Endpoint:
    """Where the metrics are told, and to whom; empty: nowhere."""

    host: str = ""
    port: int = 0
    access: Access = field(default_factory=Access)
    metrics: RunMetrics | None = None
    failures: set[type[Exception]] = field(default_factory=set)

    def count(self, event: Mapping[str, Any] | Event) -> None:
        """Take an event; one that cannot be counted costs nobody the others, nor the work of the command."""
        if self.metrics is None:
            return
        try:
            self.metrics.update(event)
        except Exception as error:  # noqa: BLE001
            if type(error) not in self.failures:
                self.failures.add(type(error))
                warn(f"{OPTION}: an event could not be counted: {type(error).__name__}: {error}")

    @contextlib.asynccontextmanager
    async def open(self, say: Callable[[str], None]) -> AsyncIterator[None]:
        """Answer meanwhile, in threads of their own: whoever asks slowly keeps nobody from anything."""
        if self.metrics is None:
            yield
            return
        from .threaded_server import serving

        with listening(OPTION, self.host, self.port) as listener:
            handler = type("Handler", (_Handler,), {"text": self.metrics.text, "access": self.access})
            say(f"metrics {url_of(listener, self.host, encrypted=bool(self.access.certificate))}{PATH}")
            async with serving(handler, listener, self.access.context()):
                yield


NOWHERE = Endpoint()


def endpoint_of(
    metrics: str | None, token_file: Path | None, certificate: Path | None, key: Path | None, *, insecure: bool
) -> Endpoint:
    """Return the endpoint that the options ask for.

    Raises
    ------
    ExperimentError
        The address is none, or anybody could ask there (`access_of`).
    MissingExtra
        prometheus_client is not installed.
    """
    if metrics is None:
        return Endpoint()
    host, port = address_of(OPTION, metrics)
    access, caution = access_of(OPTION, host, token_file, certificate, key, insecure=insecure)
    if caution:
        warn(caution, "insecure" if insecure else "warning")
    from nervenet.nodes.exporting.metrics import RunMetrics

    return Endpoint(host, port, access, RunMetrics())


class _Handler(BaseHTTPRequestHandler):
    text: Callable[[], bytes]
    access: Access

    def do_GET(self) -> None:
        from nervenet.nodes.runtime.exposition import TEXT

        if self.path.partition("?")[0] != PATH:
            self._answer(404, f"not found: the metrics are at {PATH}\n".encode())
        elif not self.access.allows(self.headers.get("authorization", "")):
            self._answer(401, b"expected the header Authorization: Bearer TOKEN\n", authenticate="Bearer")
        else:
            self._answer(200, type(self).text(), TEXT)

    do_HEAD = do_GET  # noqa: N815 - as the base class calls them

    def _answer(
        self, status: int, body: bytes, media: str = "text/plain; charset=utf-8", authenticate: str = ""
    ) -> None:
        self.send_response(status)
        self.send_header("content-type", media)
        self.send_header("content-length", str(len(body)))
        if authenticate:
            self.send_header("www-authenticate", authenticate)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Say nothing: requests are not logged."""
