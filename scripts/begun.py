"""What was there before the command line was read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Begun:
    """When the command started (unix seconds), and the process that nodes are forked from, if it was started early."""

    at: float | None = None
    zygote: Any = None
