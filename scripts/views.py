"""The ways to follow a run: a live table, lines for a log, events as JSON lines, or nothing."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol

from nervenet.nodes.monitoring.run_view import RunView, notice

REFRESH_S = 0.125
PLAIN_LINE_EVERY_S = 2.0


class View(Protocol):
    """What a command prints of a run; used within its own `running` context."""

    def event(self, event: Mapping[str, Any]) -> None:
        """Show one event."""

    def note(self, text: str) -> None:
        """Print a line that is not an event."""

    def running(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Keep the view up to date for as long as the context is open."""


def choose_view(*, quiet: bool = False, json: bool = False) -> View:
    """Return the view for the flags and for where standard output goes."""
    if json:
        return JsonView()
    if quiet:
        return QuietView()
    return LiveView() if sys.stdout.isatty() else PlainView()


class JsonView:
    """Every event as a line of JSON on standard output; everything else on standard error."""

    def __init__(self) -> None:
        from nervenet.nodes.results.run_dir import to_json

        self._to_json = to_json
        self._open = True

    def event(self, event: Mapping[str, Any]) -> None:
        """Write the event; when the reader has closed the pipe, the run goes on without."""
        if not self._open:
            return
        try:
            sys.stdout.write(self._to_json(event) + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            self._open = False

    def note(self, text: str) -> None:
        """Print it on standard error."""
        print(text, file=sys.stderr, flush=True)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Nothing needs to be kept up to date."""
        yield


class QuietView:
    """No display; notes alone."""

    def event(self, event: Mapping[str, Any]) -> None:
        """Ignore it."""

    def note(self, text: str) -> None:
        """Print it."""
        print(text, flush=True)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Nothing needs to be kept up to date."""
        yield


class RunViews:
    """A view of each run that has published events; the newest one is shown."""

    def __init__(self, known: RunView | None = None) -> None:
        self.by_run: dict[str, RunView] = {} if known is None else {known.run: known}
        self.changed = False

    @property
    def newest(self) -> RunView:
        """The run whose first event came last."""
        return next(reversed(self.by_run.values())) if self.by_run else RunView()

    @property
    def all_finished(self) -> bool:
        """Whether there are runs, and all of them have ended."""
        return bool(self.by_run) and all(view.finished for view in self.by_run.values())

    def update(self, event: Mapping[str, Any]) -> None:
        """Apply an event to its run; events of no run (a broker's own) are not shown."""
        run = event.get("run")
        if run:
            self.by_run.setdefault(str(run), RunView(run=str(run))).update(event)
            self.changed = True


class PlainView:
    """For logs: notices at once, and a line of progress every two seconds in which there was any.

    Parameters
    ----------
    known
        What is known of a run beforehand, where no event will say.
    """

    def __init__(self, known: RunView | None = None) -> None:
        self._runs = RunViews(known)

    def event(self, event: Mapping[str, Any]) -> None:
        """Apply the event, and print what should be read."""
        self._runs.update(event)
        line = notice(event)
        if line is not None:
            self.note(line)

    def note(self, text: str) -> None:
        """Print it."""
        print(text, flush=True)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Print progress while the context is open."""
        async with _repeating(self._progress, PLAIN_LINE_EVERY_S):
            yield
        self._progress()

    def _progress(self) -> None:
        from .live_table import plain_line

        if self._runs.changed:
            self._runs.changed = False
            self.note(plain_line(self._runs.newest, time.time()))


class LiveView:
    """For people: a table, redrawn in place."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._runs = RunViews()
        self._console = Console(highlight=False)
        # Redrawn by the event loop: rich's thread would read a view in the middle of an event.
        self._live = Live(console=self._console, auto_refresh=False, transient=False)

    def event(self, event: Mapping[str, Any]) -> None:
        """Apply the event, and print what should be read above the table."""
        self._runs.update(event)
        line = notice(event)
        if line is not None:
            self.note(line)

    def note(self, text: str) -> None:
        """Print it above the table."""
        from rich.text import Text

        self._console.print(Text(text))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Redraw while the context is open, and once more at its end."""
        with self._live:
            async with _repeating(self._draw, REFRESH_S):
                yield
            self._draw()

    def _draw(self) -> None:
        from .live_table import render

        height = shutil.get_terminal_size().lines - 1
        self._live.update(render(self._runs.newest, time.time(), height), refresh=True)


@contextlib.asynccontextmanager
async def _repeating(action: Callable[[], None], every_s: float) -> AsyncIterator[None]:
    async def repeat() -> None:
        while True:
            await asyncio.sleep(every_s)
            action()

    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
