"""What commands themselves write, which may hold text from elsewhere: a file's name, a column, a reason."""

from __future__ import annotations

import sys

from nervenet.nodes.runtime.printable import printable

INSECURE = "nothing is encrypted, and nobody authenticated: anybody on the way can read and forge everything"


def say(text: object) -> None:
    print(printable(text), flush=True)


def warn(text: object, kind: str = "warning") -> None:
    """Write a line to standard error, after ``warning`` or another word."""
    print(f"{kind}: {printable(text)}", file=sys.stderr, flush=True)
