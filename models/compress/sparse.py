"""Top-k: the largest elements and their indices.

The frame: count (uint64), kind of the index (uint8) and 7 zero bytes, the values, the index. The index is whichever is
shortest of a bitmap and of the gaps between indices in symbols of 4, 8 or 16 bits, in which the largest symbol means
"that many further, and no element yet". A decoded index so cannot help being in order, and free of repeats.
"""

from dataclasses import dataclass
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..weights import Vector, is_finite
from .base import CHUNK, Bytes, CodecError, Values, chunks

HEAD = Struct("<QB7s")
PADDING = bytes(7)
BITMAP = 0
GAP_BITS = (4, 8, 16)  # the other kinds, by the bits of a symbol

SAMPLE = 65_536


@dataclass(frozen=True)
class TopK:
    """The `share` of the elements that have the largest magnitude; the others are zero (Stich et al. 2018).

    Exactly ``k = max(1, round(share n))`` elements, fewer only if fewer are not zero; of equal magnitudes the first
    stand. A contraction with δ = k / n, ``||Q(x) - x||² <= (1 - k/n) ||x||²``, deterministic; with a quantizer of
    variance ω behind it, ``E||Q(x) - x||² <= (1 - (1 - ω) k/n) ||x||²``. It is biased, so that it wants error feedback.
    """

    share: float  # in (0, 1]

    def kept(self, size: int) -> int:
        """Return the number of elements kept of `size`."""
        return min(size, max(1, round(self.share * size)))

    def bound(self, size: int, dtype: "np.dtype[Any]", values: Values) -> int:
        return HEAD.size + values.nbytes(self.kept(size), dtype) + _bitmap_bytes(size)

    def encode(self, vector: Vector, values: Values, rng: np.random.Generator) -> Bytes:
        """Return the frame. Raises CodecError for an element that is not finite."""
        if not is_finite(vector):
            raise CodecError("the vector holds an element that is NaN or infinite")
        indices = largest(vector, self.kept(vector.size))
        kind, index = _write_index(indices, vector.size)
        start, stop = HEAD.size, HEAD.size + values.nbytes(indices.size, vector.dtype)
        frame = np.empty(stop + index.size, np.uint8)
        HEAD.pack_into(frame.data, 0, indices.size, kind, PADDING)
        values.encode(vector[indices], frame[start:stop], rng)
        frame[stop:] = index
        return frame

    def decode(self, frame: Bytes, values: Values, out: Vector) -> None:
        """Fill `out`; what is allocated on the way is at most the values, and a few chunks."""
        if frame.size < HEAD.size:
            raise CodecError(f"top-k: {frame.size} bytes are no frame")
        count, kind, padding = HEAD.unpack_from(frame.data)
        if count > self.kept(out.size):
            raise CodecError(f"top-k: {count} elements, at most {self.kept(out.size)} of {out.size} are kept")
        if padding != PADDING or kind not in (BITMAP, *GAP_BITS):
            raise CodecError("top-k: malformed head")
        stop = HEAD.size + values.nbytes(count, out.dtype)
        if frame.size < stop:
            raise CodecError(f"top-k: {frame.size} bytes do not hold {count} values")
        kept = np.empty(count, out.dtype)
        values.decode(frame[HEAD.size : stop], kept)
        if not values.lossy and not is_finite(kept):
            raise CodecError("the frame holds an element that is NaN or infinite")
        out.fill(0)
        index = frame[stop:]
        done = _scatter_bitmap(index, kept, out) if kind == BITMAP else _scatter_gaps(index, kind, kept, out)
        if done != count:
            raise CodecError(f"top-k: {done} indices for {count} values")


def largest(vector: Vector, k: int) -> NDArray[np.intp]:
    """Return the indices of the `k` largest magnitudes, in order; zeros never count, of equal ones the first.

    A regular sample of the vector gives a threshold that a little more than k elements will pass; those alone are
    partitioned. The result is exact: should too few pass, all do.
    """
    floor = _sampled_floor(vector, k)
    found = _passing(vector, floor)
    if found.size < k and floor > 0:
        found = _passing(vector, 0.0)
    if found.size <= k:
        return found
    magnitudes = np.abs(vector[found])
    least = np.partition(magnitudes, found.size - k)[found.size - k]
    keep = magnitudes > least
    equal = np.flatnonzero(magnitudes == least)
    keep[equal[: k - np.count_nonzero(keep)]] = True
    chosen: NDArray[np.intp] = found[keep]
    return chosen


def _sampled_floor(vector: Vector, k: int) -> float:
    step = vector.size // SAMPLE
    if step < 2:
        return 0.0
    sample = np.abs(vector[::step])
    expected = k * sample.size / vector.size
    rank = int(expected * 1.05 + 5 * expected**0.5 + 8)  # five standard deviations, and some
    return float(np.partition(sample, sample.size - rank)[sample.size - rank]) if rank < sample.size else 0.0


def _passing(vector: Vector, floor: float) -> NDArray[np.intp]:
    """Return the indices of magnitudes of at least `floor` that are not zero."""
    scratch = np.empty(min(CHUNK, vector.size), vector.dtype)
    found: list[NDArray[np.intp]] = []
    for part in chunks(vector.size):
        magnitudes = np.abs(vector[part], out=scratch[: part.stop - part.start])
        found.append(np.flatnonzero(magnitudes >= floor if floor > 0 else magnitudes) + part.start)
    return np.concatenate(found) if found else np.empty(0, np.intp)


def _bitmap_bytes(size: int) -> int:
    return (size + 7) // 8


def _write_index(indices: NDArray[np.intp], size: int) -> tuple[int, Bytes]:
    """Return kind and bytes of the shortest index."""
    gaps = np.diff(indices, prepend=-1)
    gaps -= 1
    lengths = {BITMAP: _bitmap_bytes(size)}
    for bits in GAP_BITS:
        symbols = indices.size + int((gaps // ((1 << bits) - 1)).sum())
        lengths[bits] = (symbols * bits + 7) // 8
    kind = min(lengths, key=lambda kind: (lengths[kind], kind))
    if kind == BITMAP:
        there = np.zeros(size, np.bool_)
        there[indices] = True
        return kind, np.packbits(there, bitorder="little")
    escape = (1 << kind) - 1
    escapes, rests = np.divmod(gaps, escape)
    places = np.cumsum(escapes)
    places += np.arange(indices.size)
    # An odd number of nibbles ends in an escape, which no index does.
    count = lengths[kind] * 8 // kind
    symbols_out = np.full(count, escape, "<u2" if kind == 16 else np.uint8)
    symbols_out[places] = rests
    if kind == 4:
        return kind, symbols_out[::2] | (symbols_out[1::2] << 4)
    return kind, symbols_out.view(np.uint8)


def _scatter_gaps(index: Bytes, bits: int, values: Vector, out: Vector) -> int:
    """Put values where the gaps say; return how many. Raises CodecError for an index beyond the end."""
    if bits == 16 and index.size % 2:
        raise CodecError("top-k: half a symbol at the end of the index")
    escape = (1 << bits) - 1
    per_byte = 2 if bits == 4 else 1
    symbols = index.view("<u2") if bits == 16 else index
    if symbols.size * per_byte > values.size + out.size // escape + 1:
        raise CodecError("top-k: the index is longer than its values and the vector allow")
    done, at = 0, -1
    ended = True
    for start in range(0, symbols.size, CHUNK):
        steps = symbols[start : start + CHUNK].astype(np.int64)
        if bits == 4:
            steps = np.stack([steps & 15, steps >> 4], axis=1).ravel()
            if start + CHUNK >= symbols.size and steps[-1] == escape:
                steps = steps[:-1]
        element = steps != escape
        ended = bool(element[-1])
        steps += element
        places = np.cumsum(steps, out=steps)
        places += at
        at = int(places[-1])
        places = places[element]
        if at >= out.size or done + places.size > values.size:
            raise CodecError("top-k: an index beyond the end of the vector, or more indices than values")
        out[places] = values[done : done + places.size]
        done += places.size
    if not ended:
        raise CodecError("top-k: the index ends between two elements")
    return done


def _scatter_bitmap(index: Bytes, values: Vector, out: Vector) -> int:
    if index.size != _bitmap_bytes(out.size):
        raise CodecError(f"top-k: a bitmap of {index.size} bytes for {out.size} elements")
    if out.size % 8 and index[-1] >> (out.size % 8):
        raise CodecError("top-k: a bit beyond the end of the vector")
    done = 0
    for part in chunks(out.size):  # CHUNK is a multiple of 8
        bits = np.unpackbits(index[part.start // 8 : _bitmap_bytes(part.stop)], bitorder="little")
        places = np.flatnonzero(bits)
        if done + places.size > values.size:
            raise CodecError("top-k: more bits than values")
        out[part][places] = values[done : done + places.size]
        done += places.size
    return done
