"""Unfitted pipelines as plain values."""

import json

import numpy as np
import pytest
from nervenet.models.pipeline.description import describe_transformer, rebuild_transformer
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.feature_selection import SelectKBest, chi2
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder, OrdinalEncoder, StandardScaler

PIPELINES = [
    StandardScaler(with_mean=False),
    ColumnTransformer(
        [
            ("n", Pipeline([("fill", SimpleImputer(strategy="median")), ("scale", StandardScaler())]), ["age", "crp"]),
            ("c", OneHotEncoder(sparse_output=False, dtype=np.float32, min_frequency=3), ["ward"]),
            ("o", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan), ["sex"]),
            ("d", "drop", ["id"]),
        ],
        remainder="passthrough",
    ),
    FeatureUnion([("sin", FunctionTransformer(np.sin)), ("cut", FunctionTransformer(np.clip, kw_args={"a_min": -1}))]),
    make_pipeline(MinMaxScaler(feature_range=(-1, 1)), SelectKBest(chi2, k=2)),
    OneHotEncoder(categories=[np.array(["a", "b"], object)]),
]


@pytest.mark.parametrize("pipeline", PIPELINES, ids=lambda one: type(one).__name__)
def test_a_pipeline_survives_json(pipeline):
    described = json.loads(json.dumps(describe_transformer(pipeline), allow_nan=False))
    again = rebuild_transformer(described)
    assert repr(again) == repr(pipeline)
    assert describe_transformer(again) == described


def test_only_what_differs_from_the_defaults_is_described():
    assert describe_transformer(SimpleImputer(missing_values=np.nan, strategy="median")) == {
        "step": "sklearn.impute.SimpleImputer",
        "parameters": {"strategy": "median"},
    }


def test_columns_may_be_chosen_by_a_selector():
    chosen = make_column_selector("^a", dtype_include=[object, np.number], dtype_exclude=float)
    described = json.loads(json.dumps(describe_transformer(make_column_transformer((StandardScaler(), chosen)))))
    found = rebuild_transformer(described).transformers[0][2]
    assert vars(found) == vars(make_column_selector("^a", dtype_include=["object", np.number], dtype_exclude="float"))


@pytest.mark.parametrize("pattern", ["(a|a)*b", "(.+)+$", "a*a*a*a*b", "(", "a" * 201, 7])
def test_a_pattern_that_may_take_for_ever_to_search_for_is_neither_described_nor_made(pattern):
    step = make_column_transformer((StandardScaler(), make_column_selector("a")))
    described = describe_transformer(step)
    step.transformers[0][2].pattern = pattern
    with pytest.raises(TypeError, match=r"transformers: found .*; a selector's pattern is a regular expression of at"):
        describe_transformer(step)
    described["parameters"]["transformers"][0]["tuple"][2]["selector"]["pattern"] = pattern
    with pytest.raises(ValueError, match=r"found .*; a selector's pattern is a regular expression of at most 200"):
        rebuild_transformer(described)


def test_types_of_python_are_numpys():
    assert describe_transformer(OrdinalEncoder(dtype=int)) == describe_transformer(OrdinalEncoder(dtype=np.int64))
    assert describe_transformer(OneHotEncoder(dtype=float)) == describe_transformer(OneHotEncoder())


class Mine(TransformerMixin, BaseEstimator):
    """A transformer that no other machine has."""


@pytest.mark.parametrize(
    "step", [Mine(), FunctionTransformer(lambda X: X), FunctionTransformer(np.load), make_pipeline(Mine())]
)
def test_code_of_ones_own_is_not_described(step):
    with pytest.raises(TypeError, match=r"expected a transformer of scikit-learn's"):
        describe_transformer(step)


@pytest.mark.parametrize(
    "described",
    [
        {"step": "os.system", "parameters": {}},
        {"step": "sklearn.os.system", "parameters": {}},
        {"step": "sklearn.utils._testing.assert_run_python_script_without_output", "parameters": {}},
        {"step": "sklearn.linear_model.SGDClassifier", "parameters": {}},
        {"step": "sklearn.preprocessing.NoSuchScaler", "parameters": {}},
        {"step": "sklearn.preprocessing.FunctionTransformer", "parameters": {"func": {"named": "os.system"}}},
        {"step": "sklearn.preprocessing.FunctionTransformer", "parameters": {"func": {"call": "x"}}},
        {"step": "sklearn.preprocessing.FunctionTransformer", "parameters": {"func": {"named": "numpy.load"}}},
        {"step": "sklearn.preprocessing.Normalizer", "parameters": {"norm": {"selector": {"func": "x"}}}},
        {"named": "numpy.sin"},
        {"tuple": []},
    ],
)
def test_nothing_else_is_imported_or_made(described):
    with pytest.raises(ValueError, match=r"not|no"):
        rebuild_transformer(described)
