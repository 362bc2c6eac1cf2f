"""What was recorded of a run, and when each event of it is played: `Recording` reads it, `Timeline` places it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..config.keys import ExperimentError
from ..results.event_log import FIRST, parts_of, read_parts

IDLE_S = 30.0  # silence that is played as it was; of a longer one, a second
IDLE_PLAYED_S = 1.0
_LATEST = 1e11  # unix seconds; beyond it a time is none, and fractions of a second would be lost


class Recording:
    """The events of a recorded file (``nervenet monitor --record``, ``--json``, ``events.jsonl``) or of a run folder.

    Raises `ExperimentError` for what holds no events. Lines that are no events are left out, whatever they are.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._parts = (path / FIRST, *parts_of(path)) if path.is_dir() else (path,)
        try:
            empty = next(self.events(), None) is None
        except OSError as error:
            raise ExperimentError(f"{path}: cannot be read: {error.strerror or error}") from None
        if empty:
            raise ExperimentError(f"{path}: {self._without_events()}")

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the events from the first to the last that is there by now; each call begins again."""
        return (event for event in read_parts(*self._parts) if isinstance(event.get("type"), str))

    def length_s(self) -> float:
        """Return for how many seconds it plays at speed 1, which reads all of it."""
        timeline = Timeline()
        for event in self.events():
            timeline.place(event)
        return timeline.end_s

    def _without_events(self) -> str:
        if not self.path.exists():
            return "there is no such file or run folder"
        if self.path.is_dir():
            return "is no run folder that can be replayed: it holds no events.jsonl with events in it"
        return "holds no events; a recording has a JSON object with a type on each line, as --record writes it"


class Timeline:
    """Places events, in the order of their recording, on a line of seconds that begins with the first.

    Their times are of their publishers' clocks, which may differ; some are of long ago, because a monitor is told first
    how things stand; some may be nonsense. A publisher that is more than `IDLE_S` off the others gets an offset of its
    own; where all were silent for longer than that, a second is played.
    """

    def __init__(self) -> None:
        self.end_s = 0.0  # where the last event stands
        self._offset: float | None = None  # from times to seconds of this line, as the last publisher that led has it
        self._offsets: dict[str, float] = {}  # of those that have one of their own

    def place(self, event: Mapping[str, Any]) -> float:
        """Return where the next event stands."""
        time, node = event.get("time"), str(event.get("node"))[:100]
        if not isinstance(time, int | float) or not 0 <= time <= _LATEST:
            return self.end_s  # not to be trusted: it stands where the one before it does
        if self._offset is None:
            self._offset = -time
        for offset in (self._offsets.get(node, self._offset), self._offset):
            if abs(time + offset - self.end_s) <= IDLE_S:
                break
        else:
            late = time + offset < self.end_s
            offset = self.end_s - time + (0.0 if late else IDLE_PLAYED_S)
            if not late:
                self._offset = offset
        if offset == self._offset:
            self._offsets.pop(node, None)
        else:
            self._offsets[node] = offset
        self.end_s = max(self.end_s, time + offset)
        return self.end_s

    def unix_s(self, place_s: float) -> float:
        """Return which time it was, by the recording's clocks, at a place around the last event's."""
        return place_s - (self._offset or 0.0)
