"""The standard library's server, a thread a connection: answers beside a command's work whoever asks slowly."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TIMEOUT_S = 30.0  # a client that sends nothing for so long is cut off
LIFE_S = 60.0  # and any connection after so long, whatever it sends
CONNECTIONS = 32  # at once, each with its thread; others are closed


@contextlib.asynccontextmanager
async def serving(
    handler: type[BaseHTTPRequestHandler], listener: socket.socket, tls: ssl.SSLContext | None = None
) -> AsyncIterator[None]:
    """Have requests answered by threads, so many at once, beside what is done meanwhile."""
    server = _Server(listener.getsockname()[:2], handler, bind_and_activate=False)
    server.tls = tls
    server.socket.close()
    server.socket = listener
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    tls: ssl.SSLContext | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._room = threading.BoundedSemaphore(CONNECTIONS)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            with contextlib.suppress(OSError):  # no TLS, or gone
                self._answer(request, client_address)
            self.shutdown_request(request)
        finally:
            self._room.release()

    def _answer(self, request: Any, client_address: Any) -> None:
        request.settimeout(TIMEOUT_S)
        if self.tls is not None:  # here and not where it listens: a handshake must hold up nobody else
            request = self.tls.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
        end = threading.Timer(LIFE_S, _shut_down, [request])
        end.daemon = True
        end.start()
        try:
            if self.tls is not None:
                request.do_handshake()
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self.shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: whoever breaks off, or breaks the rules, is no news."""


def _shut_down(request: socket.socket) -> None:
    with contextlib.suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)
