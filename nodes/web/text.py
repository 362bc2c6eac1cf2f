"""Text and numbers from elsewhere, as a browser is given them: cut, in one line, finite."""

from __future__ import annotations

import sys
from typing import Any

from ..runtime.printable import printable

LONGEST = 200  # characters


def short(text: object) -> str:
    """Return text in one line of at most `LONGEST` characters, with what is no visible character as an escape."""
    line = printable(str(text)[: LONGEST + 1])
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def number(value: Any) -> float | None:
    """Return a finite number, and None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) <= sys.float_info.max else None


def names(value: Any) -> list[str]:
    """Return a list of names; an empty one for what is none."""
    return [str(name) for name in value] if isinstance(value, list | tuple) else []
