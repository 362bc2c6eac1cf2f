"""``nervenet monitor --web``: the page of a run that goes on, of run folders, or of a recorded file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .output import say

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from .web_server import Place

    Find = Callable[..., Awaitable[tuple[str, dict[str, Any]]]]


def show_recorded(place: Place, paths: Sequence[Path]) -> None:
    """Show what stands in run folders or recorded files, until a signal: the first, and all to be compared."""
    from .signals import run

    _check(paths)
    run(lambda: _recorded(place, paths))


def show_broker(place: Place, broker: str | None, run_name: str | None, find: Find, **secured: Any) -> None:
    """Show what a broker tells, until a signal; `find` returns that of the newest run, and how it is secured."""
    from .signals import run

    run(lambda: _live(place, broker, run_name, find, **secured))


async def _recorded(place: Place, paths: Sequence[Path]) -> None:
    import asyncio
    import time

    from nervenet.nodes.config.keys import ExperimentError
    from nervenet.nodes.monitoring.recording import Recording
    from nervenet.nodes.web.browsers import Browsers
    from nervenet.nodes.web.replays import Replays
    from nervenet.nodes.web.sources import follow_log, told_of
    from nervenet.nodes.web.teller import Teller

    from .web_server import clock, serve_web

    first, *others = paths
    browsers = Browsers(Teller(str(first)), clock)
    try:
        replays = Replays(Recording(first), time.monotonic)
    except ExperimentError:  # of a run that has only begun
        replays = None
    known: list[dict[str, Any]] = []

    def runs() -> list[dict[str, Any]]:
        return [browsers.teller.summary(str(first)), *known]

    async def follow() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(follow_log(browsers, first))
            if replays is not None:
                length_s = await asyncio.to_thread(replays.measure)
                browsers.teller.also["replay"] = {"length_s": length_s}
            for path in others:
                told = await asyncio.to_thread(told_of, path)
                known.append(told.summary(str(path)))

    say(f"web view {place.url}  ({first}; Ctrl-C ends it)")
    await serve_web(place, browsers, follow(), replays=replays, runs=runs)


async def _live(place: Place, broker: str | None, run_name: str | None, find: Find, **secured: Any) -> None:
    from nervenet.nodes.web.browsers import Browsers
    from nervenet.nodes.web.sources import follow_broker
    from nervenet.nodes.web.teller import Teller

    from .web_server import clock, serve_web

    if broker is None:
        broker, found = await find(say, secured["keys"], insecure=secured["insecure"])
        secured |= found
    browsers = Browsers(Teller(broker), clock)

    def runs() -> list[dict[str, Any]]:
        return [browsers.teller.summary(browsers.teller.run.view.run)]

    say(f"web view {place.url}  (of {broker}; Ctrl-C ends it)")
    await serve_web(place, browsers, follow_broker(browsers, broker, run_name, **secured), runs=runs)


def _check(paths: Sequence[Path]) -> None:
    """Raise ExperimentError for what is neither a run folder nor a recorded file."""
    from nervenet.nodes.monitoring.recording import Recording

    for path in paths:
        if not (path / "experiment.toml").is_file():  # else a run that has only begun
            Recording(path)
