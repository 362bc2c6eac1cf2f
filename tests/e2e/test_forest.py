"""A forest in real processes: its trees reach every peer, and the run folder's model is that forest."""

from collections.abc import Callable
from typing import Any

import pytest
from nervenet.models import load_model

pytestmark = pytest.mark.e2e


def test_peers_come_to_one_forest(launch: Callable[..., Any]) -> None:
    words = ("--mode", "gossip", "--data", "wine", "--nodes", 3, "--set", "evaluation.baseline=false")
    words += ("--set", "network.suspect_after_s=20")  # scikit-learn loads slowly
    run = launch(*words, "--model", "sklearn.ensemble.RandomForestClassifier", "--set", "model.n_estimators=9").ok()
    summary = run.summary()
    assert summary["accuracy_min"] == summary["accuracy_max"] > 0.8
    assert summary["completed_rounds"] == 1
    assert summary["undisturbed"]
    model = load_model(run.folder)
    assert len(model.model.estimator.estimators_) == 9  # type: ignore[attr-defined]
    assert summary["parameters"] == model.layout.size
