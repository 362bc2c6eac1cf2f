"""What is built from an experiment: models, a site's model, and what a task says."""

from typing import Any

import numpy as np
import pytest
from nervenet.models import MLP
from nervenet.models.data.data import DataError
from nervenet.models.model import LocalWork
from nervenet.nodes.config.factory import build_model, build_site_model, task_settings
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.config.schema import Experiment


def test_settings_are_what_a_round_of_work_takes() -> None:
    experiment = Experiment.from_dict({"training": {"epochs": 3, "batch_size": 4}})
    assert LocalWork(**task_settings(experiment)) == LocalWork(epochs=3, batch_size=4, carry_optimizer=False)
    assert LocalWork(**task_settings(Experiment.from_dict({"mode": "gossip"}))).carry_optimizer


def test_a_model_that_cannot_be_built_is_a_mistake_of_the_experiment() -> None:
    with pytest.raises(ExperimentError, match=r"model\.name.*Nope"):
        build_model(Experiment.from_dict({"model": {"name": "sklearn.linear_model.Nope"}}))


def few_rows_of_many_classes() -> tuple[Any, Any]:
    return np.arange(40.0).reshape(20, 2), np.arange(20) + 100


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
