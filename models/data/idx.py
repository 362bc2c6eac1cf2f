"""The IDX format of the MNIST family: two zero bytes, a type, a number of dimensions, their sizes, then the bytes.

http://yann.lecun.com/exdb/mnist/ . Only unsigned bytes (type 8) are read and written here, always through gzip.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .data import DataError

UNSIGNED_BYTE = 8


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Return the array of a gzipped IDX file of unsigned bytes with so many dimensions.

    Raises DataError when the file is missing or is something else, naming what was found and what was expected.
    """
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read as a gzip file ({error})") from error
    expected = bytes((0, 0, UNSIGNED_BYTE, dimensions))
    if content[:4] != expected:
        raise DataError(f"{path}: starts with bytes {content[:4].hex()}, expected {expected.hex()}")
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise DataError(f"{path}: ends after {len(content)} bytes, within the header")
    shape = [int(size) for size in np.frombuffer(content, ">u4", count=dimensions, offset=4)]
    if len(content) - start != math.prod(shape):
        sizes = " x ".join(map(str, shape))
        raise DataError(f"{path}: holds {len(content) - start} bytes, expected {sizes} = {math.prod(shape)}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def write_idx(path: Path, values: NDArray[np.uint8]) -> None:
    """Write unsigned bytes as a gzipped IDX file. The same values give the same bytes."""
    header = bytes((0, 0, UNSIGNED_BYTE, values.ndim)) + np.array(values.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(header + values.tobytes(), mtime=0))
