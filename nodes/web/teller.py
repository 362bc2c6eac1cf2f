"""What browsers are told: a state, and then changes that are numbered; pure, told what time it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ..monitoring.event_fields import Fields
from ..runtime.event_types import Event
from .text import short
from .watched_run import WatchedRun

MOST_RUNS = 1024  # whose names are known: an event that comes late begins none of them anew
ALIVE_S = 2.0  # how often at least a browser hears what time it is, while a run goes on

_JSON = msgspec.json.Encoder()


class Teller:
    """Follows the newest of the runs whose events it is given, and tells of it.

    Parameters
    ----------
    source
        Where the events are from, for people.
    also
        What every state says in addition, such as ``replay``.
    """

    def __init__(self, source: str = "", also: Mapping[str, Any] | None = None) -> None:
        self.run = WatchedRun()
        self.also: dict[str, Any] = {"source": source, "replay": None, **(also or {})}
        self._v = 0
        self._seen: dict[str, None] = {}  # names of the last runs, the newest at the end
        self._anew = False  # whether a whole state has to be told next
        self._told_at = float("-inf")
        self._told_also: dict[str, Any] = {}

    @property
    def live(self) -> bool:
        return not self.run.view.finished

    def update(self, event: Fields) -> None:
        name = event.raw.get("run") if isinstance(event, Event) else event.get("run")
        if name and name != self.run.view.run:
            if name in self._seen:
                return  # a straggler of a run before
            self.show(WatchedRun(str(name)))
        self.run.update(event)

    def show(self, run: WatchedRun) -> None:
        """Tell of another run from now on, or of the same as somebody else has followed it."""
        name = run.view.run
        self._seen.pop(name, None)
        self._seen[name] = None
        if len(self._seen) > MOST_RUNS:
            del self._seen[next(iter(self._seen))]
        self.run, self._anew = run, True

    def state(self, now: float) -> bytes:
        """Return a message with everything, as the last `news` left it."""
        return _message("state", {**self._head(now), **self.also, **self.run.whole(now)})

    def state_json(self, now: float) -> bytes:
        return _JSON.encode({**self._head(now), **self.also, **self.run.whole(now)})

    def summary(self, name: str) -> dict[str, Any]:
        """Return what is compared with other runs."""
        whole = self.run.whole(0.0)
        return {"name": name, "outcome": whole["outcome"], "rounds": whole["rounds"]}

    def node_json(self, name: str) -> bytes | None:
        """Return a node's curves, as far as they go, and of which run they are; None where there are none."""
        found = self.run.curves(name)
        return None if found is None else _JSON.encode({"run": short(self.run.view.run), "name": name, **found})

    def news(self, now: float) -> bytes | None:
        """Return the message that everybody who has a state needs next; None for none."""
        found = self.run.changes(now)
        if self._anew or (found or {}).get("whole"):
            self._anew = False
            self._v += 1
            return self.state(now)
        also = {key: value for key, value in self.also.items() if self._told_also.get(key) != value}
        if not found and not also and (not self.live or now - self._told_at < ALIVE_S):
            return None
        self._told_at, self._told_also = now, dict(self.also)
        self._v += 1
        return _message("delta", {**self._head(now), **also, **(found or {})})

    def _head(self, now: float) -> dict[str, Any]:
        return {"v": self._v, "now": now, "live": self.live}


def _message(kind: str, fields: Mapping[str, Any]) -> bytes:
    """Return a server-sent event."""
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), _JSON.encode(fields))
