"""What commands themselves write, which may hold text from elsewhere: a file's name, a column, a reason."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from nervenet.nodes.runtime.printable import printable

from . import logs
from .standard_streams import give_up, nobody_reads

INSECURE = "nothing is encrypted, and nobody authenticated: anybody on the way can read and forge everything"


def say(text: object) -> None:
    print(printable(text), flush=True)


@contextmanager
def going_on() -> Iterator[None]:
    """Print within it what comes beside other work, or after it.

    Where nobody reads that any more, or the disk that it goes to is full, the work is none the worse.
    """
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        give_up(sys.stdout)
        if not nobody_reads(error):
            warn(f"standard output is not whole: {error.strerror or error}; all else goes on")


def warn(text: object, kind: str = "warning") -> None:
    """Write a line to standard error, after ``warning`` or another word."""
    if not logs.line(text, "warning"):
        _to_stderr(f"{kind}: {printable(text)}")


def warn_of_event(text: object) -> None:
    """Write what an event warns of to standard error, unless the event is in a log there."""
    if not logs.on():
        warn(text)


def tell(text: object) -> None:
    """Write a line to standard error: what is no result."""
    if not logs.line(text, "info"):
        _to_stderr(printable(text))


def _to_stderr(line: str) -> None:
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:  # nobody is there to be told of it
        give_up(sys.stderr)
