"""A view that follows events, live or recorded, to the end of the runs that they are of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable
from pathlib import Path
from typing import IO

from nervenet.nodes.runtime.event_types import AnyEvent

from .views import RunViews, View

AFTER_END_S = 0.5  # what comes first tells of the past: of a run that ended, and has been resumed since


class Record:
    """Appends events to a file, a line each; one that takes no more is a warning, and what is watched goes on."""

    def __init__(self, path: Path) -> None:
        from nervenet.nodes.config.keys import ExperimentError

        self._path = path
        try:
            self._file: IO[str] | None = path.open("a", encoding="utf-8")
        except OSError as error:
            raise ExperimentError(f"--record {path}: cannot be written: {error.strerror}") from None

    def __enter__(self) -> Record:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, event: AnyEvent) -> None:
        from nervenet.nodes.results.run_dir import to_json

        from .output import warn

        if self._file is None:
            return
        try:
            self._file.write(to_json(event.raw) + "\n")
            self._file.flush()
        except OSError as error:
            warn(f"{self._path} is not whole: {error.strerror}; nothing more is recorded")
            file, self._file = self._file, None
            _give_up(file)


async def follow(
    view: View,
    events: AsyncIterable[AnyEvent],
    record: Record | None = None,
    *,
    stay: bool = False,
    look: Callable[[AnyEvent], None] = lambda _: None,
) -> None:
    """Show and record events until every run that was seen has ended; with `stay`, until there are no more.

    `look` is called with each.
    """
    runs = RunViews()  # decides when to end, whatever is shown
    arriving = aiter(events)
    until: float | None = None
    while True:
        try:
            async with asyncio.timeout_at(until):
                event = await anext(arriving)
        except (TimeoutError, StopAsyncIteration):
            return
        view.event(event)
        look(event)
        if record is not None:
            record.write(event)
        runs.update(event)
        if not runs.all_finished or stay:
            until = None
        elif until is None:
            until = asyncio.get_running_loop().time() + AFTER_END_S
        # Events that are there already do not yield to the event loop; the display needs its turn.
        await asyncio.sleep(0)


def _give_up(file: IO[str]) -> None:
    """Close a file whose last words cannot be written."""
    try:
        file.close()
    except OSError:
        return
