"""A run that starts from a saved model goes on from its weights and its clock, alike each time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nervenet.models.artifact import read_extra, read_model, save_model
from nervenet.models.datasets import load
from nervenet.models.model import LocalWork
from nervenet.models.registry import named_model
from nervenet.models.rng import generator
from nervenet.models.site_model import SiteModel
from nervenet.models.site_statistics import agree

pytestmark = pytest.mark.e2e
Start = Callable[..., Any]

NAME = "sklearn.linear_model.SGDClassifier"
SGD = ("--model", NAME, "--set", "model.learning_rate=invscaling", "--set", "model.eta0=0.1")
SMALL = ("--data", "iris", "--nodes", 2, "--rounds", 1, "--set", "evaluation.baseline=false")
CALM = ("--set", "network.suspect_after_s=20")


def saved(folder: Path) -> Path:
    data = load("iris")
    one = SiteModel(
        named_model(NAME, {"learning_rate": "invscaling", "eta0": 0.1}), data.X, data.y, columns=data.columns
    )
    one.build(agree({"only": one.statistics()}), 0)
    one.train(LocalWork(epochs=20), generator(0))
    save_model(folder, one)
    return folder


@pytest.mark.parametrize("mode", ["federated", "gossip"])
def test_it_goes_on_from_weights_and_clock_alike_each_time(mode: str, launch_here: Start, tmp_path: Path) -> None:
    start = read_model(saved(tmp_path / "first"))
    more = ("--mode", mode, *SMALL, *SGD, *CALM, "--init", "first")
    one, same = (launch_here(*more, out=name).ok() for name in ("one", "same"))
    ended, again = (read_model(run.folder) for run in (one, same))
    assert np.array_equal(ended.weights, again.weights)
    assert ended.preprocessing == start.preprocessing
    assert start.clock < read_extra(one.folder)["clock"] == ended.clock < 2 * start.clock
    assert 0 < np.linalg.norm(ended.weights - start.weights) < 0.5 * np.linalg.norm(start.weights)


def test_what_does_not_fit_is_refused_before_anything_starts(launch_here: Start, tmp_path: Path) -> None:
    saved(tmp_path / "first")
    for more, words in (((), ("SGDClassifier", "mlp")), ((*SGD, "--data", "wine"), ("4 columns", "13"))):
        refused = launch_here(*SMALL, *more, "--init", "first", out="other")
        assert refused.code == 2
        assert all(word in refused.text for word in ("init =", *words)), refused.text
        assert not refused.folder.exists()
