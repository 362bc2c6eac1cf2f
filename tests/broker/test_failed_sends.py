"""A send that fails may have taken in what ZeroMQ had to announce: the socket is looked at again, or nobody would."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import pytest
import zmq
from nervenet.broker.channel import Channel, Envelope
from nervenet.broker.messages import Goodbye
from nervenet.broker.transport_events import Counters


class Refusing:
    """A socket whose sends fail, and which is readable from the first one on, though its descriptor does not say so."""

    def __init__(self, errno: int) -> None:
        self.errno = errno
        self.silent, self._other = os.pipe()
        self.readable, self.sent = False, False

    def send(self, *_: Any, **__: Any) -> None:
        self.readable, self.sent = self.readable or not self.sent, True
        raise zmq.Again() if self.errno == zmq.EAGAIN else zmq.ZMQError(self.errno)

    def recv(self, *_: Any, **__: Any) -> Any:
        self.readable = False
        raise zmq.Again

    def getsockopt(self, option: int) -> int:
        return self.silent if option == zmq.FD else zmq.POLLIN * self.readable

    def close(self, *_: Any, **__: Any) -> None:
        os.close(self.silent)
        os.close(self._other)


@pytest.fixture(params=[zmq.EHOSTUNREACH, zmq.EAGAIN])
def socket(request: pytest.FixtureRequest) -> Iterator[Refusing]:
    made = Refusing(request.param)
    yield made
    made.close()


async def look_after(socket: Any) -> bool:
    """Return whether the socket is read after a send that fails."""
    channel = Channel(socket, deliver=lambda *_: None, counters=Counters(), addressed=True)
    channel.send(b"nobody", Envelope.of(Goodbye(1, "done")))
    for _ in range(3):
        await asyncio.sleep(0)
    read = not socket.readable
    socket.close, close = (lambda *_, **__: None), socket.close
    channel.close()
    socket.close = close
    return read


async def test_what_came_with_a_failed_send_is_read(socket: Any) -> None:
    assert await look_after(socket)


async def test_it_would_stay_unread(socket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Channel, "_poll_again", lambda _: None)
    assert not await look_after(socket)
