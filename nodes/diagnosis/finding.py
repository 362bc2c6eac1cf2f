"""What one check has found, and what to do about it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from nervenet.broker.errors import SEE

State: TypeAlias = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    `found` and `allowed` are what is there and what may be, `remedy` how it is mended: for people, in one line.
    """

    check: str
    state: State
    found: str
    allowed: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        expected = f"; expected {self.allowed}" if self.allowed else ""
        remedy = f": {self.remedy}" if self.remedy else ""
        found, code = self.found, ""
        if found.endswith(")") and SEE in found:  # a code stands at the end of a line
            found, _, code = found.rpartition(f" {SEE}")
            code = f" {SEE}{code}"
        return f"{self.state:<8} {self.check:<10} {found}{expected}{remedy}{code}"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def ok(check: str, found: str) -> Finding:
    return Finding(check, "ok", found)


def warning(check: str, found: str, allowed: str = "", remedy: str = "") -> Finding:
    return Finding(check, "warning", found, allowed, remedy)


def problem(check: str, found: str, allowed: str = "", remedy: str = "") -> Finding:
    return Finding(check, "problem", found, allowed, remedy)


def problems_in(findings: Iterable[Finding]) -> int:
    return sum(finding.state == "problem" for finding in findings)


def bytes_text(count: float) -> str:
    """Return a number of bytes in words of at most four digits, such as ``2.5 GB``."""
    power = min(int(math.log10(max(count, 1)) // 3), 5)
    return f"{count / 1000**power:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB', 'PB')[power]}"
