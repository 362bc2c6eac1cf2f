"""Where events from elsewhere are decoded: a monitor, the launcher, a relay."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from .event_fitting import fit

STREAM = "stream"  # as in `nervenet.broker.events`, which loads ZeroMQ
_DISTINCT = 256  # publishers and types whose malformed events are told apart
_HEAD = {"run": "", "node": "", "role": "", "incarnation": 0, "seq": 0, "time": 0.0}
"""What every event has that is received; those that a run folder sums up, or that somebody has written, may not."""


class Edge:
    """Decodes events; counts those that do not fit their types."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._seq = 0

    def decode(self, raw: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Return what fits of an event; and for the first of a kind that does not, the tenth, the hundredth and so on,
        an event that says so.
        """
        fields, problem = fit(raw)
        if not problem:
            return fields, None
        key = (str(raw.get("node"))[:100], str(raw.get("type"))[:100])
        if key not in self._counts and len(self._counts) >= _DISTINCT:
            key = ("others", "any")
        self._counts[key] += 1
        count = self._counts[key]
        if 10 ** (len(str(count)) - 1) != count:
            return fields, None
        said = {"subject": key[0], "about": key[1], "count": count, "reason": problem}
        return fields, self._own("malformed", str(raw.get("run", "")), **said)

    def _own(self, kind: str, run: str, **fields: Any) -> dict[str, Any]:
        self._seq += 1
        head = {"type": kind, "run": run, "node": STREAM, "role": "monitor", "incarnation": 0}
        return head | {"seq": self._seq, "time": time.time()} | fields


def with_head(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recorded event with what every event has that is received."""
    return {**_HEAD, **{name: value for name, value in event.items() if value is not None or name not in _HEAD}}
