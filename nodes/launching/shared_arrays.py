"""Arrays in an open file without a name: a process that was not given its descriptor cannot read it.

The file holds arrays in NumPy's own .npy format, one after another, each at a page's start. It is read through a
shared memory map, so that many nodes that were given one test set hold it in memory once; a small one at once.
"""

from __future__ import annotations

import io
import mmap
import os
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

PAGE = mmap.ALLOCATIONGRANULARITY
ALIGNED = 64  # bytes, to which .npy aligns an array within its file
SMALL = 1 << 16  # bytes of a file that is not worth the descriptor by which a map holds it, as long as the map is there
HEADER = 70_000  # bytes; the longest header of the .npy format is shorter


def pack(arrays: Sequence[NDArray[Any]]) -> int:
    """Write the arrays to an anonymous temporary file.

    Returns
    -------
    int
        A file descriptor; the caller closes it.
    """
    with tempfile.TemporaryFile(prefix="nervenet-") as file:
        for array in arrays:
            file.seek(-(-file.tell() // PAGE) * PAGE)
            np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)
        file.flush()
        return os.dup(file.fileno())


def unpack(descriptor: int) -> list[NDArray[Any]]:
    """Return the arrays of a file made by `pack`, read-only, in memory shared by all readers unless there are few.

    Closes the descriptor.
    """
    try:
        size = os.fstat(descriptor).st_size
        if size == 0:
            return []
        # The map stays open for as long as an array refers to it. The file itself is never read by its position:
        # processes that were handed the same open file share that, and would read each other's.
        view = _read(descriptor, size) if size <= SMALL else mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
    finally:
        os.close(descriptor)
    arrays: list[NDArray[Any]] = []
    position = 0
    while position < size:
        header = io.BytesIO(view[position : position + HEADER])
        version = np.lib.format.read_magic(header)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(header)
        count = int(np.prod(shape, dtype=np.int64))
        start = position + header.tell()
        flat = np.frombuffer(view, dtype, count, start) if count else np.empty(0, dtype)
        arrays.append(flat.reshape(shape, order="F" if fortran else "C"))
        position = -(-(start + count * dtype.itemsize) // PAGE) * PAGE
    return arrays


def _read(descriptor: int, size: int) -> memoryview:
    """Return what is in a file, read-only, at an address as even as that of a map: sums may depend on it."""
    content = os.pread(descriptor, size, 0)
    if len(content) < size:
        raise ValueError(f"a file of {size:,} bytes ended after {len(content):,}")
    room = np.empty(size + ALIGNED, np.uint8)
    start = -room.ctypes.data % ALIGNED
    room[start : start + size] = np.frombuffer(content, np.uint8)
    return room[start : start + size].data.toreadonly()
