"""Elements as they are, and as 16-bit floats."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..weights import Vector, is_finite
from .base import CHUNK, Bytes, CodecError, chunks


@dataclass(frozen=True)
class Raw:
    """The vector's own bytes, little-endian. Whatever they hold passes, NaN too: nothing is lost, nothing is judged."""

    lossy = False

    def stride(self, dtype: "np.dtype[Any]") -> int:
        return dtype.itemsize

    def nbytes(self, size: int, dtype: "np.dtype[Any]") -> int:
        return size * dtype.itemsize

    def encode(self, vector: Vector, out: Bytes, rng: np.random.Generator) -> None:  # noqa: ARG002 nothing is drawn
        np.copyto(out.view(vector.dtype.newbyteorder("<")), vector)

    def decode(self, frame: Bytes, out: Vector) -> None:
        np.copyto(out, frame.view(out.dtype.newbyteorder("<")))


class _Half:
    """What the 16-bit floats share: saturation, the refusal of what is not finite, and the walk by chunks."""

    lossy = True
    largest: float

    def stride(self, dtype: "np.dtype[Any]") -> int:  # noqa: ARG002
        return 2

    def nbytes(self, size: int, dtype: "np.dtype[Any]") -> int:  # noqa: ARG002
        return 2 * size

    def encode(self, vector: Vector, out: Bytes, rng: np.random.Generator) -> None:  # noqa: ARG002 nearest, not random
        halves = out.view("<u2")
        scratch = np.empty(min(CHUNK, vector.size), np.float32)
        with np.errstate(all="ignore"):
            for part in chunks(vector.size):
                if not is_finite(vector[part]):
                    raise CodecError("the vector holds an element that is NaN or infinite")
                clipped = scratch[: part.stop - part.start]
                np.clip(vector[part], -self.largest, self.largest, out=clipped, casting="same_kind")
                self._round(clipped, halves[part])

    def decode(self, frame: Bytes, out: Vector) -> None:
        halves = frame.view("<u2")
        with np.errstate(all="ignore"):
            for part in chunks(out.size):
                self._widen(halves[part], out[part])
                if not is_finite(out[part]):
                    raise CodecError("the frame holds an element that is NaN or infinite")

    def _round(self, clipped: Vector, halves: Any) -> None:
        raise NotImplementedError

    def _widen(self, halves: Any, out: Vector) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class Float16(_Half):
    """IEEE 754 binary16: 11 significant bits, from 2⁻¹⁴ to 65504, rounded to the nearest.

    Larger magnitudes saturate at 65504. An element of 2⁻¹⁴ or more is off by at most 2⁻¹¹ of itself, a smaller one by
    at most 2⁻²⁵: differences after a few steps at a small rate may lie down there, where `BFloat16` keeps its 8 bits.
    Without saturation a contraction, ``||Q(x) - x||² <= (1 - δ) ||x||²``, with δ = 1 - 2⁻²² above 2⁻¹⁴, and of δ >= 0
    everywhere: no element moves further from x than zero is.
    """

    largest = 65504.0

    def _round(self, clipped: Vector, halves: Any) -> None:
        np.copyto(halves.view("<f2"), clipped, casting="same_kind")

    def _widen(self, halves: Any, out: Vector) -> None:
        np.copyto(out, halves.view("<f2"))


@dataclass(frozen=True)
class BFloat16(_Half):
    """The upper half of a float32: its range with 8 significant bits, rounded to the nearest, ties to even.

    Magnitudes beyond the largest (3.39e38; float64 has such) saturate there. An element is off by at most 2⁻⁹ of
    itself: a contraction with δ = 1 - 2⁻¹⁸ for normal numbers without saturation.
    """

    largest = float(np.uint32(0x7F7F0000).view(np.float32))

    def _round(self, clipped: Vector, halves: Any) -> None:
        bits = clipped.view(np.uint32)
        odd = bits >> np.uint32(16)
        odd &= np.uint32(1)
        odd += np.uint32(0x7FFF)
        bits += odd
        bits >>= np.uint32(16)
        np.copyto(halves, bits, casting="same_kind")

    def _widen(self, halves: Any, out: Vector) -> None:
        bits = halves.astype(np.uint32)
        bits <<= np.uint32(16)
        np.copyto(out, bits.view(np.float32))
