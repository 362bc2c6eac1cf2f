"""The ways to follow a run: a live table, lines for a log, events as JSON lines, or nothing."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from nervenet.nodes.monitoring.run_view import Fields, RunView
from nervenet.nodes.runtime.event_types import Event, fitted
from nervenet.nodes.runtime.printable import printable

from .notices import Notices

if TYPE_CHECKING:
    from nervenet.nodes.config.schema import DataConfig

REFRESH_S = 0.125
PLAIN_LINE_EVERY_S = 2.0
MOST_BY_SITES = 50
"""So many warnings by sites are said where little is to be said: hundreds of nodes may each have another one."""


class View:
    """What a command prints of a run, within its `running` context: here nothing but notes and warnings."""

    def __init__(self) -> None:
        self._by_sites: set[str] = set()

    def event(self, event: Fields) -> None:
        """Show an event: here a warning that no result tells of, such as a full disk, or what round 0 has found."""
        if event.get("type") == "warning" and self._matters(event):
            print(f"warning: {printable(event.get('reason'))}", file=sys.stderr, flush=True)

    def _matters(self, event: Fields) -> bool:
        """Whether it is to be said at once: of what sites warn, each thing once, and not how one round went at one.

        In gossip there is no coordinator, which says it for all.
        """
        if event.get("role") in ("launcher", "coordinator"):
            return True
        reason = str(event.get("reason"))
        passing = event.get("subject") is not None or event.get("round") is not None
        if passing or reason in self._by_sites or len(self._by_sites) >= MOST_BY_SITES:
            return False
        self._by_sites.add(reason)
        return True

    def note(self, text: str) -> None:
        print(printable(text), flush=True)

    def note_target(self, data: DataConfig, column: str) -> None:
        """Say which column is predicted, where nobody has named it."""
        if data.target is None:
            self.note(f"the target is column {column!r} of {Path(data.name).name} (--target would say otherwise)")

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        yield


def choose_view(*, quiet: bool = False, json: bool = False, guessed: bool = False) -> View:
    """Return the view for the flags and for where standard output goes; see `PlainView` for `guessed`."""
    if json:
        return JsonView()
    if quiet:
        return View()
    if not sys.stdout.isatty():
        return PlainView(guessed=guessed)
    from nervenet.models.extras import how_to_install, installed

    if installed("rich"):
        return LiveView(guessed=guessed)
    print(f"lines in place of a live table: {how_to_install('rich')}", file=sys.stderr)
    return PlainView(guessed=guessed)


class JsonView(View):
    """Every event as a line of JSON on standard output; notes on standard error."""

    def __init__(self) -> None:
        from nervenet.nodes.results.run_dir import to_json

        super().__init__()
        self._to_json = to_json
        self._open = True

    def event(self, event: Fields) -> None:
        if not self._open:
            return
        try:
            sys.stdout.write(self._to_json(event.raw if isinstance(event, Event) else event) + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            self._open = False  # the reader has gone; the run goes on without it

    def note(self, text: str) -> None:
        print(printable(text), file=sys.stderr, flush=True)


class RunViews:
    """A view of each run that has published events; the newest one is shown."""

    def __init__(self, known: RunView | None = None) -> None:
        self.by_run: dict[str, RunView] = {} if known is None else {known.run: known}
        self.changed = False

    @property
    def newest(self) -> RunView:
        return next(reversed(self.by_run.values())) if self.by_run else RunView()

    @property
    def all_finished(self) -> bool:
        return bool(self.by_run) and all(view.finished for view in self.by_run.values())

    def update(self, event: Fields) -> None:
        run = event.get("run")
        if run:
            self.by_run.setdefault(str(run), RunView(run=str(run))).update(event)
            self.changed = True


class PlainView(View):
    """For logs: notices at once, and a line of progress every two seconds in which there was any.

    Parameters
    ----------
    known
        What is known of a run beforehand, where no event will say.
    guessed
        Whether what the target is follows from its values, and the user of this command could have said it.
    security
        How this command's node is secured: "keys", "insecure", or neither.
    """

    def __init__(self, known: RunView | None = None, *, guessed: bool = False, security: str = "") -> None:
        super().__init__()
        self._security = security
        self._hint = " (--task would say otherwise)" if guessed else ""
        self._runs = RunViews(known)
        self._alone = known is not None
        self._notices = Notices(self.note)
        self._told: set[str] = set()  # of which runs it has been said what their target is

    def event(self, event: Fields) -> None:
        event = fitted(event)
        self._runs.update(event)
        view = self._runs.newest
        if view.target and view.run not in self._told:
            self._told.add(view.run)
            self.note(f"the target is taken for {view.target}{self._hint}")
        if self._alone and event.get("type") == "node.joined" and event.get("role") == "peer":
            address = event.get("address")
            seed = f"{event.get('node')}@{address} --keys DIR" if self._security == "keys" else address
            further = " --insecure" if self._security == "insecure" else ""
            self.note(f"peer {address}  (to join later: nervenet node peer --seed-peer {seed}{further})")
        rows, held_out = event.get("examples"), event.get("held_out_by_class")
        if self._alone and event.get("type") == "node.ready" and rows and isinstance(held_out, Mapping):
            kept = ", ".join(f"{count} of {label}" for label, count in list(held_out.items())[:10])
            self.note(f"{rows} rows to train on; kept for evaluation: {kept or 'none'}")
        self._notices.event(event)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        try:
            async with _repeating(self._show, PLAIN_LINE_EVERY_S):
                yield
        finally:
            self._show(last=True)

    def _settle(self, *, last: bool) -> None:
        self._notices.settle(self._runs.by_run, self._runs.newest, last=last)

    def _show(self, *, last: bool = False) -> None:
        from .live_table import plain_line

        self._settle(last=last)
        if self._runs.changed:
            self._runs.changed = False
            self.note(plain_line(self._runs.newest, time.time()))


class LiveView(PlainView):
    """For people: a table, redrawn in place, with notices above it."""

    def __init__(self, *, guessed: bool = False) -> None:
        from rich.console import Console
        from rich.live import Live

        super().__init__(guessed=guessed)
        self._console = Console(highlight=False)
        # Redrawn by the event loop: rich's thread would read a view in the middle of an event.
        self._live = Live(console=self._console, auto_refresh=False, transient=False)

    def note(self, text: str) -> None:
        from rich.text import Text

        self._console.print(Text(printable(text)))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        with self._live:
            try:
                async with _repeating(self._show, REFRESH_S):
                    yield
            finally:
                self._show(last=True)

    def _show(self, *, last: bool = False) -> None:
        from .live_table import render

        self._settle(last=last)
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
