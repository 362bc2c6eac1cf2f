"""Rules that choose among the vectors by the distances between them: Krum, Multi-Krum, Bulyan."""

from collections.abc import Sequence

import numpy as np

from ..aggregate import check_alike, combine
from ..weights import Vector
from .breakdown import RobustnessError, check
from .coordinate_wise import mean_around_median
from .distances import Matrix, squared_distances


def krum(vectors: Sequence[Vector], f: int) -> Vector:
    """Return a copy of the vector that lies nearest to its neighbors.

    Blanchard et al. 2017 (NeurIPS 30), Section 4: the score of a vector is the sum of the squared distances to the
    n - f - 2 nearest others; the lowest score wins, of equal ones the one whose next neighbor is nearer, then the
    first. Needs n >= 2f + 3.
    """
    return vectors[krum_order(vectors, f)[0]].copy()


def multi_krum(vectors: Sequence[Vector], f: int, m: int) -> Vector:
    """Return the mean of the m vectors of the lowest Krum scores.

    Blanchard et al. 2017, Multi-Krum: m = 1 is Krum, m = n - f, the most that is allowed, would be the mean
    of the honest ones if all Byzantine ones scored worst. Scores are taken once. Needs n >= 2f + 3.
    """
    n = len(vectors)
    check("multi-krum", n, f)
    if not 1 <= m <= n - f:
        raise RobustnessError("multi-krum", n, f, f"m = {m} is not in 1 to n - f = {n - f}")
    chosen = sorted(krum_order(vectors, f)[:m])
    return combine([vectors[i] for i in chosen], [1 / m] * m)


def bulyan(vectors: Sequence[Vector], f: int) -> Vector:
    """Return, in each coordinate, the mean of the n - 4f values nearest to the median of n - 2f vectors chosen by Krum.

    El Mhamdi et al. 2018 (arXiv 1802.07927), with Krum as the rule inside: θ = n - 2f vectors are selected
    one after the other, each the winner among those that are left; of their values, β = θ - 2f a coordinate count.
    Needs n >= 4f + 3, so that no single coordinate can be moved far by a vector that is near in all others.
    """
    chosen = bulyan_selection(vectors, f)
    return mean_around_median([vectors[i] for i in chosen], len(vectors) - 4 * f)


def krum_order(vectors: Sequence[Vector], f: int) -> list[int]:
    """Return the indices of the vectors, the lowest Krum score first. Raises as `krum` does."""
    check_alike(vectors)
    check("krum", len(vectors), f)
    return _order(squared_distances(vectors), f)


def bulyan_selection(vectors: Sequence[Vector], f: int) -> list[int]:
    """Return the indices of the n - 2f vectors that Bulyan selects, ascending. Raises as `bulyan` does."""
    check_alike(vectors)
    n = len(vectors)
    check("bulyan", n, f)
    squared, left = squared_distances(vectors), np.arange(n)
    chosen = []
    for _ in range(n - 2 * f):
        winner = _order(squared[np.ix_(left, left)], f)[0]
        chosen.append(int(left[winner]))
        left = np.delete(left, winner)
    return sorted(chosen)


def _order(squared: Matrix, f: int) -> list[int]:
    """Return the ranking by the sum of the squared distances to the n - f - 2 nearest others.

    At the end of Bulyan's selection fewer are left than Krum's theory wants: one neighbor is then the least. Two that
    are each other's nearest have equal scores there: the next neighbor decides.
    """
    n = len(squared)
    nearest = min(max(n - f - 2, 1), n - 1)
    # The distance to itself, which is zero, is the smallest of a row: one more is taken, and it adds nothing.
    ascending = np.sort(squared, axis=1)
    scores, following = ascending[:, : nearest + 1].sum(axis=1), ascending[:, min(nearest + 1, n - 1)]
    order: list[int] = np.lexsort((following, scores)).tolist()
    return order
