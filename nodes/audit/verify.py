"""Whether chains are as they were written, file by file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .chain import Broken, Head, Verifier
from .log import AuditError, chains


class ChainsBroken(RuntimeError):
    """Some chain is not as it was written; the message says which file and line, and what differs."""


@dataclass(frozen=True)
class Verified:
    """A chain that is as it was written, and how many records it has since the head that was noted, if one was."""

    path: Path
    head: Head
    lives: int
    torn: int
    since: int | None = None

    def __str__(self) -> str:
        lives = f"{self.lives} {'life' if self.lives == 1 else 'lives'} of its node"
        torn = f", {self.torn} torn by a power cut" if self.torn else ""
        since = "" if self.since is None else f", {self.since} since the head that was noted"
        return f"{self.path}: {self.head.n} records, {lives}{torn}{since}; head {self.head.hash}"


def verify(place: Path, head: str | None = None) -> tuple[list[Verified], list[str]]:
    """Return the chains of a place that are as they were written, and a line for each that is not.

    A `head` that was noted earlier must be that of a record of one of them. Raises AuditError where there is no chain.
    """
    found: list[Verified] = []
    problems: list[str] = []
    lost: list[str] = []
    for path, files in chains(place).items():
        verifier = Verifier()
        where = path
        try:
            for where in files:
                verifier.take(read(where), whole=len(files) > 1 or place != path)
            since = None
            if head is not None:
                where = path
                try:
                    since = verifier.check_head(head)
                except Broken as error:
                    lost.append(f"{path}: {error.problem}")
            found.append(Verified(path, verifier.head, verifier.lives, verifier.torn, since))
        except Broken as error:
            problems.append(f"{where}: {error}")
    if head is not None and all(one.since is None for one in found):
        problems += lost
        found = []
    return found, problems


def read(path: Path) -> bytes:
    """Return the content of a file of a chain; AuditError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise AuditError(f"{path}: cannot be read: {error.strerror}") from None
