"""What is built from an experiment: models, a site's model, and what a task says."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nervenet.models import MLP
from nervenet.models.data.data import DataError
from nervenet.models.model import LocalWork
from nervenet.nodes.config.factory import build_model, build_site_model, task_settings
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.experiment.ineffective import warnings
from nervenet.nodes.experiment.loader import load_experiment


def test_settings_are_what_a_round_of_work_takes() -> None:
    experiment = Experiment.from_dict({"training": {"epochs": 3, "batch_size": 4}})
    asked = LocalWork(epochs=3, batch_size=4, carry_optimizer=False)
    assert LocalWork(**task_settings(experiment, None)) == asked
    assert LocalWork(**task_settings(experiment, MLP(learning_rate=0.2))) == replace(asked, learning_rate=0.2)
    assert LocalWork(**task_settings(Experiment.from_dict({"mode": "gossip"}), None)).carry_optimizer


def test_what_is_left_to_the_sites_is_not_in_their_tasks() -> None:
    own = Experiment.from_dict({"federated": {"site_settings": ["epochs", "learning_rate"]}})
    assert set(task_settings(own, MLP())) == {"batch_size", "carry_optimizer"}


def test_a_model_that_cannot_be_built_is_a_mistake_of_the_experiment() -> None:
    with pytest.raises(ExperimentError, match=r"model\.name.*Nope"):
        build_model(Experiment.from_dict({"model": {"name": "sklearn.linear_model.Nope"}}))


def few_rows_of_many_classes() -> tuple[Any, Any]:
    return np.arange(40.0).reshape(20, 2), np.arange(20) + 100


OWN = """
from nervenet.models import FlatModel

class Wide(FlatModel):
    name = "wide"

    def __init__(self, hidden=(3,), rate=0.1):
        self.hidden, self.rate = hidden, rate
"""


def test_a_model_of_ones_own_is_named_by_its_import_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_wide.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    keys = {"model.name": "mine_wide:Wide", "model.hidden": [7], "model.rate": 0.5, "model.activation": "tanh"}
    experiment = load_experiment(overrides=keys)
    assert build_model(experiment).describe() == {"name": "wide", "parameters": {"hidden": [7], "rate": 0.5}}
    assert [line for line in warnings(experiment) if "model." in line] == [
        "model.activation has no effect on mine_wide:Wide; give its own arguments under [model]"
    ]


@pytest.mark.parametrize(
    ("name", "more", "reason"),
    [
        ("mine_wide:Wider", {}, "model.name = 'mine_wide:Wider': cannot be imported: module 'mine_wide' has no"),
        ("mine_none:Wide", {}, "model.name = 'mine_none:Wide': cannot be imported: No module named 'mine_none'"),
        ("os:path", {}, "model.name = 'os:path': lacks build, get_weights, set_weights, fit, describe;"),
        ("mine_wide:Wide", {"model.rat": 1}, "model.name: wide has no parameter 'rat'; allowed are hidden, rate"),
    ],
)
def test_what_is_wrong_with_it_is_said_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, more: dict[str, Any], reason: str
) -> None:
    (tmp_path / "mine_wide.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ExperimentError, match=re.escape(reason)):
        build_model(load_experiment(overrides={"model.name": name, **more}))


def test_what_the_table_of_models_says_reaches_every_family_that_takes_it() -> None:
    experiment = load_experiment(overrides={"model.name": "pegasos", "model.dtype": "float64"})
    assert build_model(experiment).dtype == "float64"
    assert not [line for line in warnings(experiment) if "model.dtype" in line]


def test_a_site_is_told_what_the_whole_data_set_is_for() -> None:
    site_model = build_site_model(MLP((4,)), few_rows_of_many_classes(), Experiment(), task="classification")
    assert site_model.task == "classification"


def test_its_own_rows_alone_decide_nothing() -> None:
    assert build_site_model(MLP((4,)), few_rows_of_many_classes(), Experiment()).task is None
    told = Experiment.from_dict({"data": {"task": "classification"}})
    assert build_site_model(MLP((4,)), few_rows_of_many_classes(), told).task == "classification"


def test_an_estimator_settles_the_task() -> None:
    from sklearn.linear_model import SGDRegressor

    rows = (np.arange(12.0).reshape(6, 2), np.array([0, 1, 0, 1, 0, 1]))
    assert build_site_model(SGDRegressor(), rows, Experiment()).task == "regression"
    with pytest.raises(DataError, match="SGDRegressor is for regression alone"):
        build_site_model(SGDRegressor(), rows, Experiment(), task="classification")
