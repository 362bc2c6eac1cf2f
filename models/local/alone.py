"""A model of one site's rows alone, beside the one that it trains with the others."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np

from ..model import LocalWork
from ..rng import generator
from ..site_model import SiteModel
from ..summed import anchor, trainings
from ..weights import Vector


def train_alone(
    site_model: SiteModel, work: LocalWork, rounds: int, *, node: str, seed: int, stop: Callable[[], bool]
) -> Vector | None:
    """Return the weights of a model trained on a site's rows alone, from the initial weights that the seed gives all.

    It trains for as much as `work` says, `rounds` times, prepared as all sites have agreed; the model of `site_model`
    and its state stay as they are. None if `stop` ended it. Raises ArithmeticError if they are not finite.
    """
    agreed, own = site_model.preprocessing, copy.copy(site_model)
    own.model = copy.deepcopy(site_model.model)
    own.model.build(agreed.n_features, agreed.n_classes, generator(seed, "init"))
    anchor(own.model, agreed, rows=0.0)  # its own are all that there are
    plain = LocalWork(work.epochs, work.local_steps, work.batch_size, learning_rate=work.learning_rate)
    rng = generator(seed, node, "alone")
    with np.errstate(all="ignore"):
        reports = (own.train(each, rng, stop) for each in trainings(own.model, plain, rounds))
        cancelled = any(report.cancelled for report in reports)
    return None if cancelled else own.trained_weights()
