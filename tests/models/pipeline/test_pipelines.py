"""Pipelines of several steps: what the sites agree on is what scikit-learn fits on the pooled rows."""

import warnings

import numpy as np
import pytest
from nervenet.models.data.data import DataError
from nervenet.models.pipeline import fit
from nervenet.models.pipeline.fit import transform
from nervenet.models.pipeline.restore import fitted_estimator
from pipelines import PIPELINES
from sites import fitted, frame, kind, pool, rows, table
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_selector
from test_exactness import near, same_attributes

PLAIN = ("plain", "ties", "tiny", "gappy", "rare", "holes", "offset")


def pooled(name):
    pipeline, chosen, target = PIPELINES[name]
    tables, classes, quantities = rows()
    y = {None: None, "classes": np.concatenate(classes), "quantities": np.concatenate(quantities)}[target]
    return pipeline, chosen, target, pool(tables), y


def dense(X):
    return np.asarray(X.toarray() if hasattr(X, "toarray") else X, float)


def by_places(step, chosen):
    """The same pipeline for arrays, which have no names: columns by their places."""
    if not isinstance(step, ColumnTransformer):
        return step

    def places(columns):
        if isinstance(columns, str):
            return chosen.index(columns)
        if isinstance(columns, make_column_selector):
            include, exclude = columns.dtype_include, columns.dtype_exclude
            kinds = {"number": "number", np.number: "number", None: None}
            columns = [
                column
                for column in chosen
                if (not columns.pattern or any(column.startswith(c) for c in "rw" if "^r" in columns.pattern))
                and kinds[include] in (None, kind(column))
                and kinds[exclude] != kind(column)
            ]
        return [chosen.index(column) for column in columns]

    other = clone(step)
    other.transformers = [
        (name, by_places(one, list(columns) if isinstance(columns, list) else None), places(columns))
        for name, one, columns in step.transformers
    ]
    return other


@pytest.mark.parametrize("name", PIPELINES)
def test_rows_come_out_as_from_the_pipeline_that_was_fitted_on_the_pooled_rows(name):
    pipeline, chosen, target, whole, y = pooled(name)
    X = np.array([whole[column] for column in chosen], object).T
    if all(kind(column) == "number" for column in chosen):
        X = X.astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = clone(by_places(pipeline, chosen)).fit(X, y)
        agreed, _ = fitted(pipeline, chosen, target=target)
        made = dense(expected.transform(X))
    found = transform(pipeline, agreed, table(whole, chosen))
    assert found.shape == made.shape == (len(X), len(agreed.names))
    size = np.abs(np.where(np.isfinite(made), made, 0)).max(axis=0, initial=1.0)
    assert near(found, made, 1e-8 * size)


@pytest.mark.parametrize("name", PIPELINES)
def test_the_object_is_the_one_that_was_fitted_on_a_data_frame_of_the_pooled_rows(name):
    pytest.importorskip("pandas")
    pipeline, chosen, target, whole, y = pooled(name)
    rows_of_all = frame(whole, chosen)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = clone(pipeline).fit(rows_of_all, y)
        agreed, _ = fitted(pipeline, chosen, target=target)
    own = fitted_estimator(pipeline, agreed, chosen, [kind(column) for column in chosen])
    same_attributes(own, expected, 1e-8)
    made, again = expected.transform(rows_of_all), own.transform(rows_of_all)
    assert type(again) is type(made)
    assert near(dense(again), dense(made), 1e-8 * (1 + np.abs(np.nan_to_num(dense(made))).max(axis=0)))
    try:
        names = tuple(expected.get_feature_names_out())
    except (AttributeError, ValueError):
        return
    assert agreed.names == names == tuple(own.get_feature_names_out())


def test_steps_that_return_data_frames_know_the_names_between_them():
    pytest.importorskip("pandas")
    pipeline, chosen = clone(PIPELINES["dense, with a remainder"][0]).set_output(transform="pandas"), PLAIN
    rows_of_all = frame(pool(rows()[0]), chosen)
    expected = clone(pipeline).fit(rows_of_all)
    agreed, _ = fitted(pipeline, chosen)
    own = fitted_estimator(pipeline, agreed)
    made, again = expected.transform(rows_of_all), own.transform(rows_of_all)
    same_attributes(own, expected, 1e-8)
    assert list(again.columns) == list(made.columns) == list(agreed.names)
    assert near(again.to_numpy(float), made.to_numpy(float), 1e-8)


@pytest.mark.parametrize("name", PIPELINES)
def test_a_table_with_its_columns_in_another_order_comes_out_the_same(name):
    pipeline, chosen, target, whole, _ = pooled(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        agreed, _ = fitted(pipeline, chosen, target=target)
    found = transform(pipeline, agreed, table(whole, chosen))
    again = transform(pipeline, agreed, table(whole, tuple(reversed(chosen))))
    assert np.array_equal(found, again, equal_nan=True)
    with pytest.raises(DataError, match="no column"):
        transform(pipeline, agreed, table(whole, chosen[1:]))


def test_branches_are_agreed_side_by_side_and_steps_one_after_another():
    pipeline, chosen, *_ = PIPELINES["numbers and text"]
    # four for the median, one for the scale behind it; the categories are asked meanwhile; one for how sparse it is.
    assert fitted(pipeline, chosen)[1] == 6


def test_rows_are_prepared_once_for_all_questions_about_a_step(monkeypatch):
    prepared = []
    original = fit.reach
    monkeypatch.setattr(fit, "reach", lambda *all: prepared.append(all[2]) or original(*all))
    pipeline, chosen, *_ = PIPELINES["numbers and text"]
    fitted(pipeline, chosen)
    sites = len(rows()[0])
    assert {path: prepared.count(path) / sites for path in prepared} == {
        "num__simpleimputer": 1,
        "num__standardscaler": 1,
        "cat": 1,
        "": 1,
    }


def test_the_density_of_all_rows_decides_whether_the_output_is_sparse():
    encoder = PIPELINES["numbers and text"][0].transformers[1][1]
    for threshold, sparse in ((0.99, True), (0.1, False)):
        step = ColumnTransformer([("cat", encoder, ["ward", "rare"])], sparse_threshold=threshold)
        assert fitted(step, ("ward", "rare"))[0].states[""] == {"sparse": sparse}
