"""Codec: the stages that a spec names, one after another."""

from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property, lru_cache
from itertools import pairwise
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..weights import Vector
from . import deflate
from .base import Bytes, CodecError, Values
from .dense import BFloat16, Float16, Raw
from .quantize import Stochastic
from .sparse import TopK

VALUES: dict[str, Values] = {"float16": Float16(), "bfloat16": BFloat16(), "int8": Stochastic(8), "int4": Stochastic(4)}
ORDER = (("delta",), ("top-k",), tuple(VALUES), ("deflate",))
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names}
OF_DIFFERENCES = ("top-k", "int8", "int4")

ALLOWED = (np.float32, np.float64)

LENGTH = Struct("<Q")


@dataclass(frozen=True)
class Codec:
    """A way from a vector to a frame and back; both sides know spec, size and dtype, and the frame holds the rest.

    Attributes
    ----------
    spec : str
        What `parse` read, in its canonical form.
    relative : bool
        Whether the vector is a difference to weights that both sides have. Taking it, and adding it, is the caller's.
    """

    spec: str
    relative: bool
    values: Values
    top: TopK | None
    deflated: bool

    @property
    def lossy(self) -> bool:
        """Whether decoding may give another vector than was encoded: then error feedback makes up for it."""
        return self.values.lossy or self.top is not None

    @cached_property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages, without arguments: the receiver must support all."""
        return tuple(stage.partition(":")[0] for stage in self.spec.split("+") if stage)

    def bound(self, size: int, dtype: DTypeLike, parts: int = 1) -> int:
        """Bytes of the longest frame that `decode` with these arguments accepts."""
        kind = np.dtype(dtype)
        longest = self._inner_bound(size, kind)
        if self.deflated:
            longest = deflate.bound(longest, self.values.stride(kind))
        return parts * longest + (LENGTH.size * parts if parts > 1 else 0)

    def encode(self, vector: Vector, rng: np.random.Generator, parts: int = 1) -> Bytes:
        """Return the frame, an array of uint8, of a vector, which is not changed.

        Parameters
        ----------
        vector : (parts * n,) array
            float32 or float64.
        rng : numpy.random.Generator
            Decides the stochastic roundings; one in the same state gives the same bytes.
        parts : int
            Vectors that follow one another. Each gets a frame of its own, so that neither the choice of the largest
            elements nor a scale crosses from one to the next; with more than one, their lengths come first.

        Raises CodecError: not such a vector; or, for a lossy codec, an element that is NaN or infinite, or beyond 2¹²⁷
        for int8 and int4. (The 16-bit floats saturate instead.)
        """
        if vector.ndim != 1 or vector.dtype not in ALLOWED or parts < 1 or vector.size % parts:
            raise CodecError(f"{parts} flat parts of float32 or float64 are wanted, not {vector.dtype}{vector.shape}")
        vector = np.ascontiguousarray(vector)
        frames = [self._encode(part, rng) for part in vector.reshape(parts, -1)]
        if parts == 1:
            return frames[0]
        lengths = np.array([frame.size for frame in frames], "<u8")
        return np.concatenate([lengths.view(np.uint8), *frames])

    def decode(self, frame: Bytes, size: int, dtype: DTypeLike, parts: int = 1) -> Vector:
        """Return the vector, shape (parts * size,), of a frame (of uint8, may be read-only) that another node sent.

        It is finite if the codec is lossy; a lossless one returns what was encoded, whatever it was.

        Raises CodecError: the frame is not what `encode` makes of such a vector. Nothing is allocated by what it
        claims: the vector, with top-k the values kept, with deflate a frame of `bound` bytes and two of its planes,
        and a few chunks.
        """
        if np.dtype(dtype) not in ALLOWED or size < 0 or parts < 1:
            raise CodecError(f"{parts} x {size} elements of {dtype} are no vector")
        if frame.dtype != np.uint8 or frame.ndim != 1:
            raise CodecError(f"a flat frame of uint8 is wanted, not {frame.dtype}{frame.shape}")
        if frame.size > self.bound(size, dtype, parts):
            limit = self.bound(size, dtype, parts)
            raise CodecError(
                f"{self.spec or 'raw'}: {frame.size} bytes, {parts} x {size} elements make at most {limit}"
            )
        frame = np.ascontiguousarray(frame)
        frames = [frame] if parts == 1 else _split(frame, parts)
        out = np.empty(parts * size, dtype)
        for piece, part in zip(frames, out.reshape(parts, size), strict=True):
            self._decode(piece, part)
        return out

    def _inner_bound(self, size: int, dtype: "np.dtype[Any]") -> int:
        return self.top.bound(size, dtype, self.values) if self.top else self.values.nbytes(size, dtype)

    def _encode(self, vector: Vector, rng: np.random.Generator) -> Bytes:
        if self.top:
            frame = self.top.encode(vector, self.values, rng)
        else:
            frame = np.empty(self.values.nbytes(vector.size, vector.dtype), np.uint8)
            self.values.encode(vector, frame, rng)
        return deflate.pack(frame, self.values.stride(vector.dtype)) if self.deflated else frame

    def _decode(self, frame: Bytes, out: Vector) -> None:
        longest = self._inner_bound(out.size, out.dtype)
        if self.deflated:
            frame = deflate.unpack(frame, self.values.stride(out.dtype), longest)
        if self.top:
            self.top.decode(frame, self.values, out)
        elif frame.size != longest:
            raise CodecError(f"{self.spec or 'raw'}: {frame.size} bytes, {out.size} elements make {longest}")
        else:
            self.values.decode(frame, out)


def _split(frame: Bytes, parts: int) -> list[Bytes]:
    """Return the frames of several parts, by the lengths that come first."""
    head = LENGTH.size * parts
    if frame.size < head:
        raise CodecError(f"{frame.size} bytes hold no lengths of {parts} parts")
    lengths = [int(length) for length in frame[:head].view("<u8")]
    if sum(lengths) != frame.size - head:
        raise CodecError(f"parts of {lengths} bytes in a frame of {frame.size}")
    stops = [head]
    for length in lengths:
        stops.append(stops[-1] + length)
    return [frame[start:stop] for start, stop in pairwise(stops)]


def supported() -> tuple[str, ...]:
    """Return the names of all stages, for help texts and for agreeing on a codec."""
    return tuple(RANK)


@lru_cache(maxsize=64)
def parse(spec: str) -> Codec:
    """Return the codec of a spec: stages joined by ``+``, each at most once, in the order of the package's docstring.

    top-k, int8 and int4 are for differences: ``delta`` comes first. Raises ValueError, which says which stage is wrong
    and what is allowed.
    """
    stages = [stage.strip() for stage in spec.split("+")] if spec.strip() else []
    top: TopK | None = None
    canonical: list[str] = []
    names: list[str] = []
    for stage in stages:
        name, colon, argument = stage.partition(":")
        if name not in RANK:
            near = get_close_matches(name.lower(), RANK, n=1, cutoff=0.5)
            meant = f"; do you mean {near[0]!r}?" if near else "."
            raise ValueError(f"codec {spec!r}: unknown stage {name!r}{meant} Allowed, in this order: {_grammar()}")
        if name == "top-k":
            top = TopK(_share(spec, argument))
            stage = f"{name}:{top.share!r}"
        elif colon:
            raise ValueError(f"codec {spec!r}: {name} takes no argument, found {argument!r}")
        names.append(name)
        canonical.append(stage)
    for first, second in pairwise(names):
        if RANK[first] == RANK[second]:
            raise ValueError(
                f"codec {spec!r}: {first} and {second}, but at most one of {', '.join(ORDER[RANK[first]])}"
            )
        if RANK[first] > RANK[second]:
            raise ValueError(f"codec {spec!r}: {second} must stand before {first}. The order: {_grammar()}")
    relative = "delta" in names
    for name in names:
        if name in OF_DIFFERENCES and not relative:
            raise ValueError(f"codec {spec!r}: {name} is for differences, not for weights: delta+{'+'.join(canonical)}")
    values = next((VALUES[name] for name in names if name in VALUES), Raw())
    return Codec("+".join(canonical), relative, values, top, "deflate" in names)


def _share(spec: str, argument: str) -> float:
    try:
        share = float(argument)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        found = f"not {argument!r}" if argument else "found none"
        raise ValueError(f"codec {spec!r}: top-k wants the share to keep, above 0 and up to 1: top-k:0.01, {found}")
    return share


def _grammar() -> str:
    return "delta, top-k:SHARE, one of float16 bfloat16 int8 int4, deflate; joined by +"
