"""How a process that is nervenet's own writes its log: lines of JSON, or text for people, by structlog.

Only the command line and the processes of a launch do this. A node in somebody else's program logs by the standard
library's logging (`nervenet.events` and loggers named after modules), which that program configures as it likes.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from nervenet.broker import event_log

from ..config.keys import ExperimentError
from ..runtime.printable import printable, printable_lines

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor

JSON, TEXT = "json", "text"
FORMATS = (JSON, TEXT)
LEVELS = ("debug", "info", "warning", "error")
_OWN = "nervenet.nodes.launching"  # says when a node begins and ends
_FIRST = ("time", "level", "event", *event_log.FIRST)
_own = logging.getLogger(__name__)


@dataclass(frozen=True)
class LogSettings:
    """How, and from which level on; where no level is said, no events, which are in ``events.jsonl``."""

    format: str = JSON
    level: str | None = None

    def __post_init__(self) -> None:
        for name, found, allowed in (("format", self.format, FORMATS), ("level", self.level, (None, *LEVELS))):
            if found not in allowed:
                expected = ", ".join(each for each in allowed if each)
                raise ExperimentError(f"logs: {name} = {found!r}: expected one of {expected}")

    def to_job(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_job(cls, job: Mapping[str, Any]) -> LogSettings:
        return cls(**job.get("logs", {}))


QUIET = LogSettings()


class Stream(Protocol):
    """What takes lines."""

    def write(self, text: str, /) -> object: ...
    def flush(self) -> object: ...
    def isatty(self) -> bool: ...


class _Lines(logging.StreamHandler[Stream]):
    """Leaves out what cannot be written: a full disk ends no node that would say so."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (the name that logging calls)
        if record.name != __name__ and not isinstance(sys.exc_info()[1], OSError):
            _own.error("a line of %s could not be made", record.name, exc_info=True)


def configure(settings: LogSettings, stream: Stream) -> Callable[[], None]:
    """Have whatever is logged in this process, warnings and crashes of threads among it, written to a stream.

    Of packages other than nervenet there are warnings at most. Return what sets all of it back.
    """
    import structlog

    handler = _Lines(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder()],
            processors=[_named, *_rendered(settings.format, stream)],
        )
    )
    root, levels = logging.getLogger(), _levels(settings.level)
    before = {name: logging.getLogger(name).level for name in levels}
    root.addHandler(handler)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(True)
    hooks = sys.unraisablehook, threading.excepthook
    sys.unraisablehook = lambda found: _crash(f"{found.err_msg or 'ignored'}: {found.object!r}", found.exc_value)
    threading.excepthook = lambda found: _crash(f"{getattr(found.thread, 'name', '')} has ended", found.exc_value)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )

    def restore() -> None:
        sys.unraisablehook, threading.excepthook = hooks
        structlog.reset_defaults()
        logging.captureWarnings(False)
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
        root.removeHandler(handler)
        handler.close()

    return restore


def _levels(level: str | None) -> dict[str, int]:
    """Return from which level on there are lines, by logger; the root's name is empty."""
    if level is None:
        return {"": logging.WARNING, "nervenet": logging.WARNING, _OWN: logging.INFO, event_log.NAME: logging.CRITICAL}
    number = logging.getLevelNamesMapping()[level.upper()]
    return {"": max(number, logging.WARNING), "nervenet": number, _OWN: logging.NOTSET, event_log.NAME: logging.NOTSET}


def _crash(what: str, error: BaseException | None) -> None:
    _own.critical(what, exc_info=error)


def _named(_logger: Any, _method: str, line: EventDict) -> EventDict:
    """Return a line with time, level and event first, and then where it belongs."""
    record: logging.LogRecord = line.pop("_record")
    line.pop("_from_structlog")
    if isinstance(record.msg, event_log.EventText):
        line["event"] = record.msg.kind
    at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")
    of_record = {"time": at.replace("+00:00", "Z"), "level": record.levelname.lower(), "logger": record.name}
    known = {**line, **of_record}
    if known.get("round") is None:
        known.pop("round", None)
    return {**{key: known[key] for key in _FIRST if key in known}, **known}


def _rendered(form: str, stream: Stream) -> list[Processor]:
    import structlog

    if form == JSON:
        from ..results.run_dir import to_json

        def as_json(_logger: Any, _method: str, line: EventDict) -> str:
            try:
                return to_json(line)
            except (AttributeError, TypeError, ValueError, RecursionError):  # what others put into a line
                return to_json({str(key): _plain(value) for key, value in line.items()})

        return [structlog.processors.format_exc_info, as_json]

    def visible(_logger: Any, _method: str, line: EventDict) -> EventDict:
        """Return a line whose text obeys no one: of a traceback, line by line."""
        shown = {printable(key): printable(v) if isinstance(v, str) else v for key, v in line.items()}
        if "exception" in line:
            shown["exception"] = printable_lines(line["exception"])
        return shown

    colors = stream.isatty() and not os.environ.get("NO_COLOR")
    shown = structlog.dev.ConsoleRenderer(
        colors=colors, exception_formatter=structlog.dev.plain_traceback, sort_keys=False, timestamp_key="time"
    )
    return [structlog.processors.format_exc_info, visible, shown]


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else repr(value)


def log_key_warning(run: str, node: str, reason: str) -> None:
    """Say in the log what is wrong with the files of keys, of which whoever owns the folder has to know."""
    import structlog

    structlog.get_logger().warning("keys", run=run, node=node, reason=reason)
