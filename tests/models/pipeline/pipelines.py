"""Pipelines of several steps, as users write them."""

import numpy as np
from sites import NUMBERS, TEXTS
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.feature_selection import SelectKBest, VarianceThreshold, chi2
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
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
    "functions that keep data frames": (
        make_pipeline(FunctionTransformer(np.cbrt, feature_names_out="one-to-one"), StandardScaler()),
        ("plain", "ties"),
        None,
    ),
    "sparse all the way": (
        make_pipeline(OneHotEncoder(), StandardScaler(with_mean=False), MaxAbsScaler(), SelectKBest(chi2, k=5)),
        ("ward", "rare"),
        "classes",
    ),
    "sparse quantiles": (
        make_pipeline(OneHotEncoder(), RobustScaler(with_centering=False, quantile_range=(5.0, 95.0))),
        ("ward", "rare"),
        None,
    ),
    "sparse and truncated": (
        make_pipeline(
            ColumnTransformer([("c", OneHotEncoder(), [0, 1])], sparse_threshold=1.0),
            TruncatedSVD(3, algorithm="arpack"),
        ),
        ("ward", "rare"),
        None,
    ),
    "numbers and text in one encoder": (OrdinalEncoder(), ("ties", "ward", "gappy"), None),
    "an encoder behind an encoder": (
        make_pipeline(SimpleImputer(strategy="most_frequent"), OrdinalEncoder(), OneHotEncoder()),
        ("ward", "holes"),
        None,
    ),
    "one within another": (
        ColumnTransformer(
            [
                (
                    "in",
                    ColumnTransformer([("a", StandardScaler(), ["plain"])], remainder="passthrough"),
                    ["plain", "ties"],
                ),
                ("b", OrdinalEncoder(), ["ward"]),
            ]
        ),
        ALL,
        None,
    ),
    "values and where they are missing": (
        FeatureUnion([("v", SimpleImputer(strategy="median")), ("m", MissingIndicator())]),
        ("plain", "gappy"),
        None,
    ),
    "words": (ColumnTransformer([("w", HashingVectorizer(n_features=16), "ward")]), ALL, None),
}
