"""The web view of a command: where it listens, who may look, and the server of its page."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .http_access import Access, access_of
from .http_listener import address_of, listening, url_of
from .output import warn

if TYPE_CHECKING:
    from nervenet.nodes.web.browsers import Browsers
    from nervenet.nodes.web.replays import Replays

OPTION = "--web"
DEFAULT = "127.0.0.1:8765"
STOP_S = 1  # for answers under way, when the server ends


@dataclass(frozen=True)
class Place:
    """Where a web view listens already, and who may look."""

    listener: socket.socket
    host: str
    access: Access
    url: str


def open_place(
    text: str, token_file: Path | None, certificate: Path | None, key: Path | None, *, insecure: bool
) -> Place:
    """Return the place that the options ask for; from now on browsers that come are queued.

    Raises
    ------
    ExperimentError, AddressInUse, BadAddress
    """
    host, port = address_of(OPTION, text)
    access, caution = access_of(OPTION, host, token_file, certificate, key, insecure=insecure)
    if caution:
        warn(caution, "insecure" if insecure else "warning")
    listener = listening(OPTION, host, port)
    return Place(listener, host, access, url_of(listener, host, encrypted=bool(access.certificate)))


async def serve_web(
    place: Place,
    browsers: Browsers,
    follow: Coroutine[Any, Any, None],
    *,
    replays: Replays | None = None,
    runs: Callable[[], list[dict[str, Any]]] = list,
) -> None:
    """Serve the page, with what `follow` gives the browsers' teller, until a signal comes or `follow` ends.

    Raises what `follow` raises.
    """
    import uvicorn
    from nervenet.nodes.web.app import web_app
    from nervenet.nodes.web.request_checks import RequestChecks

    from .http_streams import StreamingProtocol

    access = place.access
    checks = RequestChecks(
        access.allows,
        token=bool(access.token),
        any_host=bool(access.token or access.certificate),
        hosts=(place.host, socket.gethostname()),
    )
    config = uvicorn.Config(
        web_app(browsers, checks, replays=replays, runs=runs),
        http=StreamingProtocol,
        ws="none",
        lifespan="off",
        log_level="critical",  # what strangers send is no news
        access_log=False,
        ssl_certfile=access.certificate or None,
        ssl_keyfile=access.key or None,
        timeout_graceful_shutdown=STOP_S,
    )

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            browsers.end()  # streams have no end of their own
            await super().shutdown(sockets)

    server = Server(config)
    with place.listener as listener:
        async with _beside(server, follow, browsers.keep_telling()):
            await server.serve(sockets=[listener])


@asynccontextmanager
async def _beside(server: Any, *work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Let work go on beside a server; when one of it ends, or fails, the server ends."""
    from nervenet.nodes.web.background import ending_with

    def ended(_: object) -> None:
        server.should_exit = True

    tasks = [asyncio.create_task(each) for each in work]
    for task in tasks:
        task.add_done_callback(ended)
    async with ending_with(tasks):
        yield


def clock() -> float:
    """Return what time it is where events come from as they happen."""
    return time.time()
