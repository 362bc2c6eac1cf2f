"""What a question of round 0 must be before a site answers it: it comes from another node, of any version."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..moments import IncompatibleSites
from .questions import Question

MOST_COLUMNS = 100_000
"""Of a question: more names of columns than that are in no message."""

LONGEST = 1_000_000
"""Characters of a text in a question, which is in a message of so many bytes."""


class MalformedQuestion(IncompatibleSites):
    """A question that no node of this version asks; the message says what was found, and what is allowed."""


class Field(NamedTuple):
    """What a field of a question must be: in words, and as a predicate."""

    allowed: str
    holds: Callable[[Any], bool]
    needed: bool = True


def check_fields(what: str, question: Question, fields: Mapping[str, Field]) -> None:
    """Raise MalformedQuestion unless a question, which errors call `what`, has these fields and no others."""
    for name, field in fields.items():
        if name not in question:
            if field.needed:
                raise MalformedQuestion(f"{what} has no {name!r}; expected {field.allowed}")
        elif not field.holds(question[name]):
            raise MalformedQuestion(f"{what}: {name} is {shown(question[name])}; expected {field.allowed}")
    if odd := [name for name in question if name not in fields]:
        raise MalformedQuestion(f"{what} has {shown(odd[0])}; allowed: {', '.join(sorted(fields)) or 'no field'}")


def shown(value: object) -> str:
    """Return a value of a message for people, cut short."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST


def is_texts(value: object) -> bool:
    """Whether this is a list of texts, each once."""
    return is_list(value) and all(map(is_text, value)) and len(set(value)) == len(value)  # type: ignore[arg-type, call-overload]


def is_list(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) <= MOST_COLUMNS


def is_whole(least: int, most: int) -> Callable[[object], bool]:
    return lambda value: type(value) is int and least <= value <= most


def is_number(value: object) -> bool:
    """Whether this is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def is_scalar(value: object) -> bool:
    """Whether this may stand for a cell or a label: a finite number, a text, true, false, or nil."""
    return value is None or isinstance(value, bool) or is_text(value) or is_number(value)


def is_map(value: object) -> bool:
    return isinstance(value, Mapping)


NAME = Field("a text", is_text)
NAMES = Field("a list of names, each once", is_texts)
