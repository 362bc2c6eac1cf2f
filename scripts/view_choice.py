"""Which view a command has, by its flags and by where standard output goes."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from . import logs
from .output import tell
from .views import JsonView, PlainView, View

if TYPE_CHECKING:
    from nervenet.nodes.monitoring.replayed import ReplayedEvents


def choose_view(
    *,
    quiet: bool = False,
    json: bool = False,
    guessed: bool = False,
    every_s: float | None = None,
    watches: bool = False,
    replay: ReplayedEvents | None = None,
) -> View:
    """Return the view for the flags and for where standard output goes; see `PlainView` for `guessed` and `every_s`.

    `watches`: the command shows a run that is another's, so that it can be left, and says how it came out. `replay`: it
    is a recording.
    """
    if json:
        return JsonView()
    if quiet:
        return View()
    view = PlainView(guessed=guessed, every_s=every_s, watches=watches)
    shares_terminal = logs.on() and sys.stderr.isatty()  # lines of a log would go through a table
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and not shares_terminal:
        from nervenet.models.extras import how_to_install, installed

        if installed("rich"):
            from .live_view import LiveView

            view = LiveView(guessed=guessed, watches=watches, replay=replay)
        else:
            tell(f"lines in place of a live table: {how_to_install('rich')}")
    if replay is not None:
        view.now = replay.unix_s
    return view
