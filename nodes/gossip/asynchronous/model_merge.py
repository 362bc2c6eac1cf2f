"""Merging models that walk: weights by age, whole or in part (Hegedűs, Danner & Jelasity 2021, JPDC 148, "Decentralized
learning works: an empirical comparison of gossip learning and federated learning", Algorithms 1 to 3).

The age of a model counts the updates in it. Where only a part of a model travels, every part has an age of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from nervenet.models.aggregate import combine
from nervenet.models.new_vector import copied
from nervenet.models.rng import generator
from nervenet.models.weights import BLOCK, IncompatibleWeights, Vector
from numpy.typing import NDArray

Shares: TypeAlias = tuple[float, float]
"""Weight of one's own model and of the other's; they sum to one."""


def by_age(mine: int, theirs: int) -> Shares:
    """Weigh each by its age, t_i / (t_i + t_j): one that has learned nothing counts for nothing. Both new: evenly."""
    total = mine + theirs
    return (mine / total, theirs / total) if total else (0.5, 0.5)


def evenly(mine: int, theirs: int) -> Shares:  # noqa: ARG001
    """Weigh both the same, as Ormándi et al. 2013 do (Algorithm 2)."""
    return 0.5, 0.5


RULES: Mapping[str, Callable[[int, int], Shares]] = {"age": by_age, "mean": evenly}
"""By name, from the two ages."""


@dataclass(frozen=True, slots=True)
class Part:
    """Which elements of a model a message holds: all, a `cut` of them, or a `sample`.

    A cut is one of several fixed parts: every so manieth element, or a layer. A sample is drawn by (seed, how many, of
    how many), and so known to all who know these. `number` says of which age it is: 0 where there is only one.
    """

    number: int = 0
    cut: tuple[int, int | None, int] | None = None
    sample: tuple[int, int, int] | None = None

    @property
    def where(self) -> Any:
        """What to index a flat vector with."""
        if self.sample is not None:
            return sampled(*self.sample)
        return slice(None) if self.cut is None else slice(*self.cut)

    def length(self, size: int) -> int:
        if self.sample is not None:
            return self.sample[1]
        return size if self.cut is None else len(range(*slice(*self.cut).indices(size)))


WHOLE = Part()


def sampled(seed: int, count: int, size: int) -> NDArray[np.int64]:
    """Draw `count` of `size` elements, in ascending order: the same for all who know the seed."""
    return np.sort(generator(seed, "sample").choice(size, count, replace=False))


def strided(parts: int) -> tuple[Part, ...]:
    """Cut a model into `parts` by index modulo `parts`, so that every part has some of every layer (JPDC, 3.2)."""
    if parts < 1:
        raise ValueError(f"a model must be cut into at least 1 part, found {parts}")
    if parts == 1:
        return (WHOLE,)
    return tuple(Part(p, (p, None, parts)) for p in range(parts))


def layered(sizes: Sequence[int]) -> tuple[Part, ...]:
    """Cut a model at the borders of its arrays, each of which has an age of its own."""
    stops = np.cumsum([0, *sizes]).tolist()
    return tuple(Part(p, (stops[p], stops[p + 1], 1)) for p in range(len(sizes)))


def taken(vector: Vector, part: Part) -> Vector:
    return copied(vector[part.where])


def merged(mine: Vector, theirs: Vector, shares: Shares, part: Part = WHOLE) -> Vector:
    """Merge a model, or a part of one, into one's own; gives a new vector.

    Parameters
    ----------
    mine : (n,) array
    theirs : (m,) array
        The elements that `part` names, of the same dtype.
    shares : (float, float)
        Weights of the two.
    part
        Elements outside of it stay as they are in `mine`.

    Raises
    ------
    IncompatibleWeights
        The other has another dtype, or not as many elements as the part.
    """
    if theirs.dtype != mine.dtype:
        raise IncompatibleWeights("dtype", f"dtype {theirs.dtype}, expected {mine.dtype}")
    where = part.where
    whole = part.cut is None and part.sample is None
    own = mine if whole else mine[where]
    if own.shape != theirs.shape:
        raise IncompatibleWeights("length", f"shape {theirs.shape}, expected {own.shape}")
    if own.size > BLOCK and own.flags.contiguous:
        sum_: Vector = combine((own, theirs), shares)
    else:
        # A sum of short vectors is quicker without the blocks; the terms and their order are the same.
        sum_ = own * mine.dtype.type(shares[0])
        sum_ += theirs * mine.dtype.type(shares[1])
    if whole:
        return sum_
    result: Vector = mine.copy()
    result[where] = sum_
    return result


def ages_after(ages: tuple[int, ...], part: int, theirs: int) -> tuple[int, ...]:
    """Return the ages after a merge: the merged part is as old as the older of the two."""
    if theirs <= ages[part]:
        return ages
    return (*ages[:part], theirs, *ages[part + 1 :])
