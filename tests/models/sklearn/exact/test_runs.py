"""Summed models in the company of what a run does with a model: tables, scales, files, and models of one site alone."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from nervenet.models.artifact import load_model, save_model
from nervenet.models.exporting import to_sklearn
from nervenet.models.local.alone import train_alone
from nervenet.models.model import LocalWork
from nervenet.models.table_preprocessing import TablePreprocessing, preprocessing_of
from over_sites import learn, split
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.naive_bayes import GaussianNB

OFFSET = 1e6


def table(rows: int = 200) -> tuple[Any, Any]:
    draws = np.random.default_rng(4)
    X = pd.DataFrame(
        {
            "height": draws.normal(size=rows) + OFFSET,
            "ward": draws.choice(["a", "b", "c"], rows),
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(draws.integers(0, 900, rows), unit="D"),
        }
    )
    X.loc[3, "height"] = np.nan
    y = X["height"].fillna(OFFSET) - OFFSET + (X["ward"] == "a") + draws.normal(size=rows) * 0.1
    return X, y.to_numpy()


def cut(X: Any, y: Any, places: Any) -> list[tuple[Any, Any]]:
    edges = [0, *places, len(y)]
    return [(X.iloc[a:b].reset_index(drop=True), y[a:b]) for a, b in pairwise(edges)]


def test_sums_over_a_table_are_taken_near_what_its_pipeline_makes_of_the_means() -> None:
    X, y = table()
    found = learn(Ridge(), cut(X, y, [20, 150]))
    agreed: Any = found.preprocessing
    assert isinstance(agreed, TablePreprocessing)
    prepared = agreed.transform(X, "float64")
    away = np.abs(prepared.mean(axis=0) - found.model.arrays["anchor"]).max()  # type: ignore[attr-defined]
    assert np.abs(prepared).max() > OFFSET > 1e3 > away
    true = Ridge(solver="svd").fit(prepared - prepared.mean(axis=0), y).coef_
    np.testing.assert_allclose(found.model.estimator.coef_, true, rtol=1e-8, atol=1e-12)  # type: ignore[attr-defined]
    assert preprocessing_of(agreed.to_dict()) == agreed


def test_where_the_pipeline_takes_no_row_of_means_sums_are_about_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise ValueError("no gaps")

    X, y = table()
    sites = cut(X, y, [20, 150])
    monkeypatch.setattr("nervenet.models.summed.Table", refuse)
    found = learn(Ridge(), sites)
    assert not found.model.arrays["anchor"].any()  # type: ignore[attr-defined]


@pytest.mark.parametrize("scale", ["standard", "unit", "none"])
def test_scales_are_those_of_all_rows_and_targets_stay_in_their_unit(scale: str) -> None:
    draws = np.random.default_rng(1)
    X, y = draws.uniform(-1, 1, (100, 3)) * [1, 20, 300] + [0, 5, 50], draws.normal(size=100) + OFFSET
    found = learn(Ridge(), split((X, y), [10, 60]), scale=scale)
    assert (found.preprocessing.target_center, found.preprocessing.target_scale) == (0.0, 1.0)
    prepared = found.preprocessing.transform(X, "float64")
    np.testing.assert_allclose(found.predict(X), Ridge().fit(prepared, y).predict(prepared), rtol=1e-12)


def test_a_saved_model_and_its_export_predict_as_it_does(tmp_path: Path) -> None:
    draws = np.random.default_rng(1)
    X = draws.normal(size=(90, 4)) + OFFSET
    labels = np.array(["no", "yes"])[(X[:, 0] > OFFSET).astype(int)]
    found = learn(GaussianNB(), split((X, labels), [10, 60]))
    save_model(tmp_path, found)
    again = load_model(tmp_path)
    assert (again.predict(X) == found.predict(X)).all()
    assert (to_sklearn(found).predict(X) == found.predict(X)).all()
    assert to_sklearn(again).steps[-1][1].classes_.tolist() == ["no", "yes"]
    assert (found.predict(X) == GaussianNB().fit(X, labels).predict(X)).all()


def test_a_model_of_one_site_alone_is_its_own_fit() -> None:
    draws = np.random.default_rng(1)
    X, y = draws.normal(size=(90, 4)) + OFFSET, draws.normal(size=90)
    found = learn(Ridge(alpha=5.0), split((X, y), [30, 60]))
    before = found.get_weights()
    own = train_alone(found, LocalWork(), 1, node="a", seed=0, stop=lambda: False)
    assert own is not None
    assert (found.get_weights() == before).all()
    found.set_weights(own)
    wanted = Ridge(alpha=5.0).fit(X[:30], y[:30])
    np.testing.assert_allclose(found.model.estimator.coef_, wanted.coef_, rtol=1e-8)  # type: ignore[attr-defined]


def test_what_is_told_of_all_rows_must_be_whole() -> None:
    X, y = np.arange(20.0).reshape(10, 2), np.arange(10.0)
    fields: dict[str, Any] = learn(LinearRegression(), split((X, y), [4])).preprocessing.to_dict()
    assert preprocessing_of(fields).to_dict() == fields
    for wrong in ({"rows": 0}, {"center": [1.0]}, {"target": float("nan")}, {"center": "x"}):
        with pytest.raises(ValueError, match=r"pooled|means of|not a"):
            preprocessing_of(fields | {"pooled": fields["pooled"] | wrong})
