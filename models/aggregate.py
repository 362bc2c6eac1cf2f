"""Merging vectors: the weighted mean of federated averaging and the mixing step of gossip, in one blocked kernel."""

from collections.abc import Iterable, Sequence
from math import isfinite

import numpy as np

from .new_vector import new_vector
from .parallel import WORTH_THREADS, over_blocks
from .weights import BLOCK, IncompatibleWeights, Vector

LONG_BLOCK = 262_144
"""Elements added up at a time where there are many: memory is read faster in long runs, but the room for a product is
new memory, which few elements would not repay."""


def combine(vectors: Sequence[Vector], coefficients: Sequence[float], out: Vector | None = None) -> Vector:
    """Return the sum of vectors by coefficients: ``sum_j c_j x_j``.

    Each input is read once, block by block, and the terms of every element are added in the order given, so that the
    same inputs in the same order give the same bits, whatever the blocks and the number of cores that share them.
    Arithmetic is in the dtype of the vectors. Memory beside the result: two blocks a core.

    Parameters
    ----------
    vectors : sequence of (n,) arrays
        One dtype and length; they may be read-only. At least one.
    coefficients : sequence of float
        One a vector, of any sign.
    out : (n,) array, optional
        Where to write, and what is returned; it may be one of the inputs. Else the result is a new vector.

    Raises
    ------
    IncompatibleWeights
        Vectors differ in length or dtype.
    ValueError
        No vectors, or not one finite coefficient each.
    """
    return _combined(vectors, coefficients, 1, out)


def _combined(vectors: Sequence[Vector], coefficients: Sequence[float], divisor: int, out: Vector | None) -> Vector:
    """Return ``sum_j c_j x_j / divisor``. What counts once is added as it lies: one pass over a block less."""
    merged = _checked(vectors, coefficients, out)
    size, elements = merged.size, merged.size * len(vectors)
    short, longest = size <= BLOCK, BLOCK if elements < WORTH_THREADS else LONG_BLOCK
    # Where the result may lie over an input, the sum of a block is complete before anything is written.
    apart = out is None or not (short or any(np.may_share_memory(out, x) for x in vectors))
    # A coefficient as a 0-d array: NumPy multiplies by one faster than by a Python float.
    (first, first_coefficient), *rest = [
        (x, None if c == 1 else np.array(c, merged.dtype)) for x, c in zip(vectors, coefficients, strict=True)
    ]
    shared = None if divisor == 1 else np.array(divisor, merged.dtype)

    def add_up(blocks: Iterable[slice]) -> None:
        product = np.empty(min(longest, size), merged.dtype)
        room = merged if apart else np.empty_like(product)
        for block in blocks:
            total = room[block] if apart else room[: block.stop - block.start]
            if total.size < product.size:
                product = product[: total.size]
            if first_coefficient is None:
                total[...] = first[block]
            else:
                np.multiply(first[block], first_coefficient, out=total)
            for vector, coefficient in rest:
                if coefficient is None:
                    np.add(total, vector[block], out=total)
                else:
                    np.multiply(vector[block], coefficient, out=product)
                    np.add(total, product, out=total)
            if shared is not None:
                np.divide(total, shared, out=total)
            if not apart:
                merged[block] = total

    if short:
        add_up((slice(0, size),))
    else:
        over_blocks(add_up, size, longest, elements)
    return merged


def weighted_mean(vectors: Sequence[Vector], weights: Sequence[float], out: Vector | None = None) -> Vector:
    """Return the mean of vectors by weights, as federated averaging takes it by the numbers of examples.

    ``sum_j n_j x_j / sum_j n_j``: McMahan et al. 2017 (arXiv 1602.05629), Algorithm 1. Vectors that count the same are
    added up and their sum is divided, which is faster by a third where there are many. Weights are finite, none
    negative, not all zero, else it raises ValueError; for all else see `combine`.
    """
    if not vectors:
        raise ValueError("no vectors to combine")
    shares = shares_of(weights)
    if min(weights) == max(weights):
        return _combined(vectors, [1.0] * len(weights), len(weights), out)
    return combine(vectors, shares, out)


def shares_of(weights: Sequence[float]) -> list[float]:
    """Return weights divided by their sum. Raises ValueError unless they are finite, none negative, not all zero."""
    total = float(sum(weights))
    if not isfinite(total) or total <= 0 or min(weights) < 0:
        raise ValueError(f"weights must be finite, none negative and not all zero, not {list(weights)[:8]}")
    return [float(weight) / total for weight in weights]


def _checked(vectors: Sequence[Vector], coefficients: Sequence[float], out: Vector | None) -> Vector:
    """Return `out`, or a new vector, for checked arguments of `combine`."""
    if not vectors:
        raise ValueError("no vectors to combine")
    if len(vectors) != len(coefficients):
        raise ValueError(f"{len(coefficients)} coefficients for {len(vectors)} vectors")
    if not all(isfinite(c) for c in coefficients):
        raise ValueError("a coefficient is not finite")
    model = check_alike(vectors if out is None else (*vectors, out))
    return new_vector(model.size, model.dtype) if out is None else out


def check_alike(vectors: Sequence[Vector]) -> Vector:
    """Return the first of vectors that can be merged element by element.

    Raises IncompatibleWeights where they are not flat, or differ in length or dtype, ValueError where there are none.
    """
    if not vectors:
        raise ValueError("no vectors to combine")
    model = vectors[0]
    for vector in vectors:
        if vector.ndim != 1 or vector.shape != model.shape:
            raise IncompatibleWeights("length", f"shape {vector.shape}, expected ({model.size},)")
        if vector.dtype != model.dtype:
            raise IncompatibleWeights("dtype", f"dtype {vector.dtype}, expected {model.dtype}")
    return model


def plain_mean(vectors: Sequence[Vector]) -> Vector:
    """Return the mean of vectors that count the same; the first of them where all are alike.

    Of copies of one vector the mean in floating point may be another vector, by its last digits.
    """
    first = vectors[0]
    if all(np.array_equal(vector, first) for vector in vectors[1:]):
        return first
    return weighted_mean(vectors, [1.0] * len(vectors))
