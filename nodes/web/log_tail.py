"""The events of a run folder or a recorded file, complete or not: what is there, and then what is added."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from ..results.event_log import CURRENT, FIRST, older_parts
from ..results.round_summaries import unfolded

MOST = 16 << 20  # bytes: of a longer log the beginning and the end are read
BEGINNING = 1 << 20


class LogTail:
    """Call `new` again and again. `skipped` is how many bytes of a long log were not read."""

    def __init__(self, path: Path, most: int = MOST) -> None:
        self.path = path
        self.skipped = 0
        self._most = most
        self._begun = False
        # By name and inode, how much of each part has been read: the inode of one that is dropped is soon another's.
        self._read: dict[tuple[str, int], int] = {}

    def new(self) -> Iterator[dict[str, Any]]:
        """Yield the events that have been added since; the last line only once it is whole."""
        yield from unfolded(self._events())

    def _events(self) -> Iterator[dict[str, Any]]:
        parts = self._parts()
        begun, self._begun = self._begun, True
        before, self._read = self._read, {}
        for index, (path, inode, size) in enumerate(parts):
            if begun and path.name == FIRST:  # it stands for what has been read, and is written anew with each part
                continue
            start = before.get((path.name, inode), before.get((CURRENT, inode), 0))
            if start > size:  # it has been written anew
                start = 0
            self._read[path.name, inode] = start
            later = sum(part[2] for part in parts[index:])
            if not begun and later > self._most:  # the first time, of a long log
                if index == 0:
                    yield from self._between(path, inode, 0, min(size, BEGINNING))
                    start = self._read[path.name, inode]
                skipped = min(max(size - start, 0), max(later - start - self._most, 0))
                self.skipped += skipped
                start = self._next_line(path, start + skipped) if skipped else start
                self._read[path.name, inode] = start
            yield from self._between(path, inode, start, None)

    def _between(self, path: Path, inode: int, start: int, end: int | None) -> Iterator[dict[str, Any]]:
        """Yield the events of the whole lines of a part, and note how far they go."""
        try:
            file = path.open("rb")
        except OSError:
            return  # it has been dropped, or put aside under another name: that is found the next time
        with file:
            if os.fstat(file.fileno()).st_ino != inode:
                return  # likewise
            file.seek(start)
            for line in file:
                if not line.endswith(b"\n") or (end is not None and start >= end):
                    return
                start += len(line)
                self._read[path.name, inode] = start
                with suppress(msgspec.DecodeError):
                    event = msgspec.json.decode(line)
                    if isinstance(event, dict) and isinstance(event.get("type"), str):
                        yield event

    @staticmethod
    def _next_line(path: Path, place: int) -> int:
        """Return where the first line begins that begins at a place or behind it."""
        with suppress(OSError), path.open("rb") as file:
            file.seek(max(0, place - 1))
            file.readline()
            return file.tell() if place else 0
        return place

    def _parts(self) -> list[tuple[Path, int, int]]:
        """Return path, inode and size of each part, the oldest first; they are renamed while a run goes on."""
        if not self.path.is_dir():
            return _found(self.path)
        current = _found(self.path / CURRENT)  # before the others, one of which it may become meanwhile
        older = [part for path in (self.path / FIRST, *older_parts(self.path)) for part in _found(path)]
        return older + [part for part in current if part[1] not in {inode for _, inode, _ in older}]


def _found(path: Path) -> list[tuple[Path, int, int]]:
    try:
        stat = path.stat()
    except OSError:
        return []
    return [(path, stat.st_ino, stat.st_size)]
