"""model.skops: a fitted scikit-learn estimator with the original labels, behind the preprocessing that was agreed.

Loading it needs scikit-learn and skops, and nothing of this package.
"""

from __future__ import annotations

import io
import json
import zipfile
from copy import deepcopy
from typing import Any

import numpy as np

from ..extras import how_to_install, installed
from ..model import Model
from ..preprocessing import Preprocessing
from ..table_preprocessing import AnyPreprocessing, TablePreprocessing
from ..weights import Vector

NOTE = (
    "model.skops is a fitted scikit-learn estimator that takes raw inputs, to be read by skops.io.load; it scales and "
    "clips them as agreed, and predicts what is served, to the last bit"
)


def export(model: Model, preprocessing: AnyPreprocessing, vector: Vector) -> tuple[bytes | None, str | None]:
    """Return the content of model.skops and the note about it for model.json; two times None for other models.

    A classifier is a Pipeline that ends in the estimator; a regressor is, as a Pipeline too, inside a
    TransformedTargetRegressor, so that it answers in the targets' own unit. The model itself is left as it is.
    """
    if not hasattr(type(model), "estimator"):
        return None, None
    if not installed("skops"):
        return None, f"there is no model.skops: {how_to_install('skops')}"
    from skops.io import dumps

    copy: Any = deepcopy(model)
    copy.set_weights(vector)
    estimator = copy.estimator
    _forget_training(estimator)
    whole = (
        _regressor(estimator, preprocessing) if preprocessing.classes is None else _classifier(estimator, preprocessing)
    )
    content = _reproducible(dumps(whole))
    return content, NOTE if isinstance(preprocessing, Preprocessing) else _note(content)


def _note(content: bytes) -> str:
    """Say how to load a pipeline of tables: skops wants to be told of NumPy's types and functions, if few."""
    from skops.io import get_untrusted_types

    return (
        "model.skops is a fitted scikit-learn Pipeline that takes a pandas frame of raw columns, dates as "
        "datetime64, categories as text (codes, too), stripped, gaps as NaN (None is none), to be read by "
        f"skops.io.load(…, trusted={sorted(get_untrusted_types(data=content))}); it predicts what is served"
    )


def _forget_training(estimator: Any) -> None:
    """Drop how one copy came by the common weights; an MLP's partial_fit finds what it needs to go on."""
    for name in ("_optimizer", "_random_state", "_best_coefs", "_best_intercepts", "loss_"):
        vars(estimator).pop(name, None)
    if hasattr(estimator, "loss_curve_"):
        estimator.loss_curve_, estimator.best_loss_, estimator._no_improvement_count = [], np.inf, 0  # noqa: SLF001


def _classifier(estimator: Any, preprocessing: AnyPreprocessing) -> Any:
    labels = np.array(preprocessing.classes)
    estimator.classes_ = labels
    if hasattr(estimator, "_label_binarizer"):
        estimator._label_binarizer.classes_ = labels  # noqa: SLF001 - MLPClassifier asks it for the labels
    return _pipeline(estimator, preprocessing)


def _regressor(estimator: Any, preprocessing: AnyPreprocessing) -> Any:
    from sklearn.compose import TransformedTargetRegressor

    target = _scaler(np.array([preprocessing.target_center]), np.array([preprocessing.target_scale]))
    pipeline = _pipeline(estimator, preprocessing)
    whole = TransformedTargetRegressor(regressor=pipeline, transformer=target)
    whole.regressor_, whole.transformer_, whole._training_dim = pipeline, target, 1  # noqa: SLF001 - as its fit does
    return whole


def _pipeline(estimator: Any, preprocessing: AnyPreprocessing) -> Any:
    """The steps of `Preprocessing.transform`, each by a class of scikit-learn's own, and the estimator."""
    from sklearn.pipeline import Pipeline

    if isinstance(preprocessing, TablePreprocessing):
        return Pipeline([("prepare", preprocessing.estimator()), ("model", estimator)])

    steps = [
        ("number", _to_float64(preprocessing.n_features)),
        ("scale", _scaler(preprocessing.center, preprocessing.scale)),
    ]
    if preprocessing.clip is not None:
        steps.append(("clip", _clipper(preprocessing.n_features, preprocessing.clip)))
    return Pipeline([*steps, ("model", estimator)])


def _to_float64(width: int) -> Any:
    """A float32 table would be scaled in float32, one in Fortran order summed in another order."""
    from sklearn.preprocessing import FunctionTransformer

    step = FunctionTransformer(np.positive, validate=True, kw_args={"dtype": "float64", "order": "C"})
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


def _reproducible(content: bytes) -> bytes:
    """Rewrite a skops archive so that the same estimator gives the same bytes.

    skops names each object, and the file of each array, by its address in memory, and dates every file.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(files.pop("schema.json"))
    numbers: dict[int, int] = {}
    renamed: dict[str, str] = {}
    _renumber(schema, numbers, renamed)
    ordered = {renamed[name]: files[name] for name in renamed} | {"schema.json": json.dumps(schema, indent=2).encode()}
    result = io.BytesIO()
    with zipfile.ZipFile(result, "w") as archive:
        for name, data in ordered.items():
            archive.writestr(zipfile.ZipInfo(name), data)  # dated 1980, as a ZipInfo is by default
    return result.getvalue()


def _renumber(node: Any, numbers: dict[int, int], renamed: dict[str, str]) -> None:
    """Replace addresses by the order of their appearance, in place."""
    if isinstance(node, dict):
        if isinstance(node.get("__id__"), int):
            node["__id__"] = numbers.setdefault(node["__id__"], len(numbers) + 1)
        if isinstance(node.get("file"), str):
            suffix = node["file"].rpartition(".")[2]
            node["file"] = renamed.setdefault(node["file"], f"{len(renamed) + 1}.{suffix}")
        for child in node.values():
            _renumber(child, numbers, renamed)
    elif isinstance(node, list):
        for child in node:
            _renumber(child, numbers, renamed)
