"""What of a run's events is said in lines: each that a person should read; of a flood, how large it is."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping

from nervenet.nodes.monitoring.event_fields import Fields
from nervenet.nodes.monitoring.notices import notice
from nervenet.nodes.monitoring.run_view import RunView
from nervenet.nodes.runtime.printable import listed

AT_ONCE = 10  # lines about one type of event; of the rest is said how many there are
WINDOW_S = 2.0  # in which so many are said
HOLD_S = 0.5  # how an earlier incarnation ended is no news where a newer one is heard of by then
MANY = {
    "warning": "warnings",
    "node.lost": "nodes are lost",
    "round.failed": "rounds failed",
    "update.rejected": "updates were rejected",
    "connection.refused": "connections were refused",
    "site.declined": "sites declined",
    "gap": "gaps",
    "malformed": "lines about malformed events",
}


class Suspicions:
    """Collects suspicions into a line: a node under load is suspected by all its neighbors, one after the other."""

    def __init__(self) -> None:
        self._new: dict[str, str] = {}
        self._told: set[str] = set()

    def add(self, subject: str, line: str) -> None:
        if subject not in self._told:
            self._new.setdefault(subject, line)

    def take(self, suspected: set[str]) -> str | None:
        """Return a line of those suspected since the last; `suspected` still are, and are not told of again."""
        new, self._new = self._new, {}
        self._told = (self._told & suspected) | set(new)
        if len(new) < 2:
            return next(iter(new.values()), None)
        return f"{len(new)} nodes are suspected: {listed(sorted(new))}"


class Notices:
    """Says what happens, at once where it can.

    `say` takes a line; `now` returns seconds, of any clock that does not run backwards. `settle` is to be called now
    and then, and at the end.
    """

    def __init__(self, say: Callable[[str], None], now: Callable[[], float] = time.monotonic) -> None:
        self._say, self._now = say, now
        self._suspicions = Suspicions()
        self._said: dict[str, tuple[float, int]] = {}  # by type: since when, and how many
        self._omitted: Counter[str] = Counter()
        self._ends: dict[str, tuple[float, str]] = {}  # by run, how it failed: since when it is known

    def event(self, event: Fields) -> None:
        line, kind = notice(event), str(event.get("type"))
        if line is None:
            return
        if kind == "node.suspect":
            self._suspicions.add(str(event.get("subject")), line)
        elif kind == "run.failed":
            self._ends[str(event.get("run"))] = (self._now(), line)
        elif self._room(kind):
            self._say(line)
        else:
            self._omitted[kind] += 1

    def settle(self, runs: Mapping[str, RunView], newest: RunView, *, last: bool = False) -> None:
        """Say what was held back, as far as it is time to, or the `last` time."""
        line = self._suspicions.take({name for name, row in newest.rows.items() if row.state == "suspect"})
        if line is not None:
            self._say(line)
        for kind in [kind for kind in self._omitted if last or self._now() - self._said[kind][0] >= WINDOW_S]:
            self._say(f"… and {self._omitted.pop(kind)} more {MANY.get(kind, kind)}")
        for run, (at, line) in list(self._ends.items()):
            if run in runs and not runs[run].finished:
                del self._ends[run]  # it has been started again since
            elif last or self._now() - at >= HOLD_S:
                del self._ends[run]
                self._say(line)

    def _room(self, kind: str) -> bool:
        since, count = self._said.get(kind, (float("-inf"), 0))
        if self._now() - since >= WINDOW_S and not self._omitted[kind]:
            since, count = self._now(), 0
        self._said[kind] = (since, count + 1)
        return count < AT_ONCE
