"""What a launch says before its events are taken, and after that."""

from typing import Any, cast

from nervenet.broker.transport_events import ConnectionRefused
from nervenet.nodes.launching.announcements import Announcements
from nervenet.nodes.launching.run_events import RunEvents


class Published:
    """Takes events where `RunEvents` would publish them."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str]] = []

    def publish(self, kind: str, **fields: Any) -> None:
        self.all.append((kind, fields["reason"]))


def begun(announcements: Announcements, *warnings: str) -> list[tuple[str, str]]:
    events = Published()
    announcements.begin(cast("RunEvents", events), warnings)
    return events.all


def test_an_early_warning_is_published_first_of_all() -> None:
    announcements = Announcements()
    announcements.warn("waits for workers")
    published = begun(announcements, "rows left out")
    announcements.warn("a key has expired")
    reasons = [reason for kind, reason in published if kind == "warning"]
    assert reasons == ["waits for workers", "rows left out", "a key has expired"]


async def test_who_knocks_before_the_beginning_is_announced_only_when_it_knocks_again() -> None:
    announcements = Announcements()
    stranger = ConnectionRefused("inbox.launcher", "", "tcp://127.0.0.1:9", "mallory", "no such node")
    announcements.refused(stranger)
    published = begun(announcements)
    assert published == []
    announcements.refused(stranger)
    assert published == [("connection.refused", "no such node")]


async def test_after_the_end_nothing_is_published() -> None:
    announcements = Announcements()
    published = begun(announcements)
    announcements.end()
    announcements.warn("too late")
    announcements.refused(ConnectionRefused("inbox.launcher", "", "", "mallory", "no such node"))
    assert published == []
