"""``nervenet replay``: what was recorded of a run, as if it happened now."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import every_option

if TYPE_CHECKING:
    from nervenet.nodes.monitoring.recording import Recording

AS_FAST = "max"


def speed_of(_context: click.Context, _option: click.Parameter, text: str) -> float:
    """Return a speed, infinity for ``max``."""
    if text == AS_FAST:
        return math.inf
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < math.inf:
        raise click.BadParameter(f"{text!r} is no speed; a number above 0 (1 is as it was), or {AS_FAST}")
    return speed


@click.command()
@click.argument("recorded", metavar="FILE|RUN", type=click.Path(path_type=Path))
@click.option(
    "--speed",
    metavar="X",
    default="1",
    callback=speed_of,
    help=f"1 as it was, 10 ten times as fast, {AS_FAST} all at once. [default: 1]",
)
@click.option(
    "--from", "from_round", metavar="ROUND", type=click.IntRange(min=0), default=0, help="Begin with this round."
)
@click.option("--json", is_flag=True, help="Every event as a JSON line on standard output.")
@every_option
def replay(recorded: Path, speed: float, from_round: int, json: bool, every_s: float | None) -> None:
    """Play what was recorded of a run, as "nervenet monitor" would have shown it.

    FILE is what --record of "nervenet monitor" wrote, or --json; RUN is a run folder. In a terminal keys change the
    speed, pause, and skip to the next round; ? shows them all.
    """
    from nervenet.nodes.monitoring.recording import Recording

    from .signals import run

    recording = Recording(recorded)
    run(lambda: _play(recording, speed, from_round, json=json, every_s=every_s))


async def _play(recording: Recording, speed: float, from_round: int, *, json: bool, every_s: float | None) -> None:
    from nervenet.nodes.monitoring.replayed import ReplayedEvents

    from .following import follow
    from .view_choice import choose_view

    async with ReplayedEvents(recording, speed=speed, from_round=from_round) as events:
        view = choose_view(json=json, every_s=every_s, watches=True, replay=events)
        view.files, view.only_shows = str(recording.path), True
        async with view.running():
            await follow(view, events, stay=True)
            if from_round > events.replay.round:
                view.note(f"there is no round {from_round}; the last is {events.replay.round}")
            await view.stay()
