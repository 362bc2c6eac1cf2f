"""Weights: one flat vector, and the layout of the arrays in it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import blake2b
from itertools import pairwise
from math import isfinite, prod, sqrt
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

Vector = NDArray[np.floating[Any]]
"""A flat vector of float32 or float64."""

BLOCK = 65_536
"""Elements handled at a time: 256 kB of float32, so that a block and its temporary stay in the second-level cache."""


class IncompatibleWeights(ValueError):
    """A vector does not fit a layout, or a layout is malformed: `reason` is shape, dtype, length, finite or layout."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Layout:
    """The names, shapes and order of the arrays in one flat vector, each in C order, and the vector's dtype.

    Nodes agree on a layout once; from then on its hash identifies it, and a weights message is one contiguous frame.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    dtype: Literal["float32", "float64"]

    def __post_init__(self) -> None:
        if len(self.names) != len(self.shapes) or not self.names:
            raise IncompatibleWeights("layout", f"{len(self.names)} names for {len(self.shapes)} shapes")
        if len(set(self.names)) != len(self.names):
            raise IncompatibleWeights("layout", "two arrays have the same name")
        if any(size < 1 for shape in self.shapes for size in shape):
            raise IncompatibleWeights("layout", f"a dimension below 1 in {self.shapes}")
        if self.dtype not in ("float32", "float64"):
            raise IncompatibleWeights("layout", f"dtype is {self.dtype!r}; float32 and float64 are allowed")

    @cached_property
    def size(self) -> int:
        """Number of elements of the vector."""
        return sum(prod(shape) for shape in self.shapes)

    @cached_property
    def hash(self) -> str:
        """16 hexadecimal digits that identify names, shapes, order and dtype."""
        canonical = json.dumps([list(self.names), [list(s) for s in self.shapes], self.dtype], separators=(",", ":"))
        return blake2b(canonical.encode(), digest_size=8).hexdigest()

    def views(self, vector: Vector) -> dict[str, Vector]:
        """Return the arrays of a vector by name: views that share its memory."""
        if vector.shape != (self.size,):
            raise IncompatibleWeights("length", f"shape {vector.shape}, expected ({self.size},)")
        stops = [0]
        for shape in self.shapes:
            stops.append(stops[-1] + prod(shape))
        parts = zip(self.names, self.shapes, pairwise(stops), strict=True)
        return {name: vector[start:stop].reshape(shape) for name, shape, (start, stop) in parts}

    def check(self, vector: Vector, *, values: bool = True) -> None:
        """Raise IncompatibleWeights for a vector that is not flat, not finite, or of another dtype or length.

        Without ``values`` these are not looked at: whoever handed them on has done that.
        """
        if vector.ndim != 1:
            raise IncompatibleWeights("shape", f"{vector.ndim} dimensions, expected 1")
        if vector.dtype != self.dtype:
            raise IncompatibleWeights("dtype", f"dtype {vector.dtype}, expected {self.dtype}")
        if vector.size != self.size:
            raise IncompatibleWeights("length", f"{vector.size} elements, expected {self.size}")
        if values and not is_finite(vector):
            bad = vector.size - int(np.count_nonzero(np.isfinite(vector)))
            raise IncompatibleWeights("finite", f"{bad} of {vector.size} elements are NaN or infinite")

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and strings, for JSON and msgpack."""
        return {"names": list(self.names), "shapes": [list(shape) for shape in self.shapes], "dtype": self.dtype}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Layout":
        """Return the layout that `to_dict` described. Raises IncompatibleWeights for anything else."""
        try:
            names = tuple(str(name) for name in fields["names"])
            shapes = tuple(tuple(int(size) for size in shape) for shape in fields["shapes"])
            dtype = fields["dtype"]
        except (KeyError, TypeError, ValueError) as error:
            raise IncompatibleWeights("layout", f"not a layout: {error!r}") from error
        return cls(names, shapes, dtype)


def is_finite(vector: Vector) -> bool:
    """Return whether no element is NaN or infinite.

    The dot product with itself is finite only if every element is, and is one fast read of the vector. Only where it
    overflows, which large but finite elements can make it do, are the elements looked at one by one. `numpy.vdot` says
    nothing of that, while `numpy.dot` warns.
    """
    return isfinite(np.vdot(vector, vector)) or bool(np.isfinite(vector).all())


def checked_finite(vector: Vector, what: str) -> Vector:
    """Return `vector`; ArithmeticError if it holds NaN or infinity."""
    if not is_finite(vector):
        raise ArithmeticError(f"{what} must be finite, found NaN or infinity")
    return vector


def consensus_distance(vectors: Sequence[Vector]) -> float:
    """Return how far models are from agreeing: ``sqrt(mean_i ||x_i - mean||²)``, in float64.

    Zero for one vector. NaN where a vector holds a value that is not finite.
    """
    if not vectors:
        raise ValueError("no vectors given")
    total = 0.0
    with np.errstate(all="ignore"):
        for start in range(0, vectors[0].size, BLOCK):
            block = np.stack([v[start : start + BLOCK] for v in vectors]).astype(np.float64, copy=False)
            block -= block.mean(axis=0)
            total += float(np.vdot(block, block))
    return sqrt(total / len(vectors)) if isfinite(total) else float("nan")


def sketch(vector: Vector, seed: int, width: int = 64) -> list[float]:
    """Return a summary of a vector so that distances between vectors survive.

    Each element gets a random sign, and the signed elements are summed in `width` segments: the mean over seeds of
    ``||sketch(x) - sketch(y)||²`` is ``||x - y||²``, with a relative error of about ``sqrt(2 / width)`` (a sparse
    Johnson-Lindenstrauss projection). Peers that share the seed can so report their consensus distance in a few hundred
    bytes.
    """
    step = -(-vector.size // width)
    signed = np.zeros(width * step, vector.dtype)
    np.multiply(vector, _signs(seed, vector.size), out=signed[: vector.size])
    sums: list[float] = signed.reshape(width, step).sum(axis=1, dtype=np.float64).tolist()
    return sums


@lru_cache(maxsize=2)
def _signs(seed: int, size: int) -> NDArray[np.int8]:
    from .rng import generator

    signs = generator(seed, "sketch", size).integers(0, 2, size, dtype=np.int8)
    signs *= 2
    signs -= 1
    return signs
