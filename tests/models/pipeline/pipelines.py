"""Pipelines of several steps, as users write them."""

import numpy as np
from sites import NUMBERS, TEXTS
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.feature_selection import SelectKBest, VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

ALL = (*NUMBERS, *TEXTS)
COLUMNS = ("plain", "ties", "gappy", "visits")

PIPELINES = {
    "numbers and text": (
        ColumnTransformer(
            [
                ("num", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), list(NUMBERS)),
                ("cat", OneHotEncoder(min_frequency=30, handle_unknown="infrequent_if_exist"), ["ward", "holes"]),
            ]
        ),
        ALL,
        None,
    ),
    "dense, with a remainder": (
        ColumnTransformer(
            [
                ("cat", OrdinalEncoder(), ["holes", "rare"]),
                ("off", "drop", ["tiny"]),
                ("as is", "passthrough", ["ties"]),
            ],
            remainder=make_pipeline(SimpleImputer(), RobustScaler()),
            verbose_feature_names_out=False,
        ),
        ("plain", "ties", "tiny", "gappy", "rare", "holes", "offset"),
        None,
    ),
    "what is left passes": (
        ColumnTransformer([("cat", OneHotEncoder(), ["ward"])], remainder="passthrough", sparse_threshold=0),
        ("ward", "ties", "gappy"),
        None,
    ),
    "chosen by kind": (
        ColumnTransformer(
            [
                ("num", SimpleImputer(), make_column_selector(dtype_include="number")),
                ("cat", OneHotEncoder(sparse_output=False), make_column_selector("^r|^w", dtype_exclude=np.number)),
                ("none", StandardScaler(), make_column_selector("no such")),
            ],
            transformer_weights={"num": 2.0},
        ),
        ALL,
        None,
    ),
    "four in a row": (
        Pipeline(
            [
                ("fill", SimpleImputer(add_indicator=True)),
                ("off", "passthrough"),
                ("scale", StandardScaler()),
                ("square", PolynomialFeatures(2, include_bias=False)),
                ("pca", PCA(3, svd_solver="full")),
            ]
        ),
        COLUMNS,
        None,
    ),
    "bins of what was filled": (
        make_pipeline(SimpleImputer(strategy="most_frequent"), KBinsDiscretizer(4), VarianceThreshold(0.05)),
        COLUMNS,
        None,
    ),
    "side by side": (
        make_pipeline(
            SimpleImputer(),
            FeatureUnion(
                [
                    ("as is", "passthrough"),
                    ("norm", Normalizer()),
                    ("off", "drop"),
                    ("best", SelectKBest(k=2)),
                    ("pca", make_pipeline(StandardScaler(), PCA(2, svd_solver="full"))),
                ],
                transformer_weights={"norm": 0.5},
            ),
        ),
        COLUMNS,
        "classes",
    ),
    "places behind a step": (
        make_pipeline(
            SimpleImputer(),
            ColumnTransformer([("a", StandardScaler(), [0, 2]), ("b", RobustScaler(), slice(1, 2))]),
        ),
        COLUMNS,
        None,
    ),
    "by the target": (
        ColumnTransformer([("t", TargetEncoder(), ["ward", "rare"]), ("n", StandardScaler(), ["plain"])]),
        ALL,
        "quantities",
    ),
    "functions without names": (
        ColumnTransformer([("f", make_pipeline(FunctionTransformer(np.fliplr), StandardScaler()), ["plain", "ties"])]),
        ALL,
        None,
    ),
    "words": (ColumnTransformer([("w", HashingVectorizer(n_features=16), "ward")]), ALL, None),
}
