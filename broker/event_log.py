"""Events as records of the standard library's logging: the one place where a line is made of what is published.

Nothing is configured here. Where the program that a node lives in has configured nothing either, the logger has the
`NullHandler` that keeps a library silent, and an event costs the question whether somebody listens.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, TypeVar

E = TypeVar("E", bound=Mapping[str, Any])

NAME = "nervenet.events"

LEVELS = {
    "baseline.progress": logging.DEBUG,
    "exchange.received": logging.DEBUG,
    "exchange.sent": logging.DEBUG,
    "metric.local": logging.DEBUG,
    "metric.personal": logging.DEBUG,
    "round.progress": logging.DEBUG,
    "round.started": logging.DEBUG,
    "connection.refused": logging.WARNING,
    "gap": logging.WARNING,
    "malformed": logging.WARNING,
    "node.lost": logging.WARNING,
    "node.suspect": logging.WARNING,
    "round.failed": logging.WARNING,
    "site.declined": logging.WARNING,
    "update.rejected": logging.WARNING,
    "warning": logging.WARNING,
    "run.failed": logging.ERROR,
}
"""Levels of event types; all others are information."""

FIRST = ("run", "node", "role", "round")  # what every line begins with, where it is known
_LEFT_OUT = frozenset({"type", "time", "seq", "sketch", *FIRST})  # in the record by itself, or for programs alone
_TAKEN = frozenset(("message", "asctime", "taskName", "event", "level", "logger", "exception"))

_logger = logging.getLogger(NAME)
logging.getLogger("nervenet").addHandler(logging.NullHandler())


class EventText:
    """An event as the message of a record: text that is made when a handler asks for it, in one line."""

    def __init__(self, kind: str, fields: Mapping[str, Any]) -> None:
        self.kind, self.fields = kind, fields

    def __str__(self) -> str:
        return " ".join([self.kind, *(f"{key}={_word(value)}" for key, value in self.fields.items())])


def log_event(event: E, number: int | None = None) -> E:
    """Log an event at the level of its type, and return it.

    `number` is the round that its publisher is in, where the event says none itself. Run, node, role, round and the
    event's other fields are attributes of the record; one that logging has a use for of its own (``name``, say) with a
    ``_`` behind it.
    """
    level = LEVELS.get(event["type"], logging.INFO)
    if not _logger.isEnabledFor(level):
        return event
    fields = {key: value for key in FIRST if (value := event.get(key)) not in (None, "")}
    if "round" not in fields and number is not None:
        fields["round"] = number
    fields |= {key: value for key, value in event.items() if key not in _LEFT_OUT}
    _logger.log(level, EventText(event["type"], fields), extra=attributes(fields))
    return event


def attributes(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields as what a record takes as ``extra``: those of names that it has already with a ``_`` behind it.

    The program that a node lives in may give every record attributes of its own (`logging.setLogRecordFactory`).
    """
    taken = _TAKEN.union(vars(logging.getLogRecordFactory()("", 0, "", 0, "", (), None)))
    # A key that begins with _ would be taken for one of structlog's own.
    return {f"{key}_" if key in taken or key[:1] == "_" else key: value for key, value in fields.items()}


def _word(value: Any) -> str:
    """Return a value as a word; what is none, or holds what is no visible character, as Python writes it."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) and value.isprintable() and value and " " not in value else repr(value)
