"""Decides, for the listening sockets of a process, who may connect; and keeps watching that it is still so.

ZeroMQ asks one handler per context, and accepts everybody where there is none, or none any more. So a handler that
fails ends the listening sockets first, and their owners hear why; and each socket is told to refuse where nobody
answers (ZAP_ENFORCE_DOMAIN).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import zmq

from ..channel import Channel
from ..errors import AuthenticationFailed, KeysError, NoSocket
from ..transport_events import ConnectionRefused, Counters
from .allow_list import AllowList, Entry, read_allow_list, signature_of
from .connections import AcceptedConnections
from .keys import KeyPair
from .zap import ENDPOINT, Malformed, accepted, decide, parse_request, refused

WATCH_S = 0.5
_HANDSHAKE_MS = 10_000  # in which a connection proves its key, or is closed
_ZAP_FRAMES = 9

Context: TypeAlias = "zmq.Context[zmq.Socket[bytes]]"
OnRefused = Callable[[ConnectionRefused], None]
OnChange = Callable[[AllowList], None]


class Listener:
    """A listening socket of a gate: who its connections are, and what becomes of them."""

    def __init__(
        self, gate: Gate, context: Context, service: str, domain: str, on_refused: OnRefused, end: Callable[[], None]
    ) -> None:
        self.connections = AcceptedConnections()
        self.context = context
        self.service = service
        self.domain = domain
        self.on_refused = on_refused
        self.end = end  # closes the socket, at once
        self._gate = gate

    def sender(self, channel: Channel) -> Entry | None:
        """Return who sent the message being delivered; None, and the connection ends, if its key was revoked."""
        key = channel.user()
        self.connections.seen(channel.descriptor(), key)
        entry = self._gate.allowed.by_key.get(key)
        if entry is None:
            self.connections.cut(lambda known: known == key)
        return entry

    def refuse(self, entry: Entry, reason: str) -> None:
        """Report a message that the owner of a key has no business to send."""
        self.on_refused(ConnectionRefused(self.service, "", entry.public, entry.name, reason))

    def accepted(self, descriptor: int) -> None:
        """Remember a connection over which nothing has come yet."""
        self.connections.accepted(descriptor)

    def closed(self, descriptor: int) -> bool:
        """Forget a connection that has closed; return whether anything had come over it."""
        return self.connections.closed(descriptor)

    def close(self) -> None:
        self._gate.forget(self)


class Gate:
    """Authenticates by the allow-list of a folder, which may change at any time.

    It begins with the first socket, on the event loop of that, and is closed after the last. ZeroMQ asks one handler
    per context: it has one in each context of its sockets, for as long as there are any. ``own`` keys are allowed as
    well: those of the node itself, by which its next process asks whether this one lives.

    Attributes
    ----------
    allowed : AllowList
        As the folder was half a second ago, at most.
    """

    def __init__(
        self,
        folder: Path,
        *,
        on_warning: Callable[[str], None] = lambda _: None,
        own: KeyPair | None = None,
    ) -> None:
        self.folder = folder
        self.on_warning = on_warning
        self._own = own
        self._seen = signature_of(folder)
        self.allowed = self._read()
        self._told: set[str] = set()
        self._listeners: dict[str, Listener] = {}
        self._watchers: list[OnChange] = []
        self._handlers: dict[Context, Channel] = {}
        self._number = 0
        self._timer: asyncio.TimerHandle | None = None
        self._failure: AuthenticationFailed | None = None

    def _start(self) -> None:
        if self._timer is None:
            self._loop = asyncio.get_running_loop()
            self._timer = self._loop.call_later(0.0, self._tick)

    def listen(
        self,
        socket: zmq.Socket[bytes],
        keys: KeyPair,
        service: str,
        on_refused: OnRefused,
        end: Callable[[], None],
    ) -> Listener:
        """Make a socket that will be bound a CURVE server of these keys; ``end`` closes it if authentication fails.

        Raises
        ------
        AuthenticationFailed
            It has failed already.
        """
        if self._failure is not None:
            raise self._failure
        self._start()
        context = socket.context
        if context not in self._handlers:
            self._handlers[context] = self._handler(context)
        self._number += 1
        domain = f"{service}/{self._number}"
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret.encode())
        socket.setsockopt(zmq.ZAP_DOMAIN, domain.encode())
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        socket.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
        listener = self._listeners[domain] = Listener(self, context, service, domain, on_refused, end)
        return listener

    def forget(self, listener: Listener) -> None:
        """Stop answering for a socket that has been closed; its context can be ended after the last one."""
        self._listeners.pop(listener.domain, None)
        if all(other.context is not listener.context for other in self._listeners.values()):
            handler = self._handlers.pop(listener.context, None)
            if handler is not None:
                # Else the name is given back whenever ZeroMQ gets to it, and the next handler may not find it free.
                with suppress(zmq.ZMQError):
                    handler.socket.unbind(ENDPOINT)
                handler.close()

    def watch(self, on_change: OnChange) -> Callable[[], None]:
        """Call ``on_change`` with each new allow-list; return what ends that."""
        self._start()
        self._watchers.append(on_change)
        return lambda: self._watchers.remove(on_change) if on_change in self._watchers else None

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for listener in list(self._listeners.values()):
            self._end(listener)

    # Authentication

    def _handler(self, context: Context) -> Channel:
        try:
            socket = context.socket(zmq.ROUTER)
        except zmq.ZMQError as error:
            raise NoSocket(error.errno or 0, error.strerror) from None
        socket.setsockopt(zmq.LINGER, 0)
        try:
            socket.bind(ENDPOINT)
        except zmq.ZMQError:
            socket.close()
            raise KeysError("this ZeroMQ context has an authenticator already: give the node one of its own") from None
        return Channel(socket, deliver=self._ask, counters=Counters(), addressed=True, most_frames=_ZAP_FRAMES)

    def _ask(self, channel: Channel, identity: bytes, frames: list[Any]) -> None:
        try:
            answer = self.answer(frames[1:])  # the first one is the empty delimiter
            channel.socket.send_multipart([identity, b"", *answer], zmq.NOBLOCK)
        except BaseException as error:  # noqa: BLE001  whatever it is, nobody is let in from now on
            self._fail(f"{type(error).__name__}: {error}")

    def answer(self, frames: list[bytes]) -> list[bytes]:
        """Return the frames that answer those of a request, and report who is refused."""
        request = parse_request(frames)
        if isinstance(request, Malformed):
            self.on_warning(f"a connection was refused: {request.reason}")
            return refused(request.id, b"500")
        found = decide(request, self.allowed)
        if isinstance(found, Entry):
            return accepted(request, found)
        listener = self._listeners.get(request.domain)
        if listener is not None:
            listener.on_refused(found)
        return refused(request.id)

    def _fail(self, reason: str) -> None:
        """End every listening socket, then this handler; the owners hear of it by what ``end`` tells them."""
        if self._failure is not None:
            return
        self._failure = AuthenticationFailed(reason)
        self.close()

    def _end(self, listener: Listener) -> None:
        try:
            listener.end()
        except Exception as error:  # noqa: BLE001  the other sockets must be ended, too
            told = {"message": "a listening socket could not be ended in order", "exception": error}
            self._loop.call_exception_handler(told)
        self.forget(listener)

    @property
    def failure(self) -> AuthenticationFailed | None:
        """Why it lets nobody in any more, if so."""
        return self._failure

    # The allow-list

    def _tick(self) -> None:
        late_s = 0.0 if self._timer is None else self._loop.time() - self._timer.when()
        self._timer = self._loop.call_later(WATCH_S, self._tick)
        if self._listeners and late_s * 1000 >= _HANDSHAKE_MS:
            why = "its event loop was blocked, or it was stopped"
            self.on_warning(f"this process let nobody in for {late_s:.0f} s ({why}); who tried meanwhile tries again")
        self.look()

    def look(self) -> None:
        """Look whether the allow-list has changed, or the authenticator has gone; done twice a second."""
        if any(handler.socket.closed for handler in self._handlers.values()):
            self._fail("the handler's socket has been closed")
            return
        seen = signature_of(self.folder)
        if seen != self._seen:
            self._seen = seen
            self._changed(self._read())
        for problem in self.allowed.problems:
            if problem not in self._told:
                self._told.add(problem)
                self.on_warning(problem)
        self._told.intersection_update(self.allowed.problems)

    def _changed(self, newer: AllowList) -> None:
        gone = {entry.public for entry in self.allowed.without(newer)}
        self.allowed = newer
        for listener in list(self._listeners.values()):
            listener.connections.cut(lambda key: key in gone)
            if gone:
                listener.connections.cut_silent()
        for on_change in list(self._watchers):
            try:
                on_change(newer)
            except Exception as error:  # noqa: BLE001  the others must hear of it all the same
                told = {"message": "a changed list of keys could not be followed", "exception": error}
                self._loop.call_exception_handler(told)

    def _read(self) -> AllowList:
        found = read_allow_list(self.folder)
        own = self._own
        if own is None or own.name in found.by_name or own.public in found.by_key:
            return found
        entry = Entry(own.name, own.public, frozenset({"peer"}))
        return AllowList({**found.by_name, own.name: entry}, {**found.by_key, own.public: entry}, found.problems)
