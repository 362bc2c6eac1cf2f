"""The requests at a broker: each is decoded, checked, decided by the directory or answered here, and answered once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import zmq

from .admission import Admission
from .bound_sockets import BoundSockets
from .channel import Channel, Envelope
from .codec import DEFAULT_LIMITS, decode
from .dial_back import BackDialer
from .directory import Directory, Outcome, Reply
from .errors import ProtocolError
from .guard.services import ServiceGuards
from .last_values import LastValues, snapshot_frame
from .limits import allowed
from .messages import (
    VERSION,
    BrokerInfo,
    DialBack,
    Failed,
    GetBrokerInfo,
    GetSnapshot,
    Join,
    Joined,
    Message,
    tag_of,
)
from .roster_frames import RosterFrames
from .sockets import CONTROL_QUEUE
from .transport_events import ConnectionRefused, Counters
from .versions import OURS, of_header

if TYPE_CHECKING:
    from .security.allow_list import Entry


class DirectoryServer:
    """Answers the requests that come to a socket.

    Parameters
    ----------
    socket : zmq.Socket
        Bound; it is closed with this.
    directory : Directory
        Decides about leases and rosters.
    last : LastValues
        What snapshots are of.
    sockets, guards, admission
        Who is behind a connection, what it may take, and what it may ask.
    publish : callable (type, run, **fields) -> None
        Called with what has happened.
    refused : callable (ConnectionRefused) -> None
        Called with who was not let into a run.
    fail : callable (BaseException) -> None
        Called with an error of the broker's own, which ends it.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        directory: Directory,
        last: LastValues,
        *,
        sockets: BoundSockets,
        guards: ServiceGuards,
        admission: Admission,
        counters: Counters,
        publish: Callable[..., None],
        refused: Callable[[ConnectionRefused], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._directory, self._last = directory, last
        self._sockets, self._guards, self._admission = sockets, guards, admission
        self._counters, self._publish, self._refused, self._fail = counters, publish, refused, fail
        self._rosters = RosterFrames()
        self._back_dialer = BackDialer(self._reply)
        self._requests = Channel(
            socket,
            deliver=self._request,
            counters=counters,
            queue=CONTROL_QUEUE,
            addressed=True,
            keyed=bool(sockets.listeners),
            heard=guards.heard,
        )
        guards.requests(self._requests)

    def close(self, linger_s: float) -> None:
        self._back_dialer.close()
        self._requests.close(linger_s)

    def execute(self, outcomes: list[Outcome]) -> None:
        """Send and publish what the directory has decided."""
        for outcome in outcomes:
            if isinstance(outcome, Reply):
                if isinstance(outcome.message, Failed) and outcome.message.code == "identity":
                    self._refused(ConnectionRefused("directory", "", "", "", outcome.message.reason))
                self._reply(outcome.identity, outcome.message)
            else:
                fields = dict(outcome)
                self._publish(fields.pop("type"), fields.pop("run"), **fields)

    def _request(self, channel: Channel, identity: bytes, frames: list[Any]) -> None:
        try:
            sender = self._sockets.sender("directory", channel)
            if self._admission.knows(sender):
                self._answer(identity, frames, sender, channel.source())
        except BaseException as error:  # noqa: BLE001  serve() raises it
            self._fail(error)

    def _answer(self, identity: bytes, frames: list[Any], sender: Entry | None, source: str) -> None:
        self._counters.bytes_received += sum(map(len, frames))
        try:
            message, _ = decode(frames)
        except ProtocolError as error:
            self._counters.malformed += 1
            self._guards.malformed()
            asks = "the node that asks"
            why = of_header(asks, error.version, "the broker") if error.version else error.reason
            self._reply(identity, Failed(0, error.code, why), error.version or VERSION)
            return
        self._guards.well_formed(identity)
        if (reason := self._admission.objection(message, sender)) is not None:
            self._reply(identity, Failed(getattr(message, "id", 0), "identity", reason))
        elif isinstance(message, GetSnapshot):
            self._give_snapshot(identity, message)
        elif isinstance(message, GetBrokerInfo):
            runs = self._directory.runs
            self._reply(identity, BrokerInfo(message.id, OURS.newest, OURS.oldest, OURS.release, time.time(), runs))
        elif isinstance(message, DialBack):
            self._back_dialer.ask(identity, message, source)
        else:
            outcomes = self._directory.handle(identity, message, self._loop.time())
            joined = any(isinstance(getattr(each, "message", None), Joined) for each in outcomes)
            if isinstance(message, Join) and joined:
                self._admission.joined(message, sender)
            self.execute(outcomes)

    def _give_snapshot(self, identity: bytes, message: GetSnapshot) -> None:
        if not self._guards.may_have_snapshot():
            most = f"{allowed('snapshots')} snapshots at once and then one a second are given to one connection"
            self._reply(identity, Failed(message.id, "limit", most))
            return
        for events, last in self._last.parts(message.prefix):
            frame = snapshot_frame(message.id, events, last)
            self._send(identity, Envelope([frame], "snapshot", 0, len(frame)))

    def _reply(self, identity: bytes, message: Message, version: int = VERSION) -> None:
        envelope = self._rosters.envelope(message) or Envelope.of(message, version=version)
        if envelope.header_bytes > DEFAULT_LIMITS.header_bytes:
            reason = f"the {tag_of(message)} exceeds the limit"
            envelope = Envelope.of(Failed(getattr(message, "id", 0), "oversize", reason))
        self._send(identity, envelope)

    def _send(self, identity: bytes, envelope: Envelope) -> None:
        self._guards.answered(identity, envelope.header_bytes)
        self._requests.send(identity, envelope)
