"""``--log-format`` and ``--log-level``: the log of a command, and of the processes that it starts.

`launch` and `simulate` have a run folder, and write ``nodes.log`` there; the log of the other commands goes to standard
error, and then all that they say there is a line of it.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nervenet.nodes.launching.process_logs import LogSettings

_begun: list[tuple[str, Callable[[], None]]] = []
"""The format of this process's log on standard error, where there is one, and what ends it."""


def _options(format_default: str, where: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    return (
        click.option(
            "--log-format",
            type=click.Choice(("text", "json")),
            help=f"Log {where}: lines of text, or of JSON. [default: {format_default}]",
        ),
        click.option(
            "--log-level",
            type=click.Choice(("debug", "info", "warning", "error")),
            help="From which level on. [default: info, once there is a log]",
        ),
    )


folder_log_options = _options("json, without events", "all processes in nodes.log of the run folder")


def log_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add both options to a command that has no run folder; with either of them its log goes to standard error."""

    @functools.wraps(command)
    def logged(*, log_format: str | None, log_level: str | None, **given: Any) -> Any:
        if (settings := settings_of(log_format, log_level, "text")) is not None:
            from nervenet.nodes.launching.process_logs import configure

            _begun.append((settings.format, configure(settings, sys.stderr)))
        return command(**given)

    for add in reversed(_options("none, and text with --log-level", "on standard error")):
        logged = add(logged)
    return logged


def settings_of(log_format: str | None, log_level: str | None, otherwise: str) -> LogSettings | None:
    """Return what the options ask for; None where there are none."""
    if log_format is None and log_level is None:
        return None
    from nervenet.nodes.launching.process_logs import LogSettings

    return LogSettings(log_format or otherwise, log_level or "info")


def on() -> bool:
    """Whether this process logs to standard error."""
    return bool(_begun)


def line(text: object, level: str, error: BaseException | None = None) -> bool:
    """Log a line of the command itself, if it logs to standard error; return whether it does."""
    if not on():
        return False
    import logging

    number = logging.getLevelNamesMapping()[level.upper()]
    logging.getLogger(__name__).log(number, "%s", text, exc_info=error)
    return True


def last_line(text: str) -> str:
    """Return the line of a process that ends at once, perhaps in the middle of logging another."""
    if not on() or _begun[-1][0] != "json":
        return f"nervenet: {text}\n"
    import json
    from datetime import UTC, datetime

    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return json.dumps({"time": now, "level": "error", "event": text}) + "\n"


def seen(event: Mapping[str, Any]) -> None:
    """Log an event that another process has published, for whoever watches it."""
    if on():
        from nervenet.broker.event_log import log_event

        log_event(event)


def end() -> None:
    """Set back what was configured."""
    while _begun:
        _begun.pop()[1]()
