"""Where a web view has its events from: a broker while a run goes on, or what stands in a folder or a file."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from ..monitoring.monitor import Monitor
from ..runtime.event_edge import STREAM, Edge, with_head
from .browsers import Browsers
from .log_tail import LogTail
from .teller import Teller
from .text import number

LOOK_S = 0.3  # how often a log that grows is looked at
SPELL_S = 0.02  # of work, before browsers have their turn


async def follow_broker(browsers: Browsers, broker: str, run: str | None = None, **secured: Any) -> None:
    """Give the teller the events of a broker, until this is cancelled."""
    teller = browsers.teller
    teller.also["source"] = broker
    async with Monitor(broker, run=run, **secured) as events:
        ended = False
        turn = _Turns()
        async for event in events.maps():
            teller.update(event)
            if event.get("node") != STREAM and (at := number(event.get("time"))) is not None:
                browsers.read(at)
            if teller.live is ended:  # the end is told at once
                ended = not teller.live
                browsers.tell()
            await turn.pause()


async def follow_log(browsers: Browsers, path: Path) -> None:
    """Give the teller the events of a run folder or a recorded file, and then those that are added to it."""
    tail, edge, teller, turn = LogTail(path), Edge(), browsers.teller, _Turns()
    teller.also["source"] = str(path)
    is_folder, summed_up = await asyncio.to_thread(path.is_dir), None
    while True:
        for raw in tail.new():
            event, malformed = edge.decode(with_head(raw))
            if malformed is not None:
                teller.update(malformed)
            teller.update(event)
            await turn.pause()
        if is_folder and not teller.live and teller.run is not summed_up:
            summed_up = teller.run
            summed_up.add_rows(path)
        teller.also["skipped_bytes"] = tail.skipped
        await asyncio.sleep(LOOK_S)


def told_of(path: Path) -> Teller:
    """Return what is to be told of a run folder or a recorded file, as it is now."""
    teller, edge = Teller(str(path)), Edge()
    for raw in LogTail(path).new():
        teller.update(edge.decode(with_head(raw))[0])
    if path.is_dir():
        teller.run.add_rows(path)
    return teller


class _Turns:
    """Lets other tasks of the event loop have their turn after each spell of work."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    async def pause(self) -> None:
        if time.monotonic() - self._since > SPELL_S:
            await asyncio.sleep(0)
            self._since = time.monotonic()
