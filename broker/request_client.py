"""Requests to a broker's directory: each has an id and a deadline, and none waits for another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import zmq

from .channel import Channel, Letter
from .codec import DEFAULT_LIMITS, Limits, check_size, decode, encode
from .errors import BadAddress, BrokerUnreachable, ProtocolError
from .messages import Failed, Message, tag_of
from .sockets import CONTROL_QUEUE, make
from .transport_events import Counters

__all__ = ["Requests"]


class Requests:
    """One DEALER to a directory; create it on the event loop, and close it.

    Parameters
    ----------
    address : str
        Of the directory. Nobody needs to be there yet.
    context : zmq.Context
    """

    def __init__(self, address: str, context: zmq.Context[zmq.Socket[bytes]], limits: Limits = DEFAULT_LIMITS) -> None:
        self.address = address
        self.counters = Counters()
        self._limits = limits
        self._id = 0
        self._answers: dict[int, asyncio.Queue[Message]] = {}
        socket = make(context, "directory.client", limits)
        try:
            socket.connect(address)
        except zmq.ZMQError:
            socket.close()
            raise BadAddress(
                address, "cannot be dialled; it takes tcp://HOST:PORT, ipc://PATH or inproc://NAME"
            ) from None
        self._channel = Channel(
            socket,
            deliver=self._deliver,
            dropped=lambda *_: None,  # the request's own deadline tells
            counters=self.counters,
            queue=CONTROL_QUEUE,
        )

    async def ask(self, request: Callable[[int], Message], deadline_s: float) -> Message:
        """The answer to the request that ``request(id)`` makes; a ``Failed`` is an answer, too.

        Raises
        ------
        BrokerUnreachable
            There was none within ``deadline_s`` seconds.
        """
        async for answer in self.ask_many(request, deadline_s):
            return answer
        raise AssertionError("ask_many ends by an answer or an error")  # pragma: no cover

    async def ask_many(self, request: Callable[[int], Message], deadline_s: float) -> AsyncIterator[Message]:
        """The answers to a request that has several, until the caller breaks off; each within ``deadline_s``."""
        self._id += 1
        id_ = self._id
        message = request(id_)
        frames = encode(message)
        check_size(message, frames, self._limits)
        answers = self._answers[id_] = asyncio.Queue()
        self._channel.send(b"", Letter(frames, tag_of(message), 0, len(frames[0]), 0))
        try:
            while True:
                async with asyncio.timeout(deadline_s):
                    answer = await answers.get()
                yield answer
        except TimeoutError:
            self._channel.forget(b"")  # what has not left by now would come too late
            raise BrokerUnreachable(self.address, deadline_s) from None
        finally:
            del self._answers[id_]

    def close(self, linger_s: float = 0.0) -> None:
        """Hang up."""
        self._channel.close(linger_s)

    def _deliver(self, _: Channel, _identity: bytes, frames: list[Any]) -> None:
        try:
            message, _array = decode(frames, self._limits)
        except ProtocolError as error:
            self.counters.spoiled += 1
            if error.code != "version":
                return
            # A broker of another version cannot know our ids: its answer goes to everybody who asked.
            for answers in self._answers.values():
                answers.put_nowait(Failed(0, error.code, error.reason))
            return
        id_ = getattr(message, "id", None)
        if id_ == 0 and isinstance(message, Failed):
            for answers in self._answers.values():
                answers.put_nowait(message)
        elif id_ in self._answers:
            self._answers[id_].put_nowait(message)
