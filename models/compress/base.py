"""The protocol of a codec's stages, and what they share."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..weights import BLOCK, Vector

Bytes = NDArray[np.uint8]
"""A frame, or a part of one; it may be read-only and need not be aligned."""

CHUNK = BLOCK
"""Elements handled at a time: a chunk and the scratch of the widest stage fit in the second-level cache."""

LARGEST = float(np.finfo(np.float32).max)


class CodecError(ValueError):
    """A vector cannot be encoded, or a frame is not what an encoder makes. The message says what was found."""


class Values(Protocol):
    """A stage that encodes every element of a vector in a frame of fixed length."""

    lossy: bool

    def stride(self, dtype: "np.dtype[Any]") -> int:
        """Return the bytes of an element: bytes of one kind are that far apart, which a lossless stage can use."""
        ...

    def nbytes(self, size: int, dtype: "np.dtype[Any]") -> int:
        """Return the length of the frame of `size` elements."""
        ...

    def encode(self, vector: Vector, out: Bytes, rng: np.random.Generator) -> None:
        """Fill `out`, of `nbytes`. Raises CodecError."""
        ...

    def decode(self, frame: Bytes, out: Vector) -> None:
        """Fill `out` from a frame of the right length. Raises CodecError."""
        ...


def chunks(size: int) -> list[slice]:
    """Return the slices that cut `size` elements into chunks."""
    return [slice(start, min(start + CHUNK, size)) for start in range(0, size, CHUNK)]
