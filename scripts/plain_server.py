"""The server of ``nervenet serve`` where uvicorn is not installed: the standard library's, a thread a request."""

from __future__ import annotations

import asyncio
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nervenet.nodes.serving import Answers

TIMEOUT_S = 30.0  # a client that sends nothing for so long is cut off


async def serve_plainly(answers: Answers, listener: socket.socket) -> None:
    """Answer requests until this is cancelled."""
    handler = type("Handler", (_Handler,), {"answers": answers})
    server = ThreadingHTTPServer(listener.getsockname()[:2], handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        await asyncio.Event().wait()
    finally:
        server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    answers: Answers
    timeout = TIMEOUT_S
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        match self.path.partition("?")[0]:
            case "/healthz":
                self._answer(self.answers.healthz())
            case "/model":
                self._answer(self.answers.model())
            case "/predict":
                self._answer(self.answers.refused(405, self.requestline[:80], "Method Not Allowed; allowed: POST"))
            case _:
                self._answer(self.answers.refused(404, self.requestline[:80], "Not Found"))

    def do_POST(self) -> None:
        from nervenet.nodes.serving import Malformed

        if self.path.partition("?")[0] != "/predict":
            self.close_connection = True  # its body has not been read
            self._answer(self.answers.refused(404, self.requestline[:80], "Not Found"))
            return
        try:
            self._answer(self.answers.predict(self._body()))
        except Malformed as error:
            self.close_connection = True
            self._answer(self.answers.malformed(error))
        except OSError:  # the client has gone, or was too slow
            self.close_connection = True

    def _body(self) -> bytes:
        from nervenet.nodes.serving import Malformed

        announced = self.headers.get("content-length", "")
        if not announced.isdigit():
            raise Malformed("the body's length is not announced; expected the header Content-Length")
        self.answers.check_length(announced)
        return self.rfile.read(int(announced))

    def _answer(self, answer: tuple[int, str]) -> None:
        status, text = answer
        body = text.encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Say nothing: requests are not logged."""
