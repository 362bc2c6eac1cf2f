"""The worker of a peer whose neighbors' models come in ranges: puts them together; all else its role does."""

from __future__ import annotations

from typing import Any

from nervenet.broker.messages import Payload

from ...large.vectors import Received, Room
from ...runtime import effects as e
from ...runtime import events as ev
from ...runtime.worker import Cancellation, Deferred, RoleWorker


class LargeWorker:
    """Does what a peer's `role` does, and keeps what comes of arrays in a `room`."""

    def __init__(self, role: RoleWorker, room: Room) -> None:
        self.role = role
        self._received = Received(room, several=True)

    def snapshot(self, effect: e.Effect) -> e.Effect:
        return self.role.snapshot(effect)

    def perform(self, effect: e.Effect, cancellation: Cancellation) -> ev.Event | Deferred | None:
        match effect:
            case e.KeepRange():
                return self._received.keep(effect)
            case e.DropVector(number):
                self._received.drop(number)
                return None
            case _:
                return self.role.perform(effect, cancellation)

    def unpack(self, array: Any, payload: Payload | None) -> tuple[Any, str | None]:
        return self.role.unpack(array, payload)
