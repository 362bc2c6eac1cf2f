"""What commands themselves write, which may hold text from elsewhere: a file's name, a column, a reason."""

from __future__ import annotations

import sys

from nervenet.nodes.runtime.printable import printable

from . import logs

INSECURE = "nothing is encrypted, and nobody authenticated: anybody on the way can read and forge everything"


def say(text: object) -> None:
    print(printable(text), flush=True)


def warn(text: object, kind: str = "warning") -> None:
    """Write a line to standard error, after ``warning`` or another word."""
    if not logs.line(text, "warning"):
        print(f"{kind}: {printable(text)}", file=sys.stderr, flush=True)


def warn_of_event(text: object) -> None:
    """Write what an event warns of to standard error, unless the event is in a log there."""
    if not logs.on():
        warn(text)


def tell(text: object) -> None:
    """Write a line to standard error: what is no result."""
    if not logs.line(text, "info"):
        print(printable(text), file=sys.stderr, flush=True)
