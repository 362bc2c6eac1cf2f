"""Versions of the protocol: which ones a node speaks, which one two nodes use, and what is said where there is none.

Pure. docs/protocol.md, section 10.
"""

from __future__ import annotations

from typing import NamedTuple

import nervenet
from msgspec import UNSET

from .messages import OLDEST, VERSION, Hello

RELEASE = str(getattr(nervenet, "__version__", ""))  # absent where the folders are used without an installation


class Spoken(NamedTuple):
    """The oldest and the newest version that a node speaks, and its release of nervenet, empty if unknown."""

    oldest: int
    newest: int
    release: str = ""

    def __str__(self) -> str:
        versions = str(self.newest) if self.oldest == self.newest else f"{self.oldest} to {self.newest}"
        return f"version {versions} of the protocol (nervenet {self.release or 'of an unknown release'})"


OURS = Spoken(OLDEST, VERSION, RELEASE)


def hello(
    node: str, role: str, run: str, incarnation: int, ours: Spoken = OURS, proof: str = "", host: str = ""
) -> Hello:
    """Return the introduction of a node, with what it speaks."""
    return Hello(node, role, run, incarnation, ours.newest, ours.oldest, ours.release, proof, host or UNSET)


def spoken_by(message: Hello) -> Spoken:
    return Spoken(message.oldest, message.version, message.release)


def common(theirs: Spoken, ours: Spoken = OURS) -> int | None:
    """Return the newest version that both speak, or None."""
    newest = min(ours.newest, theirs.newest)
    return newest if newest >= max(ours.oldest, theirs.oldest) else None


def mismatch(them: str, theirs: Spoken, us: str, ours: Spoken = OURS) -> str:
    """Return why two nodes have no version in common, and which of the two is to be upgraded."""
    older = them if theirs.newest < ours.newest else us
    return f"{them} speaks {theirs}, {us} {ours}: upgrade nervenet at {older}"


def of_header(them: str, version: int, us: str, ours: Spoken = OURS) -> str:
    """Return the same of a message whose header alone could be read."""
    return mismatch(them, Spoken(version, version), us, ours)
