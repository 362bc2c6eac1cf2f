"""``nodes.log``: what the processes of a run write to their standard error; begun anew when it is long."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Self

from ..results.event_log import PARTS
from ..results.run_dir import NODES_LOG as NAME

BEFORE = "nodes.1.log"


class NodesLog:
    """The log of a run folder, of `max_bytes` and the part before; a context manager.

    Every process has it open as `descriptor`, and appends: so it is emptied, and not replaced. What they write while it
    is copied can be lost.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder, self._part_bytes = folder, max_bytes // PARTS // 2
        self._written = 0
        self.descriptor = os.open(folder / NAME, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)

    def write(self, text: str) -> int:
        """Append lines, and begin the log anew where it is long."""
        data = text.encode(errors="backslashreplace")
        os.write(self.descriptor, data)
        self._written += len(data)
        if self._written > self._part_bytes // 8:
            self._written = 0
            self.trim()
        return len(text)

    def flush(self) -> None:
        """Do nothing: what is written is there."""

    def isatty(self) -> bool:
        return False

    def trim(self) -> None:
        """Begin it anew if it is long; where the disk is full, without keeping the part before."""
        if os.fstat(self.descriptor).st_size <= self._part_bytes:
            return
        with suppress(OSError):
            shutil.copyfile(self._folder / NAME, self._folder / BEFORE)
            (self._folder / BEFORE).chmod(0o600)
        os.ftruncate(self.descriptor, 0)
