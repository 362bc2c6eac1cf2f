"""Requests and their answers, matched by id; each has a deadline of its own and none waits for another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import zmq

from .channel import Channel, Envelope
from .codec import check_size
from .errors import BrokerUnreachable, ProtocolError
from .messages import Failed, Message
from .roster_frames import RosterReader
from .security.plain import LOCAL
from .sockets import CONTROL_QUEUE, Security, dial
from .transport_events import Counters
from .versions import of_header

Send = Callable[[Message, Any], None]
Request = Callable[[int], Message]


class RequestClient:
    """Sends requests by ``send(message, array)``, which must not wait, and hands each caller the answers to its own."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._id = 0
        self._answers: dict[int, asyncio.Queue[Message]] = {}

    async def ask(self, request: Request, deadline_s: float, array: Any = None) -> Message:
        """Return the answer to the request that ``request(id)`` makes; a `Failed` is an answer, too.

        Raises
        ------
        TimeoutError
            There was none within ``deadline_s`` seconds.
        """
        with self._waiting(request, array) as answers:
            return await self._next(answers, deadline_s)

    async def ask_repeatedly(
        self, request: Request, again: Callable[[], Awaitable[None]], array: Any = None
    ) -> Message:
        """Return the answer to a request that is sent once more, under the same id, each time ``again()`` returns."""
        made: list[Message] = []

        def once(id_: int) -> Message:
            made.append(request(id_))
            return made[0]

        async def repeat() -> None:
            while True:
                await again()
                self._send(made[0], array)

        with self._waiting(once, array) as answers:
            answer, repeating = asyncio.ensure_future(answers.get()), asyncio.ensure_future(repeat())
            try:
                await asyncio.wait({answer, repeating}, return_when=asyncio.FIRST_COMPLETED)
                if not answer.done():
                    repeating.result()  # what ended it is the caller's
                return await answer
            finally:
                answer.cancel()
                repeating.cancel()

    async def ask_many(self, request: Request, deadline_s: float) -> AsyncIterator[Message]:
        """Yield the answers to a request that has several, until the caller stops; each within ``deadline_s``."""
        with self._waiting(request) as answers:
            while True:
                yield await self._next(answers, deadline_s)

    def deliver(self, message: Message) -> None:
        """Take what came over the connection; a message that answers no open request is ignored.

        A `Failed` of id 0 (the request could not be read) answers every open request.
        """
        id_ = getattr(message, "id", None)
        if id_ == 0 and isinstance(message, Failed):
            for answers in self._answers.values():
                answers.put_nowait(message)
        elif id_ in self._answers:
            self._answers[id_].put_nowait(message)

    @contextmanager
    def _waiting(self, request: Request, array: Any = None) -> Iterator[asyncio.Queue[Message]]:
        self._id += 1
        id_ = self._id
        message = request(id_)
        answers = self._answers[id_] = asyncio.Queue()
        try:
            self._send(message, array)
            yield answers
        finally:
            del self._answers[id_]

    async def _next(self, answers: asyncio.Queue[Message], deadline_s: float) -> Message:
        try:
            async with asyncio.timeout(deadline_s):
                return await answers.get()
        except TimeoutError:
            if answers.empty():
                raise
            return answers.get_nowait()  # it came while this process stood still, and is read together with the end


class BrokerClient(RequestClient):
    """Requests to the directory at an address, where the broker need not be running yet.

    Create it on the event loop, and close it. With ``rosters`` its answers are read by that, which nodes of one process
    may share. Its deadlines raise `BrokerUnreachable`; ``refused`` is called with why
    the broker lets this node's key not in, or has not the key that is expected of it.
    """

    def __init__(
        self,
        address: str,
        context: zmq.Context[zmq.Socket[bytes]],
        security: Security = LOCAL,
        refused: Callable[[str], None] = lambda _: None,
        rosters: RosterReader | None = None,
    ) -> None:
        super().__init__(self._post)
        self._read = (rosters or RosterReader()).decode
        self.address = address
        self.counters = Counters()
        socket, self._dialer = dial(context, "directory.client", address, security=security, refused=refused)
        self._channel = Channel(
            socket,
            deliver=self._receive,
            dropped=lambda *_: None,  # the deadline of the request covers that
            counters=self.counters,
            queue=CONTROL_QUEUE,
        )

    def close(self, linger_s: float = 0.0) -> None:
        if self._dialer is not None:
            self._dialer.close()
        self._channel.close(linger_s)

    async def _next(self, answers: asyncio.Queue[Message], deadline_s: float) -> Message:
        try:
            return await super()._next(answers, deadline_s)
        except TimeoutError:
            self._channel.forget(b"")  # what has not left by now would come too late
            refused = "" if self._dialer is None else self._dialer.reason
            raise BrokerUnreachable(self.address, deadline_s, refused=refused) from None

    def _post(self, message: Message, _array: Any) -> None:
        envelope = Envelope.of(message)
        check_size(message, envelope.frames)
        self._channel.send(b"", envelope)

    def _receive(self, _: Channel, _identity: bytes, frames: list[Any]) -> None:
        try:
            message = self._read(frames)
        except ProtocolError as error:
            self.counters.malformed += 1
            if error.code == "version":  # a broker of another version does not know our ids
                self.deliver(Failed(0, error.code, of_header("the broker", error.version, "this node")))
            return
        self.deliver(message)
