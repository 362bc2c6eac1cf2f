"""For people: a screen of the run, redrawn in place and steered by keys, with notices above it."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import math
import shutil
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from nervenet.nodes.monitoring.event_fields import Fields
from nervenet.nodes.monitoring.screen import HELP_LAUNCH, HELP_LEAVE, HELP_REPLAY, Screen

from .event_lines import EventLines
from .keyboard import Keyboard
from .screen_pages import Shown, draw
from .views import PlainView, repeating

if TYPE_CHECKING:
    from nervenet.nodes.monitoring.replayed import ReplayedEvents

REFRESH_S = 0.125


class LiveView(PlainView):
    """A table, redrawn in place.

    Parameters
    ----------
    guessed, watches
        As for `PlainView`; who watches can leave with the key q.
    replay
        What is played, if it is: keys steer it, and it stays at its end until it is left.
    """

    def __init__(
        self,
        *,
        guessed: bool = False,
        watches: bool = False,
        replay: ReplayedEvents | None = None,
    ) -> None:
        from rich.console import Console
        from rich.live import Live

        super().__init__(guessed=guessed, watches=watches)
        self._console = Console(highlight=False)
        # Redrawn by the event loop: rich's thread would read a view in the middle of an event.
        self._live = Live(console=self._console, auto_refresh=False, transient=False)
        self._replay = replay
        self._screen, self._lines = Screen(), EventLines()
        self._keyboard = Keyboard(self._pressed)
        self._still: Shown | None = None  # while paused
        self._owner: asyncio.Task[object] | None = None
        self._left = False
        self._ended = False

    def event(self, event: Fields) -> None:
        super().event(event)
        self._lines.update(event)

    def note(self, text: str) -> None:
        from nervenet.nodes.runtime.printable import printable
        from rich.text import Text

        self._console.print(Text(printable(text)))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self._owner = asyncio.current_task()
        with self._live:
            try:
                with self._keyboard.listening():
                    async with repeating(self._refresh, REFRESH_S):
                        yield
            except asyncio.CancelledError:
                if not self._left or self._owner is None:
                    raise
                self._owner.uncancel()
            finally:
                self._settle(last=True)
                self._draw_last()
        self._conclude()

    async def stay(self) -> None:
        """Stay at the end of what is played, for as long as there are keys by which to leave."""
        self._ended = True
        while self._keyboard.there:  # noqa: ASYNC110  (a terminal that goes sets no event)
            await asyncio.sleep(REFRESH_S)

    def _pressed(self, key: str) -> None:
        match self._screen.key(key):
            case "quit" if self._watches and self._owner is not None and not self._left:
                self._left = True
                self._owner.cancel()
                return
            case str() as action if self._replay is not None:
                self._replay.steer(action)
            case "pause":
                self._still = copy.deepcopy(self._shown())
            case "resume":
                self._still = None
        self._draw()

    def _shown(self) -> Shown:
        return Shown(self._runs.newest, self._lines, self.now())

    def _refresh(self) -> None:
        self._settle(last=False)
        self._keyboard.look()
        self._draw()

    def _draw(self) -> None:
        columns, lines = shutil.get_terminal_size()
        if not self._keyboard.there:
            self._draw_last()
            return
        keys = HELP_REPLAY if self._replay is not None else ()
        picture = draw(
            self._screen,
            self._still or self._shown(),
            columns,
            lines - 1,
            keys=(*keys, *(HELP_LEAVE if self._watches else HELP_LAUNCH)),
            playing=self._playing(),
        )
        self._live.update(picture, refresh=True)

    def _draw_last(self) -> None:
        from .live_table import render

        shown = self._shown()
        self._live.update(render(shown.view, shown.now, shutil.get_terminal_size().lines - 1), refresh=True)

    def _playing(self) -> str:
        if self._replay is None:
            return ""
        if self._ended:
            return "the recording has ended, q leaves"
        speed = self._replay.replay.speed
        return "as fast as it can" if speed == math.inf else f"speed {speed:g}"
