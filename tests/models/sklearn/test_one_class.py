"""SGDOneClassSVM over sites: no target is looked at, and the boundary is near that of all rows."""

import numpy as np
import pytest
from nervenet.models import LocalWork, SiteModel, generator
from nervenet.models.aggregate import plain_mean
from nervenet.models.agreement.questions import settle
from nervenet.nodes import load_experiment
from nervenet.nodes.config.keys import ExperimentError
from sklearn.linear_model import SGDOneClassSVM

ROWS = np.random.default_rng(0).normal(size=(300, 3)) + 3


def learned(rounds=20):
    parts = np.array_split(ROWS, 3)
    sites = {f"site-{k}": SiteModel(SGDOneClassSVM(nu=0.1), part) for k, part in enumerate(parts)}
    first = next(iter(sites.values()))
    agreed = settle(first.questions("none"), {name: site.answer for name, site in sites.items()})
    for site in sites.values():
        site.build(agreed.preprocessing, 0)
    weights = first.get_weights()
    for number in range(rounds):
        vectors = []
        for name, site in sites.items():
            site.set_weights(weights)
            site.train(LocalWork(epochs=5), generator(0, name, number))
            vectors.append(site.get_weights())
        weights = plain_mean(vectors)
    first.set_weights(weights)
    return first


def test_the_boundary_is_near_that_of_all_rows_and_the_estimator_is_plain():
    site, pooled = learned(), SGDOneClassSVM(nu=0.1, random_state=0).fit(ROWS)
    far = ROWS - 3
    for rows in (ROWS, far):
        assert np.mean(site.predict(rows) == pooled.predict(rows)) > 0.95
    np.testing.assert_array_equal(site.model.estimator.predict(ROWS), site.predict(ROWS))
    assert set(site.predict(ROWS)) == {-1, 1}
    losses = site.model.row_losses(far)
    np.testing.assert_allclose(losses, np.maximum(0, -site.model.estimator.decision_function(far)))


def test_a_run_of_commands_refuses_it():
    with pytest.raises(ExperimentError, match=r"SGDOneClassSVM has no target.*the peers and clients of a program"):
        load_experiment(overrides={"model.name": "sklearn.linear_model.SGDOneClassSVM"})
