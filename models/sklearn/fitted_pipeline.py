"""A fitted scikit-learn Pipeline of a model: it takes raw inputs and answers in the original labels or units.

Every step is of a class of scikit-learn's own, so that who uses it needs nothing of this package.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..preprocessing import made_up
from ..table_preprocessing import AnyPreprocessing, TablePreprocessing


def fitted_pipeline(estimator: Any, preprocessing: AnyPreprocessing, dtype: str = "float64") -> Any:
    """Return a plain scikit-learn object that takes raw inputs: an estimator behind what the sites have agreed on.

    A classifier becomes a Pipeline that ends in the estimator, and answers in the original labels; so does what has no
    target, and answers with clusters; a regressor, as a Pipeline too, is inside a TransformedTargetRegressor, so that
    it answers in the targets' own unit.

    Parameters
    ----------
    estimator
        Fitted on prepared rows; a classifier's classes are indices, in ascending order. It is changed.
    preprocessing
        Of the rows.
    dtype
        Of the prepared rows, as the model takes them.
    """
    forget_training(estimator)
    steps = [*_steps(preprocessing), *([] if dtype == "float64" else _to_dtype(preprocessing, dtype))]
    from sklearn.base import ClusterMixin, DensityMixin

    if preprocessing.classes is None:
        if isinstance(estimator, ClusterMixin | DensityMixin):  # it has no target
            return _chain([*steps, ("model", estimator)])
        return _regressor(estimator, steps, preprocessing, dtype)
    labels = np.array(preprocessing.classes)
    estimator.classes_ = labels
    if hasattr(estimator, "_label_binarizer"):
        estimator._label_binarizer.classes_ = labels  # noqa: SLF001 - MLPClassifier asks it for the labels
    return _chain([*steps, ("model", estimator)])


def forget_training(estimator: Any) -> None:
    """Drop how one copy came by the common weights; an MLP's partial_fit finds what it needs to go on."""
    for name in ("_optimizer", "_random_state", "_best_coefs", "_best_intercepts", "loss_"):
        vars(estimator).pop(name, None)
    if hasattr(estimator, "loss_curve_"):
        estimator.loss_curve_, estimator.best_loss_, estimator._no_improvement_count = [], np.inf, 0  # noqa: SLF001


def _regressor(estimator: Any, steps: list[tuple[str, Any]], preprocessing: AnyPreprocessing, dtype: str) -> Any:
    from sklearn.compose import TransformedTargetRegressor

    target = _scaler(np.array([preprocessing.target_center]), np.array([preprocessing.target_scale]))
    if dtype != "float64":  # a target far from 0 would lose its digits
        target = _chain([("scale", target), ("number", _of_dtype("inverse_func", "inv_kw_args", "float64", 1))])
    pipeline = _chain([*steps, ("model", estimator)])
    whole = TransformedTargetRegressor(regressor=pipeline, transformer=target)
    whole.regressor_, whole.transformer_, whole._training_dim = pipeline, target, 1  # noqa: SLF001 - as its fit does
    return whole


def _chain(steps: list[tuple[str, Any]]) -> Any:
    from sklearn.pipeline import Pipeline

    return Pipeline(steps)


def _steps(preprocessing: AnyPreprocessing) -> list[tuple[str, Any]]:
    """Return the steps of `transform` in float64, each by a class of scikit-learn's own."""
    if isinstance(preprocessing, TablePreprocessing):
        return [("prepare", preprocessing.estimator())]
    number = _of_dtype("func", "kw_args", "float64", preprocessing.n_features)
    if preprocessing.columns != made_up(preprocessing.n_features):
        number.feature_names_in_ = np.array(preprocessing.columns, object)  # else a frame in another order is taken
    steps = [("number", number), ("scale", _scaler(preprocessing.center, preprocessing.scale))]
    if preprocessing.clip is not None:
        steps.append(("clip", _clipper(preprocessing.n_features, preprocessing.clip)))
    return steps


def _to_dtype(preprocessing: AnyPreprocessing, dtype: str) -> list[tuple[str, Any]]:
    width = preprocessing.n_features
    steps = [(dtype, _of_dtype("func", "kw_args", dtype, width))]
    if isinstance(preprocessing, TablePreprocessing) and preprocessing.may_be_sparse:
        from sklearn.compose import ColumnTransformer

        dense = ColumnTransformer([("all", "passthrough", slice(0, width))], sparse_threshold=0)
        steps.insert(0, ("dense", dense.fit(np.zeros((1, width)))))
    return steps


def _of_dtype(function: str, arguments: str, dtype: str, width: int) -> Any:
    """Return a step that makes rows of a type, or turns targets back into it.

    A float32 table would be scaled in float32, one in Fortran order summed in another order.
    """
    from sklearn.preprocessing import FunctionTransformer

    how = {function: np.positive, arguments: {"dtype": dtype, "order": "C"}}
    step = FunctionTransformer(validate=True, check_inverse=False, **how)
    step.n_features_in_ = width
    return step


def _clipper(width: int, clip: float) -> Any:
    """A MinMaxScaler that leaves every value as it is and cuts it to [-clip, clip]."""
    from sklearn.preprocessing import MinMaxScaler

    step = MinMaxScaler(feature_range=(-clip, clip), clip=True)
    step.scale_, step.min_ = np.ones(width), np.zeros(width)
    step.data_min_, step.data_max_ = np.full(width, -clip), np.full(width, clip)
    step.data_range_ = np.full(width, 2 * clip)
    step.n_features_in_, step.n_samples_seen_ = width, 1
    return step


def _scaler(center: Any, scale: Any) -> Any:
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    scaler.mean_, scaler.scale_, scaler.var_ = center.copy(), scale.copy(), scale * scale
    scaler.n_features_in_ = len(center)
    return scaler
