"""Sites that learn together as a run does, without one: round 0, one training each, the plain mean of the vectors."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np
from nervenet.models.aggregate import weighted_mean
from nervenet.models.agreement.questions import settle
from nervenet.models.model import LocalWork
from nervenet.models.rng import generator
from nervenet.models.site_model import SiteModel

Rows = tuple[Any, ...]


def learn(estimator: Any, sites: Sequence[Rows], scale: str = "none", rounds: int = 1, **options: Any) -> SiteModel:
    """Return the model that sites come to, each with X, y and maybe sample_weight, after so many rounds."""
    models = [SiteModel(deepcopy(estimator), *rows, **options) for rows in sites]
    for number, each in enumerate(models):
        each.site = f"{number:02}"
    agreed = settle(models[0].questions(scale), {each.site: each.answer for each in models}).preprocessing  # type: ignore[arg-type]
    for each in models:
        each.build(agreed, 0)
    mean = models[0].get_weights()
    for number in range(rounds):
        for each in models:
            each.set_weights(mean)
            each.train(LocalWork(), generator(0, "batches", number))
        mean = weighted_mean([each.get_weights() for each in models], [each.weight or 0.0 for each in models])
    models[0].set_weights(mean)
    return models[0]


def fitted(estimator: Any, sites: Sequence[Rows], scale: str = "none", rounds: int = 1, **options: Any) -> Any:
    """Return the fitted estimator of `learn`, whose classes are indices."""
    return learn(estimator, sites, scale, rounds, **options).model.estimator  # type: ignore[attr-defined]


def split(rows: Rows, cuts: Sequence[int]) -> list[Rows]:
    """Cut rows into sites."""
    return list(zip(*(np.split(np.asarray(part), cuts) for part in rows), strict=True))


def skewed(rows: Rows, seed: int = 0) -> list[Rows]:
    """Return 7 sites of unlike size and content: sorted by the first column, one of them with a single row."""
    order = np.argsort(np.asarray(rows[0])[:, 0] + 0.3 * np.random.default_rng(seed).normal(size=len(rows[0])))
    shares = np.cumsum([0.02, 0.3, 0.05, 0.4, 0.03, 0.15]) * len(order)
    cuts = [1, *(max(2, int(cut)) for cut in shares[1:])]
    return split(tuple(np.asarray(part)[order] for part in rows), cuts)


def attributes(estimator: Any) -> dict[str, Any]:
    """Return what `fit` has learned, by name."""
    known = {name: value for name, value in vars(estimator).items() if name.endswith("_") and not name.startswith("_")}
    return {name: value for name, value in known.items() if name not in ("feature_names_in_", "n_iter_", "solver_")}


def assert_same(ours: Any, theirs: Any, rtol: float = 1e-8, ignore: Sequence[str] = ()) -> None:
    """Check that every fitted attribute is there, and equal within `rtol` of its largest element."""
    found, wanted = attributes(ours), attributes(theirs)
    assert set(wanted) - set(ignore) <= set(found), sorted(set(wanted) - set(found))
    for name in set(wanted) - set(ignore):
        one, other = found[name], wanted[name]
        for part, whole in zip(one, other, strict=True) if isinstance(other, list) else [(one, other)]:
            close(part, whole, rtol, name)


def close(one: Any, other: Any, rtol: float, name: str) -> None:
    """Check that every element is within `rtol` of the other, but for what rounding leaves of the largest."""
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    assert one.shape == other.shape, f"{name}: {one.shape} {other.shape}"
    rounding = 1e-12 * np.abs(other[np.isfinite(other)]).max(initial=0.0)
    np.testing.assert_allclose(one, other, rtol=rtol, atol=rounding, err_msg=name)
