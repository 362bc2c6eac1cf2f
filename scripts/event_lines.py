"""The last of what happened, as lines: in sentences, and every event."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from nervenet.nodes.monitoring.event_fields import Fields
from nervenet.nodes.runtime.event_fitting import fitted
from nervenet.nodes.runtime.printable import printable
from nervenet.nodes.web.feed import Feed
from nervenet.nodes.web.text import short

MOST = 1000  # of each
_LISTED = 4  # values of a list that are written out
_HEAD = {"type", "run", "node", "role", "incarnation", "seq", "time", "round", "subject"}


class EventLines:
    """The feed's lines, and the log's events; `dropped` says how many there were before those that are kept."""

    def __init__(self) -> None:
        self._feed = Feed()
        self._said: deque[Mapping[str, Any]] = deque(maxlen=MOST)
        self._events: deque[Mapping[str, Any]] = deque(maxlen=MOST)
        self._counts = {"feed": 0, "log": 0}

    def update(self, event: Fields) -> None:
        event = fitted(event)
        self._feed.update(event)
        while self._feed.new:
            self._said.append(self._feed.new.popleft())
            self._counts["feed"] += 1
        self._events.append(event)
        self._counts["log"] += 1

    def feed(self) -> list[str]:
        return [_sentence(line) for line in self._said]

    def log(self) -> list[str]:
        return [log_line(event) for event in self._events]

    def of_node(self, name: str, most: int) -> list[str]:
        """Return the last sentences about a node."""
        about = [_sentence(line) for line in self._said if line["node"] == name]
        return about[-most:] if most > 0 else []

    def dropped(self, page: str) -> int:
        """Return how many lines of the feed or the log are no longer there."""
        return self._counts[page] - len(self._said if page == "feed" else self._events)


def log_line(event: Mapping[str, Any]) -> str:
    """Return an event in a line: when, who, what, and its fields, of long ones how long they are."""
    about = [f"round {event['round']}"] if "round" in event else []
    about += [str(event["subject"])] if "subject" in event else []
    fields = (f"{name}={_shown(event[name])}" for name in event if name not in _HEAD)
    return short(" ".join([_clock(event.get("time")), str(event.get("node")), str(event.get("type")), *about, *fields]))


def _sentence(line: Mapping[str, Any]) -> str:
    return f"{_clock(line['time'])}  {line['text']}"


def _clock(at: Any) -> str:
    if not isinstance(at, int | float):  # of None the system makes the present
        return "--:--:--"
    try:
        return time.strftime("%H:%M:%S", time.localtime(at))
    except (OverflowError, ValueError, OSError):  # in a year that no calendar has
        return "--:--:--"


def _shown(value: Any) -> str:
    match value:
        case float():
            return f"{value:.6g}"
        case str():
            return printable(value[:80])
        case Mapping():
            return f"{{{len(value)}}}"
        case list() | tuple():
            deep = any(isinstance(each, Mapping | list | tuple) for each in value[:_LISTED])
            return f"[{len(value)}]" if deep or len(value) > _LISTED else _joined(value)
    return str(value)[:80]


def _joined(values: Iterable[Any]) -> str:
    return ",".join(str(value)[:20] for value in values)
