"""A question to who sits at the terminal: yes or no, and no without an answer."""

from __future__ import annotations

import sys


class Declined(RuntimeError):
    """Somebody was asked, and did not say yes."""


class NobodyToAsk(Exception):
    """Standard input is no terminal."""


def confirm(question: str) -> bool:
    """Ask on standard error, and return whether the answer is yes; the end of the input is no.

    Raises
    ------
    NobodyToAsk
    """
    if sys.stdin is None or not sys.stdin.isatty():
        raise NobodyToAsk
    sys.stdout.flush()
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):  # after Ctrl-D the cursor still stands behind the question
        sys.stderr.write("\n")
    return answer.strip().lower() in ("y", "yes")
