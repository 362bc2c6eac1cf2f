"""Block-wise stochastic quantization to 8 and 4 bits (QSGD; Alistarh et al. 2017, section 3.1).

Where QSGD divides by the Euclidean norm of the whole vector, a block of 1024 elements is divided here by its largest
magnitude (their section 4: bucketing, and the maximum for a scale), so that no element leaves the range of the codes
and one outlier costs its own block alone.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..weights import Vector
from .base import CHUNK, LARGEST, Bytes, CodecError, chunks

ROW = 1024
"""Elements a scale. Its 4 bytes add 0.4 % to 8-bit codes, 0.8 % to 4-bit ones."""

SMALLEST = 2.0**-100
"""A block whose largest magnitude is below this is sent as zeros: its scale would leave the normal float32."""

BIGGEST = 2.0**127
"""Larger magnitudes are refused, so that no code times its scale leaves the finite float32."""

UNIT = 65536.0
"""Parts of a level. Rounding is by 16 random bits, so a level is cut into that many."""


class _Scratch(NamedTuple):
    floats: NDArray[np.float32]
    fixed: NDArray[np.int32]
    codes: NDArray[np.int8]


@dataclass(frozen=True)
class Stochastic:
    """Codes from -L to L and one float32 scale a block of `ROW` elements; L is 127 for 8 bits, 7 for 4.

    With s = max |x| / L over the block, the code of x is ``floor(x / s + u)``, u uniform on [0, 1): its mean is x / s,
    so that decoding is unbiased, and no element is off by more than s. Zeros stay zeros.

    How unbiased: x / s is first rounded to a multiple of 2⁻¹⁶ (float32 arithmetic is as exact as that near L), and 16
    random bits then give each of those its exact mean: ``|E[Q(x)] - x| <= 2⁻¹⁵ s``, of either sign. Averages over
    fewer than 10⁸ clients cannot tell.

    The variance is at most ``ω ||x||²``, ``ω = max_p (B - 1) p (1 - p) / (L² + (B - 1) p²)`` with B = `ROW`: 0.016 for
    8 bits, 1.84 for 4 bits, reached by blocks of one large element and 1023 at 0.49 (0.18) of a level; on normal
    numbers it is 1.2e-4 (0.041) of ||x||². So 8 bits are a contraction as they are, ``E||Q(x) - x||² <= (1 - δ)
    ||x||²`` with δ = 1 - ω = 0.984. For 4 bits that holds where ω < 1 does, which an adversary's block may violate:
    then ``Q(x) / (1 + ω)`` is one, δ = 1/(1 + ω) = 0.35 (Koloskova et al. 2019, section 3.3).
    """

    bits: int  # 8 or 4
    lossy = True

    @property
    def levels(self) -> int:
        return (1 << (self.bits - 1)) - 1

    def stride(self, dtype: "np.dtype[Any]") -> int:  # noqa: ARG002
        return 1

    def nbytes(self, size: int, dtype: "np.dtype[Any]") -> int:  # noqa: ARG002
        return 4 * _rows(size) + self._code_bytes(size)

    def _code_bytes(self, size: int) -> int:
        return size if self.bits == 8 else (size + 1) // 2

    def encode(self, vector: Vector, out: Bytes, rng: np.random.Generator) -> None:
        rows = _rows(vector.size)
        scales, codes = np.empty(rows, np.float32), out[4 * rows :]
        room = min(CHUNK, rows * ROW)
        scratch = _Scratch(np.empty(room, np.float32), np.empty(room, np.int32), np.empty(room, np.int8))
        for part in chunks(vector.size):
            with np.errstate(all="ignore"):  # of NaN and overflow the largest magnitude tells
                quantized = self._quantize(vector[part], scales[part.start // ROW : _rows(part.stop)], scratch, rng)
            target = codes[self._code_bytes(part.start) : self._code_bytes(part.stop)]
            if self.bits == 8:
                target[:] = quantized[: target.size].view(np.uint8)
            else:
                _pack(quantized, target)
        out[: 4 * rows].view("<f4")[:] = scales

    def _quantize(
        self, vector: Vector, scales: NDArray[np.float32], scratch: _Scratch, rng: np.random.Generator
    ) -> NDArray[np.int8]:
        """Return the codes of one chunk in whole rows, padded by zeros; write its scales."""
        padded = len(scales) * ROW
        floats, fixed, codes = scratch.floats[:padded], scratch.fixed[:padded], scratch.codes[:padded]
        if vector.dtype != np.float32 or vector.size != padded:
            np.copyto(floats[: vector.size], vector, casting="same_kind")
            floats[vector.size :] = 0
            vector = floats
        rows, steps = vector.reshape(-1, ROW), floats.reshape(-1, ROW)
        peaks = np.maximum(rows.max(axis=1), -rows.min(axis=1)).astype(np.float64)
        if not np.max(peaks) <= BIGGEST:  # written so that a NaN ends here as well
            raise CodecError(f"the vector holds an element that is NaN, infinite or beyond {BIGGEST:.2g}")
        np.divide(peaks, self.levels, out=scales, casting="same_kind")
        scales[peaks < SMALLEST] = 0
        per_step = np.zeros_like(scales)
        np.divide(UNIT, scales, out=per_step, where=scales > 0)
        np.multiply(rows, per_step[:, None], out=steps)
        # After three roundings and this one the peak is at L exactly, whatever its mantissa (all 2²³ were tried), so
        # that no code leaves the range.
        np.rint(floats, out=floats)
        np.copyto(fixed, floats, casting="unsafe")
        # An arithmetic shift is floor(): of 2¹⁶ equally likely dithers exactly the fraction's share carries.
        fixed += _dither(padded, rng)
        fixed >>= 16
        np.copyto(codes, fixed, casting="unsafe")
        return codes

    def decode(self, frame: Bytes, out: Vector) -> None:
        rows = _rows(out.size)
        scales = frame[: 4 * rows].view("<f4").astype(np.float32)
        codes = frame[4 * rows :]
        if not ((scales >= 0) & (scales <= LARGEST / (self.levels + 1))).all():
            raise CodecError("the frame holds a scale that is negative, NaN or too large")
        floats = np.empty(min(CHUNK, rows * ROW), np.float32)
        for part in chunks(out.size):
            size = part.stop - part.start
            mine = scales[part.start // ROW : _rows(part.stop)]
            padded = floats[: len(mine) * ROW]
            source = codes[self._code_bytes(part.start) : self._code_bytes(part.stop)]
            if self.bits == 8:
                np.copyto(padded[:size], source.view(np.int8))
            else:
                _unpack(source, padded[:size])
            padded[size:] = 0
            values = padded.reshape(-1, ROW)
            if size == len(padded) and out.dtype == np.float32:
                np.multiply(values, mine[:, None], out=out[part].reshape(-1, ROW))
            else:
                np.multiply(values, mine[:, None], out=values)
                np.copyto(out[part], padded[:size])


def _rows(size: int) -> int:
    return -(-size // ROW)


def _dither(size: int, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Return `size` times 16 random bits, four from each 64-bit word: a fifth of the cost of as many random floats."""
    words = rng.integers(0, 2**64 - 1, size // 4, dtype=np.uint64, endpoint=True)
    return words.astype("<u8", copy=False).view("<u2")


def _pack(codes: NDArray[np.int8], out: Bytes) -> None:
    """Write two codes a byte: the first half of a chunk in the low nibbles, the second in the high ones."""
    nibbles = codes.view(np.uint8)
    np.left_shift(nibbles[len(out) : 2 * len(out)], 4, out=out)
    low = nibbles[: len(out)]
    low &= 15
    out |= low


def _unpack(packed: Bytes, out: NDArray[np.float32]) -> None:
    half = len(packed)
    signed = packed.view(np.int8)
    np.copyto(out[half:], (signed >> 4)[: out.size - half])
    low = np.left_shift(signed, 4)
    low >>= 4
    np.copyto(out[:half], low)
    if out.size % 2 and packed[-1] >> 4:
        raise CodecError("the frame's last nibble belongs to no element and is not zero")
