"""A node's share of the data, handed over as an open file that has no name: whoever was not given it cannot read it.

The file holds arrays in NumPy's own .npy format, one after another, each at a page's start. It is read through a
shared memory map, so that many nodes that were given one test set hold it once.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

PAGE = mmap.ALLOCATIONGRANULARITY


def pack(arrays: Sequence[NDArray[Any]]) -> int:
    """Write the arrays to a nameless temporary file.

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
    """Give the arrays of a file made by `pack`, read-only, sharing memory with everybody who reads it. Closes the
    descriptor.
    """
    with os.fdopen(descriptor, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            return []
        # The map stays open for as long as an array refers to it.
        view = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
        arrays: list[NDArray[Any]] = []
        position = 0
        while position < size:
            file.seek(position)
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(file)
            count = int(np.prod(shape, dtype=np.int64))
            flat = np.frombuffer(view, dtype, count, file.tell()) if count else np.empty(0, dtype)
            arrays.append(flat.reshape(shape, order="F" if fortran else "C"))
            position = -(-(file.tell() + count * dtype.itemsize) // PAGE) * PAGE
        return arrays
