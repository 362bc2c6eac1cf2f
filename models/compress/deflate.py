"""The lossless pass: zlib, byte plane by byte plane.

The frame: the length of what is inside (uint64), then for each plane its stored length (uint64) and its bytes. Plane j
of stride s holds the bytes j, j + s, j + 2s …: the exponents of floats stand together and shrink, and a plane that does
not shrink, as the low bits of a mantissa never do, is stored as it is and costs next to no time.
"""

import zlib
from struct import Struct

import numpy as np

from .base import Bytes, CodecError

LENGTH = Struct("<Q")
PIECE = 8192
WORTH = 0.98  # of a sample's length: compress a plane whose sample gets below this


def bound(size: int, stride: int) -> int:
    """Return the bytes of the longest frame for `size` bytes inside."""
    return LENGTH.size * (1 + stride) + size


def pack(inner: Bytes, stride: int) -> Bytes:
    """Return the compressed frame, never longer than `bound`."""
    pieces: list[bytes] = [LENGTH.pack(inner.size)]
    for j in range(stride):
        plane = np.ascontiguousarray(inner[j::stride])
        packed = _deflate(plane) if _shrinks(plane) else b""
        stored = packed if 0 < len(packed) < plane.size else plane.tobytes()
        pieces += [LENGTH.pack(len(stored)), stored]
    return np.frombuffer(b"".join(pieces), np.uint8)


def unpack(frame: Bytes, stride: int, largest: int) -> Bytes:
    """Return what was packed, never more than `largest` bytes however much a frame claims or inflates to.

    Raises CodecError for a frame that is malformed, or holds more.
    """
    size, rest = _length(frame)
    if size > largest:
        raise CodecError(f"deflate: {size} bytes inside, at most {largest} are possible")
    inner = np.empty(size, np.uint8)
    for j in range(stride):
        stored, rest = _length(rest)
        plane = inner[j::stride]
        if stored > min(rest.size, plane.size):
            raise CodecError(f"deflate: a plane of {stored} bytes; {rest.size} are there, {plane.size} make one")
        plane[:] = rest[:stored] if stored == plane.size else _inflate(rest[:stored], plane.size)
        rest = rest[stored:]
    if rest.size:
        raise CodecError(f"deflate: {rest.size} bytes too many")
    return inner


def _length(frame: Bytes) -> tuple[int, Bytes]:
    if frame.size < LENGTH.size:
        raise CodecError("deflate: the frame ends early")
    return LENGTH.unpack_from(frame.data)[0], frame[LENGTH.size :]


def _deflate(plane: Bytes) -> bytes:
    # Codes and exponents are noise with a skewed distribution and runs of zeros: searching them for strings, as the
    # default strategy does, takes more than twice as long as run lengths and Huffman, and finds less.
    engine = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
    return engine.compress(plane.data) + engine.flush()


def _inflate(stored: Bytes, size: int) -> Bytes:
    engine = zlib.decompressobj()
    try:
        # One byte more than is right: a bomb is noticed when it has made that byte.
        plain = engine.decompress(np.ascontiguousarray(stored).data, size + 1)
    except zlib.error as error:
        raise CodecError(f"deflate: {error}") from error
    if len(plain) != size or not engine.eof or engine.unused_data:
        raise CodecError(f"deflate: a plane does not inflate to its {size} bytes, or not to them alone")
    return np.frombuffer(plain, np.uint8)


def _shrinks(plane: Bytes) -> bool:
    """Whether pieces from the plane's beginning, middle and end get shorter."""
    if plane.size <= 4 * PIECE:
        return True
    starts = (0, (plane.size - PIECE) // 2, plane.size - PIECE)
    sample = np.concatenate([plane[start : start + PIECE] for start in starts])
    return len(_deflate(sample)) < WORTH * sample.size
