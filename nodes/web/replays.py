"""A recording, played to each browser that asks, from where and as fast as it wants."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable

from ..monitoring.recording import Recording
from ..monitoring.replay import Replay
from ..runtime.event_edge import Edge, with_head
from .browsers import EVERY_S
from .teller import Teller

MOST = 8  # at once
FASTEST = 10_000.0
COMMENT_S = 10.0


class BadReplay(ValueError):
    """What was asked for cannot be played; with the status of the answer."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


class Replays:
    """Plays one recording; `clock` returns seconds. How long it is, is known once `measure` has returned."""

    def __init__(self, recording: Recording, clock: Callable[[], float]) -> None:
        self._length_s = 0.0
        self._recording = recording
        self._clock = clock
        self._playing = 0

    def measure(self) -> float:
        """Return for how many seconds it plays at speed 1; all of it is read for that."""
        self._length_s = round(self._recording.length_s(), 3)
        return self._length_s

    def play(self, /, speed: str = "1", at: str = "0", **_: str) -> AsyncGenerator[bytes, None]:
        """Return the messages for one browser. Raises BadReplay."""
        faster, place = _number("speed", speed), _number("at", at)
        if not 0 < faster <= FASTEST:
            raise BadReplay(f"speed is {speed[:20]}; expected a number above 0, up to {FASTEST:g}")
        if self._playing >= MOST:
            raise BadReplay(f"{MOST} replays are going on already", 503)
        return self._played(faster, place)

    async def _played(self, speed: float, place_s: float) -> AsyncGenerator[bytes, None]:
        self._playing += 1
        try:
            replay = Replay(self._recording.events(), speed=speed, from_s=place_s)
            teller, edge = Teller(str(self._recording.path)), Edge()
            first, silent_s = True, 0.0
            while True:
                while due := replay.due(self._clock()):
                    for raw in due:
                        event, malformed = edge.decode(with_head(raw))
                        if malformed is not None:
                            teller.update(malformed)
                        teller.update(event)
                    await asyncio.sleep(0)  # others have their turn
                now, at = replay.unix_s(self._clock()), replay.place_s(self._clock())
                how = {"length_s": self._length_s, "speed": speed, "ended": replay.ended}
                teller.also["replay"] = {**how, "at_s": round(at, 3)}
                news = teller.news(now)
                message = teller.state(now) if first else news
                first = False
                if message is not None:
                    silent_s = 0.0
                    yield message
                elif silent_s >= COMMENT_S:
                    silent_s = 0.0
                    yield b": nothing new\n\n"
                await asyncio.sleep(EVERY_S)
                silent_s += EVERY_S
        finally:
            self._playing -= 1


def _number(name: str, text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found) or found < 0:
        raise BadReplay(f"{name} is {text[:20]!r}; expected a number of at least 0")
    return found
