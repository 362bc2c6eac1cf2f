"""``nodes.log``: what the processes of a run write to their standard error; begun anew when it is long."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Self, TextIO

from ..results.event_log import PARTS
from ..results.run_dir import NODES_LOG as NAME

BEFORE = "nodes.1.log"


class BestEffort:
    """A stream of text that leaves out what cannot be written: a full disk ends no node that would say so."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


class NodesLog:
    """The log of a run folder, of `max_bytes` and the part before; a context manager.

    Every process has it open as `descriptor`, and appends: so it is emptied, and not replaced. What they write while it
    is copied can be lost.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder, self._part_bytes = folder, max_bytes // PARTS // 2
        self.descriptor = os.open(folder / NAME, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)

    def trim(self) -> None:
        """Begin it anew if it is long; where the disk is full, without keeping the part before."""
        if os.fstat(self.descriptor).st_size <= self._part_bytes:
            return
        with suppress(OSError):
            shutil.copyfile(self._folder / NAME, self._folder / BEFORE)
            (self._folder / BEFORE).chmod(0o600)
        os.ftruncate(self.descriptor, 0)
