"""Processes that exchange sums once come to what scikit-learn makes of all their rows in one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from nervenet.models.artifact import load_model
from nervenet.models.datasets import load
from sklearn.linear_model import LinearRegression

pytestmark = pytest.mark.e2e
PATIENT = ("--set", "network.join_deadline_s=120", "--set", "network.suspect_after_s=20")  # scikit-learn loads slowly


@pytest.mark.parametrize("more", [("--mode", "federated"), ("--mode", "gossip", "--topology", "complete")])
def test_one_round_of_a_launched_run_is_the_fit_of_all_rows(
    more: tuple[str, ...], launch_here: Callable[..., Any]
) -> None:
    model = ("--model", "sklearn.linear_model.LinearRegression", "--data", "diabetes", "--partition", "quantity")
    run = launch_here(*more, "--nodes", 3, *model, *PATIENT).ok()
    summary = run.summary()
    assert summary["completed_rounds"] == summary["rounds"] == 1
    assert summary["r2"] == pytest.approx(summary["baseline"]["centralised"], rel=1e-10)
    assert summary["r2"] > summary["baseline"]["local_only_mean"] + 1e-3
    learned = load_model(run.folder)
    X = load("diabetes").X
    line = LinearRegression().fit(X, learned.predict(X))
    exported: Any = learned.model
    np.testing.assert_allclose(exported.estimator.coef_, line.coef_, rtol=1e-9)
