"""What hostile clients send: attacks on merging rules, to test the rules with.

Each is a pure function of the honest updates, which the attacker is thought to know, and gives the one vector that
every hostile client sends. An update is a difference to the global model: where vectors are weights, take the
difference first and add it afterwards.
"""

from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist

import numpy as np

from .aggregate import check_alike, combine
from .weights import BLOCK, Vector


def sign_flip(honest: Sequence[Vector], scale: float = 1.0) -> Vector:
    """Send the honest mean backwards: ``-scale mean_i x_i``.

    Li et al. 2019 (arXiv 1811.03761), sign-flipping, of the mean instead of the attacker's own update.

    Parameters
    ----------
    honest : sequence of (d,) arrays
    scale : float
        How much longer than the mean.

    Returns
    -------
    (d,) array
    """
    return combine(honest, [-scale / len(honest)] * len(honest))


def gaussian(honest: Sequence[Vector], rng: np.random.Generator, deviation: float = 200.0) -> Vector:
    """Send noise: independent normal numbers around zero.

    Blanchard et al. 2017, the Gaussian attack, where the deviation is 200. Only the length and dtype of the
    honest vectors matter.

    Parameters
    ----------
    honest : sequence of (d,) arrays
    rng : Generator
        One a hostile client, or all send the same.
    deviation : float
        Standard deviation, in the unit of the vectors.

    Returns
    -------
    (d,) array
    """
    model = check_alike(honest)
    dtype = np.float32 if model.dtype == np.float32 else np.float64
    noise = rng.standard_normal(model.size, dtype)
    noise *= dtype(deviation)
    return noise


def inner_product_manipulation(honest: Sequence[Vector], epsilon: float = 0.5) -> Vector:
    """Send ``-ε mean_i x_i``, so that the inner product of the merged and the true update turns negative.

    Xie et al. 2019 (arXiv 1903.03936): a small ε hides among the honest ones from rules that choose by
    distance, a large one turns the mean.

    Parameters
    ----------
    honest : sequence of (d,) arrays
    epsilon : float

    Returns
    -------
    (d,) array
    """
    return sign_flip(honest, epsilon)


def alie(honest: Sequence[Vector], z: float) -> Vector:
    """Send ``mean + z std`` in each coordinate: a little is enough where it is always in the same direction.

    Baruch et al. 2019 (arXiv 1902.06156); the standard deviation is the sample's (n - 1), as in the
    authors' code.

    Parameters
    ----------
    honest : sequence of (d,) arrays
        At least two.
    z : float
        Deviations from the mean: `alie_z_max`, or any of one's own. The paper subtracts: a negative z.

    Returns
    -------
    (d,) array
    """
    n = len(honest)
    model = check_alike(honest)
    if n < 2:
        raise ValueError("a standard deviation needs two honest vectors at least")
    hostile = np.empty(model.size, model.dtype)
    step = max(BLOCK // n, 1)
    for start in range(0, model.size, step):
        part = slice(start, start + step)
        values = np.stack([vector[part] for vector in honest]).astype(np.float64, copy=False)
        mean = values.mean(axis=0)
        values -= mean
        hostile[part] = mean + z / sqrt(n - 1) * np.sqrt(np.einsum("ij,ij->j", values, values))
    return hostile


def alie_z_max(n: int, f: int) -> float:
    """The largest z at which enough honest vectors lie beyond the hostile ones to side with them.

    Baruch et al. 2019 (arXiv 1902.06156): of the n - f honest ones ``s = floor(n / 2 + 1) - f`` have to
    be farther out for a majority, so ``Φ(z) = (n - f - s) / (n - f)``.

    Parameters
    ----------
    n : int
        All clients.
    f : int
        The hostile ones among them.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        The hostile ones are a majority already, there are none, or n < 3.
    """
    supporters = n // 2 + 1 - f
    if not 0 < f < n or not 0 < supporters < n - f:
        raise ValueError(f"no z for f = {f} hostile among n = {n}: 1 to {n // 2} of at least 3 are allowed")
    return NormalDist().inv_cdf((n - f - supporters) / (n - f))
