"""The standard library's server, a thread a request: for `serve` without uvicorn, and beside other work."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nervenet.nodes.serving.answers import Answer, Answers

TIMEOUT_S = 30.0  # a client that sends nothing for so long is cut off
LIFE_S = 60.0  # and any connection after so long, whatever it sends
STOP_S = 10  # for what is being answered when a signal ends the server
ASKED = ("/predict", "/predict_proba")
TOLD = ("/healthz", "/model", "/metrics", "/openapi.json")
CONNECTIONS = 32  # at once, each with its thread; others are closed


async def serve_plainly(answers: Answers, listener: socket.socket, tls: ssl.SSLContext | None = None) -> None:
    """Answer requests until this is cancelled."""
    async with serving(type("Handler", (_Handler,), {"answers": answers}), listener, tls):
        await asyncio.Event().wait()


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
        server.ending = True
        server.shutdown()
        until = time.monotonic() + STOP_S
        while server.answering and time.monotonic() < until:  # noqa: ASYNC110 - they are threads
            await asyncio.sleep(0.01)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    tls: ssl.SSLContext | None = None
    ending = False  # answers what has been asked, and takes nothing further

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._room = threading.BoundedSemaphore(CONNECTIONS)
        self.answering: set[object] = set()  # handlers of connections by which a request has come

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        request.settimeout(TIMEOUT_S)
        if self.tls is not None:
            request = self.tls.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
        end = threading.Timer(LIFE_S, _shut_down, [request])
        end.daemon = True
        end.start()
        try:
            if self.tls is not None:  # here and not where it listens: a handshake must hold up nobody else
                request.do_handshake()
            super().process_request_thread(request, client_address)
        except OSError:  # no TLS, or gone
            self.shutdown_request(request)
        finally:
            end.cancel()
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: whoever breaks off, or breaks the rules, is no news."""


def _shut_down(request: socket.socket) -> None:
    with contextlib.suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    answers: Answers
    timeout = TIMEOUT_S
    protocol_version = "HTTP/1.1"
    _began = 0.0

    def do_GET(self) -> None:
        answers = self.answers
        told = {"/model": answers.model, "/metrics": answers.exposition, "/openapi.json": answers.openapi}
        match self._path:
            case "/healthz":
                self._answer(answers.healthz())
            case path if path in told:
                self._answer(told[path]() if self._authorized() else answers.unauthorized())
            case _:
                self._refuse()

    do_HEAD = do_GET  # noqa: N815 - as the base class calls them

    def do_POST(self) -> None:
        from nervenet.nodes.serving.answers import Asked
        from nervenet.nodes.serving.refusals import Malformed

        if self._path not in ASKED:
            self._refuse()
            return
        if not self._authorized():
            self.close_connection = True
            self._answer(self.answers.unauthorized())
            return
        try:
            headers = ("content-type", "accept", "content-encoding")
            asked = Asked(*(self.headers.get(name, "") for name in headers))
            body = self._body()
            try:
                answer = self.answers.predict(body, asked, proba=self._path == "/predict_proba")
            except Exception as error:  # noqa: BLE001 - of the model: its request is answered all the same
                why = f"{type(error).__name__}: {error}"
                answer = self.answers.failed(500, f"POST {self._path}", why)
            self._answer(answer)
        except Malformed as error:
            self.close_connection = True
            self._answer(self.answers.refused(error))
        except OSError:  # the client has gone, or was too slow
            self.close_connection = True

    def _refuse(self) -> None:
        """Answer a path that there is not, or another method than it has."""
        self.close_connection = True  # its body, if any, has not been read
        allowed = "POST" if self._path in ASKED else "HEAD, GET" if self._path in TOLD else ""
        status, why = (405, "Method Not Allowed") if allowed else (404, "Not Found")
        self._answer(self.answers.failed(status, self.requestline[:80], why, allowed))

    do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _refuse  # noqa: N815

    @property
    def _path(self) -> str:
        return self.path.partition("?")[0]

    def _authorized(self) -> bool:
        return self.answers.allows(self.headers.get("authorization", ""))

    def _body(self) -> bytes:
        from nervenet.nodes.serving.refusals import Malformed

        announced = self.headers.get("content-length", "")
        if not announced.isdigit():
            raise Malformed("the body's length is not announced; expected the header Content-Length")
        self.answers.check_length(announced)
        return self.rfile.read(int(announced))

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        finally:
            self.server.answering.discard(self)

    def parse_request(self) -> bool:
        self._began = time.perf_counter()
        self.server.answering.add(self)
        parsed = super().parse_request()
        self.close_connection = self.close_connection or self.server.ending
        return parsed

    def _answer(self, answer: Answer) -> None:
        path = self._path if self._path in (*ASKED, *TOLD) else "other"
        self.answers.metrics.answered(path, answer.status, time.perf_counter() - self._began)
        self.send_response(answer.status)
        self.send_header("content-type", answer.media)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(answer.body)))
        if self.close_connection:  # else a client sends its next request over it
            self.send_header("connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Say nothing: requests are not logged."""
