"""synthetic(α, β) of the FedProx paper: sites that differ in their models by α and in their inputs by β.

Li et al. 2020, "Federated Optimization in Heterogeneous Networks", arXiv 1812.06127, section 5.1 and appendix C.1.
Where paper and the authors' program differ, this is the program: α and β are standard deviations.
"""

from __future__ import annotations

import math

import numpy as np

from ..rng import generator
from .data import DataError, Dataset

FEATURES = 60
CLASSES = 10


def synthetic(alpha: float = 0.0, beta: float = 0.0, *, iid: bool = False, sites: int = 30, seed: int = 0) -> Dataset:
    """Return the rows of all sites, drawn from a multinomial logistic model of each.

    For site k: n_k = int(lognormal(4, 2)) + 50 rows; u_k ~ N(0, α), B_k ~ N(0, β), v_k ~ N(B_k, 1)^60;
    x ~ N(v_k, diag(j^-1.2)), W_k ~ N(u_k, 1)^(60x10), b_k ~ N(u_k, 1)^10, y = argmax(x W_k + b_k).

    Parameters
    ----------
    alpha, beta
        Standard deviations of u_k and B_k, at least 0: how far models and inputs of the sites are apart.
    iid
        One W and b for all sites, drawn with u = 0, and v_k constant at B_k: with α = β = 0 the paper's IID case.
    sites
        Number of sites; `Dataset.sites` holds the site of each row, from 0.
    seed
        Of the draws. A site's draws do not depend on the number of sites.

    Raises DataError when an argument is out of range.
    """
    for name, value in (("alpha", alpha), ("beta", beta)):
        if not (math.isfinite(value) and value >= 0):
            raise DataError(f"synthetic: {name} must be a number of at least 0, found {value}")
    if sites < 1:
        raise DataError(f"synthetic: sites must be at least 1, found {sites}")
    shared = generator(seed, "synthetic", "model")
    W = shared.normal(0.0, 1.0, (FEATURES, CLASSES))
    b = shared.normal(0.0, 1.0, CLASSES)
    spread = np.arange(1, FEATURES + 1) ** -0.6  # the root of j^-1.2: a diagonal covariance needs no factorization
    inputs, labels = [], []
    for site in range(sites):
        rng = generator(seed, "synthetic", site)
        rows = int(rng.lognormal(4.0, 2.0)) + 50
        u, B = rng.normal(0.0, alpha), rng.normal(0.0, beta)
        v = np.full(FEATURES, B) if iid else rng.normal(B, 1.0, FEATURES)
        if not iid:
            W = rng.normal(u, 1.0, (FEATURES, CLASSES))
            b = rng.normal(u, 1.0, CLASSES)
        X = rng.normal(v, spread, (rows, FEATURES))
        inputs.append(X)
        labels.append((X @ W + b).argmax(axis=1))
    site_of = np.repeat(np.arange(sites), [len(X) for X in inputs])
    columns = tuple(f"x{j}" for j in range(1, FEATURES + 1))
    name = "synthetic(iid)" if iid else f"synthetic({alpha:g}, {beta:g})"
    y = np.concatenate(labels).astype(np.int64)
    return Dataset(name, np.concatenate(inputs), y, columns, "classification", sites=site_of)
