"""What a launch says besides its run: warnings, and who was not let in."""

from __future__ import annotations

from collections.abc import Iterable

from nervenet.broker.transport_events import ConnectionRefused

from ..runtime.secured import RefusalEvents
from .run_events import RunEvents


class Announcements:
    """Published from `run.started` to the end. Earlier warnings are kept until then; who was refused knocks again."""

    def __init__(self) -> None:
        self._events: RunEvents | None = None
        self._early: list[str] = []
        self._refusals = RefusalEvents()

    def begin(self, events: RunEvents, warnings: Iterable[str]) -> None:
        """Publish what was kept, and what else is known to be worth a warning."""
        self._events = events
        for warning in (*self._early, *warnings):
            events.publish("warning", reason=warning)

    def end(self) -> None:
        self._events = None

    def warn(self, reason: str) -> None:
        if self._events is None:
            self._early.append(reason)
        else:
            self._events.publish("warning", reason=reason)

    def refused(self, refusal: ConnectionRefused) -> None:
        if (events := self._events) is not None:
            self._refusals.publish(refusal, lambda kind, fields: events.publish(kind, **fields))
