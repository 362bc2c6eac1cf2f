"""Standard output and standard error as a command may find them: closed, without a reader, on a full disk."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

NOBODY_READS = (errno.EPIPE, errno.EIO)


def open_closed() -> None:
    """Open on nothing what whoever started this process has closed (``>&-``).

    Else the next file or socket that is opened takes its place, and is written to as standard output.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    if sys.stdout is None:
        sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), line_buffering=True)
    if sys.stderr is None:
        sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), line_buffering=True)


def give_up(stream: TextIO | None) -> None:
    """Let what a stream holds, and what is written to it from now on, go nowhere: it takes no more."""
    with suppress(OSError, ValueError, AttributeError):  # it is closed, or no file
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())  # type: ignore[union-attr]
        finally:
            os.close(nowhere)


def nobody_reads(error: OSError) -> bool:
    """Whether a stream takes no more because its reader has gone, as ``head`` does once it has what it wants."""
    return isinstance(error, BrokenPipeError) or error.errno in NOBODY_READS
