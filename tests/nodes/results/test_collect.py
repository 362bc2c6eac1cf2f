"""What a run leaves as models: the common one and each client's own, in one format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nervenet.models.artifact import ModelFileError, load_model, read_extra, save_weights
from nervenet.models.datasets import load
from nervenet.nodes.config.factory import build_model, build_site_model
from nervenet.nodes.experiment.loader import load_experiment
from nervenet.nodes.results import collect
from nervenet.nodes.results.run_dir import RunDir
from nervenet.nodes.results.run_result import RunResult
from nervenet.nodes.results.score_reports import Judged

IRIS = load("iris")
CLIENTS = ("client-0", "client.b")


def written(folder: Path) -> dict[str, Any]:
    """Write the results of a run whose clients have models of their own; return their predictions by client."""
    from nervenet.models.site_statistics import agree

    experiment = load_experiment(overrides={"data.name": "iris", "nodes": 2, "model.hidden": [5]})
    one = build_site_model(build_model(experiment), (IRIS.X, IRIS.y), experiment, columns=IRIS.columns)
    one.build(agree({"only": one.statistics()}), experiment.seed)
    common = one.get_weights()
    own = {name: common + np.float32(place) for place, name in enumerate(CLIENTS, start=1)}
    reports = {"coordinator": {"role": "coordinator", "completed_rounds": 3, "metrics": {}}}
    reports |= {name: {"role": "client", "completed_rounds": 3} for name in CLIENTS}
    agreed = {"layout": one.layout.to_dict(), "preprocessing": one.preprocessing.to_dict()}
    with RunDir(folder) as run_dir:
        result = RunResult(reports, weights=common, personal=own, **agreed)
        collect.write_results(experiment, run_dir, result)
    predictions = {}
    for name, weights in own.items():
        one.set_weights(weights)
        predictions[name] = one.predict(IRIS.X)
    return predictions


def test_each_clients_own_model_is_loaded_as_the_common_one_is(tmp_path: Path) -> None:
    expected = written(tmp_path / "run")
    for name in CLIENTS:
        for suffix in (".json", ".safetensors"):
            again = load_model(tmp_path / "run" / "personal" / f"{name}{suffix}")
            assert np.array_equal(again.predict(IRIS.X), expected[name])
        assert read_extra(tmp_path / "run" / "personal" / f"{name}.json")["client"] == name
    assert read_extra(tmp_path / "run")["round"] == 3


def test_of_weights_alone_nothing_could_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def weights_alone(experiment: Any, path: Path, name: str, result: RunResult, weights: Any) -> None:
        from nervenet.models.weights import Layout

        save_weights(path / "personal" / f"{name}.safetensors", Layout.from_dict(dict(result.layout)), weights)

    monkeypatch.setattr(collect, "save_personal", weights_alone)
    written(tmp_path / "run")
    with pytest.raises(ModelFileError, match=r"client-0\.json: no such file"):
        load_model(tmp_path / "run" / "personal" / "client-0.safetensors")


def report_of(model_shift: float, label: int | None = None) -> dict[str, Any]:
    """The report on iris of a model that has learned nothing, its biases moved."""
    from nervenet.models.site_statistics import agree

    experiment = load_experiment(overrides={"data.name": "iris", "nodes": 2, "model.hidden": [5]})
    one = build_site_model(build_model(experiment), (IRIS.X, IRIS.y), experiment, columns=IRIS.columns)
    one.build(agree({"only": one.statistics()}), experiment.seed)
    agreed = {"layout": one.layout.to_dict(), "preprocessing": one.preprocessing.to_dict()}
    y = IRIS.y if label is None else np.full(len(IRIS.y), label)
    weights = one.get_weights() + np.float32(model_shift)
    result = RunResult({}, weights=weights, judged=Judged((IRIS.X, y)), **agreed)
    collect.report_scores(experiment, result)
    return dict(result.score_report)


def test_the_report_is_of_the_saved_weights_on_the_test_rows() -> None:
    first, second = report_of(0), report_of(1)
    assert (first["rows"], first["evaluated_on"]) == (150, "test")
    assert np.sum(first["confusion"]["matrix"], axis=1).tolist() == [50, 50, 50]
    assert first["confusion"] != second["confusion"]


def test_a_test_row_of_a_class_that_no_site_has_leaves_the_report_out() -> None:
    assert report_of(0, label=7) == {}
