"""Regions of memory without a name (memfd): made and written by one process, mapped for reading by others. Linux.

The seals of a region hold for everybody who is passed its descriptor: nobody can map or open it for writing, or change
its size, from the moment at which its maker has mapped it. The kernel frees it with the last descriptor and mapping.
"""

from __future__ import annotations

import errno
import mmap
import os
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..limits import allowed

NAME = "nervenet"  # in /proc, for people
SUPPORTED = sys.platform == "linux" and hasattr(os, "memfd_create")
_ADD_SEALS, _GET_SEALS = 1033, 1034  # linux/fcntl.h; the standard library does not have all of them
_SEAL, _SHRINK, _GROW, _FUTURE_WRITE = 1, 2, 4, 16
SEALS = _SEAL | _SHRINK | _GROW | _FUTURE_WRITE
_NOEXEC = 8  # MFD_NOEXEC_SEAL: since Linux 6.3, and some systems want it


class WritableRegion:
    """A region of this process; ``bytes`` is its memory, ``descriptor`` what is passed to those who may read it.

    Raises
    ------
    OSError
        There is no memory, or no descriptor, or the system has no such seals.
    """

    def __init__(self, size: int) -> None:
        if not 0 < size <= allowed("shared_bytes"):  # here too: the system would take all there is, and end others
            raise OSError(errno.EFBIG, f"a region of {size:,} bytes")
        self.size = size
        self.descriptor = _new_memory()
        try:
            # Taken now, where there being none is an error; when it is written, that would be a signal.
            os.posix_fallocate(self.descriptor, 0, size)
            os.fchmod(self.descriptor, 0o600)
            memory = mmap.mmap(self.descriptor, size, flags=mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0))
            _control(self.descriptor, _ADD_SEALS, SEALS)
        except BaseException:
            os.close(self.descriptor)
            raise
        self.bytes: memoryview = memoryview(memory)
        self.address = address_of(self.bytes)

    def close(self) -> None:
        """Close the descriptor, and give the memory up once no array lies in it any more."""
        os.close(self.descriptor)
        self.bytes = memoryview(b"")


def map_to_read(descriptor: int, size: int) -> memoryview:
    """Return another process's region, which cannot be written, nor become shorter. Closes the descriptor.

    Raises
    ------
    OSError
        It cannot be mapped, or is none of this size, or is not sealed.
    """
    try:
        if os.fstat(descriptor).st_size != size:
            raise OSError(f"a region of {os.fstat(descriptor).st_size:,} bytes was said to have {size:,}")
        if _control(descriptor, _GET_SEALS, 0) & SEALS != SEALS:
            raise OSError("a region is not sealed")
        return memoryview(mmap.mmap(descriptor, size, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ))
    except ValueError as error:  # what mmap says of sizes
        raise OSError(str(error)) from error
    finally:
        os.close(descriptor)


def address_of(memory: Any) -> int:
    """Return where a buffer begins."""
    array: NDArray[np.uint8] = np.frombuffer(memory, np.uint8)
    return int(array.__array_interface__["data"][0])


def can_be_made() -> bool:
    """Return whether this system has memory with such seals (Linux 5.1)."""
    if not SUPPORTED:
        return False
    try:
        WritableRegion(mmap.PAGESIZE).close()
    except OSError:
        return False
    return True


def _new_memory() -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create(NAME, flags | _NOEXEC)
    except OSError:
        return os.memfd_create(NAME, flags)


def _control(descriptor: int, what: int, value: int) -> int:
    import fcntl

    return int(fcntl.fcntl(descriptor, what, value))
