"""The server beside a command's work: how many connections it has, and how long each may last."""

from __future__ import annotations

import asyncio
import socket
import ssl
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from nervenet.scripts import threaded_server
from nervenet.scripts.threaded_server import serving


async def ends_of_two(monkeypatch: pytest.MonkeyPatch, connections: int) -> tuple[bool, bool]:
    """Open a connection that breaks off within its request, and a second one: whether each comes to an end."""
    monkeypatch.setattr(threaded_server, "CONNECTIONS", connections)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with serving(BaseHTTPRequestHandler, listener):
            reader, first = await asyncio.open_connection(*listener.getsockname())
            first.write(b"GET /metrics HTTP/1.1\r\n")
            other, second = await asyncio.open_connection(*listener.getsockname())
            try:
                async with asyncio.timeout(60):
                    return await reader.read() == b"", await other.read() == b""
            finally:
                for one in (first, second):
                    one.close()


async def test_a_connection_beyond_the_limit_is_closed_and_any_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threaded_server, "LIFE_S", 0.3)
    assert await ends_of_two(monkeypatch, 1) == (True, True)


async def test_one_without_an_end_would_keep_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threaded_server, "LIFE_S", 3600.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with serving(BaseHTTPRequestHandler, listener):
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            writer.write(b"GET /metrics HTTP/1.1\r\n")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await reader.read()
            writer.close()


class NoHandshake:
    """Stands in for TLS: the connection has been reset, or closed, before it began."""

    def __init__(self) -> None:
        self.tried = 0

    def wrap_socket(self, *_: Any, **__: Any) -> None:
        self.tried += 1
        raise ssl.SSLError("closed before the handshake")


async def test_who_breaks_off_before_the_handshake_takes_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threaded_server, "CONNECTIONS", 1)
    tls = NoHandshake()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with serving(BaseHTTPRequestHandler, listener, tls):  # type: ignore[arg-type]
            async with asyncio.timeout(60):
                while tls.tried < 3:  # one that comes while the place is taken is closed, and tries again
                    reader, writer = await asyncio.open_connection(*listener.getsockname())
                    assert await reader.read() == b""
                    writer.close()
