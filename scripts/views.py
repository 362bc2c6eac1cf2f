"""The ways to follow a run: live on a terminal, a plain line now and then, events as JSON lines, or silence."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol

from nervenet.nodes.monitoring.run_view import RunView, told

REFRESH_S = 0.125
PLAIN_LINE_EVERY_S = 2.0


class View(Protocol):
    """What a command tells of a run; used within its own `running` context."""

    def event(self, event: Mapping[str, Any]) -> None:
        """Take one event in."""

    def note(self, text: str) -> None:
        """Say a line that is not an event."""

    def running(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Keep the view up to date for as long as the context is open."""


def choose_view(*, quiet: bool = False, json: bool = False) -> View:
    """The view that fits the flags and where standard output goes."""
    if json:
        return JsonView()
    if quiet:
        return QuietView()
    return LiveView() if sys.stdout.isatty() else PlainView()


class JsonView:
    """Every event a line of JSON on standard output, at once; everything else on standard error."""

    def __init__(self) -> None:
        from nervenet.nodes.results.run_dir import to_json

        self._to_json = to_json
        self._listened_to = True

    def event(self, event: Mapping[str, Any]) -> None:
        """Write the event; when whoever reads us has gone, the run goes on without."""
        if not self._listened_to:
            return
        try:
            sys.stdout.write(self._to_json(event) + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            self._listened_to = False

    def note(self, text: str) -> None:
        """Say it on standard error."""
        print(text, file=sys.stderr, flush=True)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Nothing needs to be kept up to date."""
        yield


class QuietView:
    """No display; notes alone."""

    def event(self, event: Mapping[str, Any]) -> None:
        """Take no notice."""

    def note(self, text: str) -> None:
        """Say it."""
        print(text, flush=True)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Nothing needs to be kept up to date."""
        yield


class Boards:
    """A board for each run that was heard of; the one to show is the newest."""

    def __init__(self, known: RunView | None = None) -> None:
        self.of: dict[str, RunView] = {} if known is None else {known.run: known}
        self.changed = False

    @property
    def shown(self) -> RunView:
        """The board of the run that was heard of first last."""
        return next(reversed(self.of.values())) if self.of else RunView()

    @property
    def all_finished(self) -> bool:
        """Whether a run was heard of, and all that were have ended."""
        return bool(self.of) and all(board.finished for board in self.of.values())

    def fold(self, event: Mapping[str, Any]) -> None:
        """Hand an event to its run's board; what belongs to no run (a broker's own news) is not shown."""
        run = event.get("run")
        if run:
            self.of.setdefault(str(run), RunView(run=str(run))).fold(event)
            self.changed = True


class PlainView:
    """For logs: news at once, and a line of progress every two seconds in which there was any.

    Parameters
    ----------
    known
        What is known of a run beforehand, where nobody will tell.
    """

    def __init__(self, known: RunView | None = None) -> None:
        self._boards = Boards(known)

    def event(self, event: Mapping[str, Any]) -> None:
        """Fold the event; say what should be read."""
        self._boards.fold(event)
        line = told(event)
        if line is not None:
            self.note(line)

    def note(self, text: str) -> None:
        """Say it."""
        print(text, flush=True)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Print progress while the context is open."""
        async with _repeating(self._progress, PLAIN_LINE_EVERY_S):
            yield
        self._progress()

    def _progress(self) -> None:
        from .display import plain_line

        if self._boards.changed:
            self._boards.changed = False
            self.note(plain_line(self._boards.shown, time.time()))


class LiveView:
    """For people: the board, redrawn in place."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._boards = Boards()
        self._console = Console(highlight=False)
        # Redrawn by our own loop: rich's thread would read the board in the middle of an event.
        self._live = Live(console=self._console, auto_refresh=False, transient=False)

    def event(self, event: Mapping[str, Any]) -> None:
        """Fold the event; say what should be read above the table."""
        self._boards.fold(event)
        line = told(event)
        if line is not None:
            self.note(line)

    def note(self, text: str) -> None:
        """Say it above the table."""
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
        from .display import render

        height = shutil.get_terminal_size().lines - 1
        self._live.update(render(self._boards.shown, time.time(), height), refresh=True)


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
