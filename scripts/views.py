"""The ways to follow a run: a live table, lines for a log, events as JSON lines, or nothing."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from nervenet.nodes.monitoring.event_fields import Fields
from nervenet.nodes.monitoring.outcome import Outcome
from nervenet.nodes.monitoring.run_view import RunView
from nervenet.nodes.runtime.event_fitting import fitted
from nervenet.nodes.runtime.event_types import Event
from nervenet.nodes.runtime.printable import printable

from .notices import Notices
from .output import going_on, tell, warn_of_event

if TYPE_CHECKING:
    from nervenet.nodes.config.schema import DataConfig

PLAIN_LINE_EVERY_S = 2.0
MOST_RUNS = 256  # of which a view is kept
MOST_NAMES = 1024  # of runs that have ended and are forgotten
MOST_BY_SITES = 50
"""So many warnings by sites are said where little is to be said: hundreds of nodes may each have another one."""


class View:
    """What a command prints of a run, within its `running` context: here nothing but notes and warnings.

    Attributes
    ----------
    files
        Where the run's files are, once it is known.
    only_shows
        Whether the command is over when nobody reads what it prints; otherwise it goes on without that.
    """

    def __init__(self) -> None:
        self.files = ""
        self.only_shows = False
        self._by_sites: set[str] = set()

    def event(self, event: Fields) -> None:
        """Show an event: here a warning that no result tells of, such as a full disk, or what round 0 has found."""
        if event.get("type") == "warning" and self._matters(event):
            warn_of_event(event.get("reason"))

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
        self._print(printable(text))

    def _print(self, line: str) -> None:
        with contextlib.nullcontext() if self.only_shows else going_on():
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    def note_target(self, data: DataConfig, column: str) -> None:
        """Say which column is predicted, where nobody has named it."""
        if data.target is None:
            self.note(f"the target is column {column!r} of {Path(data.name).name} (--target would say otherwise)")

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        yield

    async def stay(self) -> None:
        """Stay for as long as somebody wants to look at the end of a recording."""


class JsonView(View):
    """Every event as a line of JSON on standard output; notes on standard error."""

    def __init__(self) -> None:
        from nervenet.nodes.results.run_dir import to_json

        super().__init__()
        self._to_json = to_json

    def event(self, event: Fields) -> None:
        self._print(self._to_json(event.raw if isinstance(event, Event) else event))

    def note(self, text: str) -> None:
        tell(text)


class RunViews:
    """A view of each run that has published events; the newest one is shown.

    A publisher can make up names of runs: beyond `MOST_RUNS` one is forgotten that has ended, else the one that was not
    heard of for longest.
    """

    def __init__(self, known: RunView | None = None) -> None:
        self.by_run: dict[str, RunView] = {} if known is None else {known.run: known}
        self.changed = False
        self._heard = dict.fromkeys(self.by_run)  # who was heard of last stands last
        self._ended: dict[str, None] = {}  # names of forgotten runs: what comes late begins none of them anew

    @property
    def newest(self) -> RunView:
        return next(reversed(self.by_run.values())) if self.by_run else RunView()

    @property
    def all_finished(self) -> bool:
        return bool(self.by_run) and all(view.finished for view in self.by_run.values())

    def update(self, event: Fields) -> None:
        run = str(event.get("run") or "")
        if not run or (run in self._ended and event.get("type") != "run.started"):
            return
        self._ended.pop(run, None)
        self._heard.pop(run, None)
        self._heard[run] = None
        self.by_run.setdefault(run, RunView(run=run)).update(event)
        self.changed = True
        if len(self.by_run) > MOST_RUNS:
            self._forget([name for name in self._heard if name != run])

    def _forget(self, others: list[str]) -> None:
        name = next((name for name in others if self.by_run[name].finished), others[0])
        if self.by_run.pop(name).finished:
            self._ended[name] = None
            if len(self._ended) > MOST_NAMES:
                del self._ended[next(iter(self._ended))]
        del self._heard[name]


class PlainView(View):
    """For logs: notices at once, a line of progress every two seconds in which there was any, and how it came out.

    Parameters
    ----------
    known
        What is known of a run beforehand, where no event will say.
    guessed
        Whether what the target is follows from its values, and the user of this command could have said it.
    security
        How this command's node is secured: "keys", "insecure", or neither.
    every_s
        Seconds from one line of progress to the next.
    watches
        Whether the run is another's, and its end always told of: otherwise, if it is no success, or nodes were lost.

    Attributes
    ----------
    now
        Returns what time it is where the run is.
    """

    def __init__(
        self,
        known: RunView | None = None,
        *,
        guessed: bool = False,
        security: str = "",
        every_s: float | None = None,
        watches: bool = False,
    ) -> None:
        super().__init__()
        self.now: Callable[[], float] = time.time
        self._every_s, self._watches = every_s, watches
        self._outcomes: dict[str, Outcome] = {}
        self._security = security
        self._hint = " (--task would say otherwise)" if guessed else ""
        self._runs = RunViews(known)
        self._alone = known is not None
        self._notices = Notices(self.note)
        self._told: set[str] = set()  # of which runs it has been said what their target is

    def event(self, event: Fields) -> None:
        event = fitted(event)
        self._runs.update(event)
        if (run := str(event.get("run"))) in self._runs.by_run:
            self._outcomes.setdefault(run, Outcome()).update(event)
        if len(self._outcomes) > len(self._runs.by_run):
            self._outcomes = {run: known for run, known in self._outcomes.items() if run in self._runs.by_run}
            self._told &= self._runs.by_run.keys()
        view = self._runs.newest
        if view.target and view.run not in self._told:
            self._told.add(view.run)
            self.note(f"the target is taken for {view.target}{self._hint}")
        if self._alone and event.get("type") == "node.joined" and event.get("role") == "peer":
            address = event.get("address")
            seed = f"{event.get('node')}@{address} --keys DIR" if self._security == "keys" else address
            further = " --insecure" if self._security == "insecure" else ""
            way = f"nervenet node peer --run {event.get('run')} --seed-peer {seed}{further}"
            self.note(f"peer {address}  (to join later: {way}, with the other options of this peer)")
        rows, held_out = event.get("examples"), event.get("held_out_by_class")
        if self._alone and event.get("type") == "node.ready" and rows and isinstance(held_out, Mapping):
            kept = ", ".join(f"{count} of {label}" for label, count in list(held_out.items())[:10])
            self.note(f"{rows} rows to train on; kept for evaluation: {kept or 'none'}")
        self._notices.event(event)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        try:
            async with repeating(self._show, self._every_s or PLAIN_LINE_EVERY_S):
                yield
        finally:
            self._show(last=True)
            self._conclude()

    def _settle(self, *, last: bool) -> None:
        self._notices.settle(self._runs.by_run, self._runs.newest, last=last)

    def _show(self, *, last: bool = False) -> None:
        from .live_table import plain_line

        self._settle(last=last)
        if self._runs.changed:
            self._runs.changed = False
            self.note(plain_line(self._runs.newest, self.now()))

    def _conclude(self) -> None:
        """Say how each run has come out."""
        for run, view in self._runs.by_run.items():
            outcome = self._outcomes.get(run)
            if outcome is not None and not self._alone and (self._watches or outcome.troubled(view)):
                for line in outcome.lines(view, self.files if view is self._runs.newest else ""):
                    self.note(line)


@contextlib.asynccontextmanager
async def repeating(action: Callable[[], None], every_s: float) -> AsyncIterator[None]:
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
