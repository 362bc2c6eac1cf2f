"""Attacks on merging rules, to test them with: what Byzantine clients send.

Each returns the one vector, shape (d,), that every attacker sends, given the honest updates that it is assumed to know:
a sequence of (d,) arrays, differences to the global model. Where vectors are weights, take the difference first and add
it afterwards.
"""

from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist

import numpy as np
from nervenet.models.aggregate import check_alike, combine
from nervenet.models.weights import BLOCK, Vector


def sign_flip(honest: Sequence[Vector], scale: float = 1.0) -> Vector:
    """Return the honest mean backwards: ``-scale mean_i x_i``.

    Li et al. 2019 (arXiv 1811.03761), sign-flipping, of the mean instead of the attacker's own update. With a small
    scale it is the inner product manipulation of Xie et al. 2019 (arXiv 1903.03936), which hides among the honest ones
    from rules that choose by distance.
    """
    return combine(honest, [-scale / len(honest)] * len(honest))


def gaussian(honest: Sequence[Vector], rng: np.random.Generator, deviation: float = 200.0) -> Vector:
    """Return independent normal numbers around zero, of the honest vectors' length and dtype.

    Blanchard et al. 2017, the Gaussian attack, where the standard deviation is 200, in the unit of the vectors.
    """
    model = check_alike(honest)
    dtype = np.float32 if model.dtype == np.float32 else np.float64
    noise = rng.standard_normal(model.size, dtype)
    noise *= dtype(deviation)
    return noise


def alie(honest: Sequence[Vector], z: float) -> Vector:
    """Return ``mean + z std`` in each coordinate: a little is enough where it is always in the same direction.

    Baruch et al. 2019 (arXiv 1902.06156), "a little is enough"; the standard deviation is the sample's (n - 1), as in
    the authors' code. `z` is `alie_z_max` or any other; the paper subtracts: a negative z. Needs two honest vectors.
    """
    n = len(honest)
    model = check_alike(honest)
    if n < 2:
        raise ValueError("a standard deviation needs two honest vectors at least")
    attack = np.empty(model.size, model.dtype)
    step = max(BLOCK // n, 1)
    for start in range(0, model.size, step):
        part = slice(start, start + step)
        values = np.stack([vector[part] for vector in honest]).astype(np.float64, copy=False)
        mean = values.mean(axis=0)
        values -= mean
        attack[part] = mean + z / sqrt(n - 1) * np.sqrt(np.einsum("ij,ij->j", values, values))
    return attack


def alie_z_max(n: int, f: int) -> float:
    """Return the largest z at which enough honest vectors lie beyond the f Byzantine of n to side with them.

    Baruch et al. 2019 (arXiv 1902.06156): of the n - f honest ones ``s = floor(n / 2 + 1) - f`` have to be farther out
    for a majority, so ``Φ(z) = (n - f - s) / (n - f)``. Raises ValueError where the Byzantine ones are a majority
    already, there are none, or n < 3.
    """
    supporters = n // 2 + 1 - f
    if not 0 < f < n or not 0 < supporters < n - f:
        raise ValueError(f"no z for f = {f} Byzantine among n = {n}: 1 to {n // 2} of at least 3 are allowed")
    return NormalDist().inv_cdf((n - f - supporters) / (n - f))
