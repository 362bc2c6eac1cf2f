"""``round_metrics.jsonl`` while a run goes on: rows are added, and changed, at its end; the rest is copied unread."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import msgspec
from nervenet.models.atomic_file import replacing

from ..runtime.round_history import Row
from .round_metrics import FILE

_BLOCK = 1 << 16  # bytes that are read at first, from the end


class RowsFile:
    """Lines of rows in the order of their rounds, in a file that is open for reading and writing."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def take(self, first: float) -> list[Row]:
        """Return the rows of round `first` and of later ones, which are the last, and remove them; and what is no row.

        The file is read back to where they begin, however long it is.
        """
        end, block = self._file.seek(0, os.SEEK_END), _BLOCK
        while True:
            start, lines = self._lines(max(0, end - block), end)
            rows = [_row(line) for line in lines]
            kept = next((place for place, row in enumerate(rows) if row is None or row["round"] >= first), len(rows))
            if kept or not start:
                break
            block *= 4
        self._file.truncate(start + sum(map(len, lines[:kept])))
        rest = list(zip(lines, rows, strict=True))[kept:]
        self.add(line for line, row in rest if row is not None and row["round"] < first)  # behind what is no row
        return [row for _, row in rest if row is not None and row["round"] >= first]

    def add(self, lines: Iterable[bytes]) -> None:
        self._file.seek(0, os.SEEK_END)
        self._file.writelines(lines)

    def _lines(self, start: int, end: int) -> tuple[int, list[bytes]]:
        """Return the lines between two places, and where the first of them begins."""
        self._file.seek(start)
        lines = self._file.read(end - start).splitlines(keepends=True)
        if start and lines:  # in the midst of a line, or just behind one: which of them cannot be seen
            start += len(lines.pop(0))
        return start, lines


@contextmanager
def changing_rows(folder: Path) -> Iterator[RowsFile]:
    """Yield the rows of a run folder; what was done to them is there, all of it, when nothing is raised."""
    with replacing(folder / FILE) as temporary:
        with suppress(FileNotFoundError):
            shutil.copyfile(folder / FILE, temporary)
        with temporary.open("r+b" if temporary.exists() else "w+b") as file:
            yield RowsFile(file)


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.DecodeError:
        return None
    return row if isinstance(row.get("round"), int) else None
