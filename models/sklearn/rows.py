"""Rows as scikit-learn's estimators check them, by the names that its releases have for that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.arrays import unmasked


def validated(estimator: Any, *arrays: Any, reset: bool, **checks: Any) -> Any:
    """Return X, or X and y, checked; `reset`: the estimator keeps the number and the names of the columns.

    `gaps`, False by default, is whether X may have NaN.
    """
    finite: bool | str = "allow-nan" if checks.pop("gaps", False) else True
    arrays = tuple(map(unmasked, arrays))
    try:
        from sklearn.utils.validation import validate_data
    except ImportError:  # scikit-learn 1.5
        checks["force_all_finite"] = finite
        return estimator._validate_data(*arrays, reset=reset, **checks)  # noqa: SLF001 - its own name for it
    return validate_data(estimator, *arrays, reset=reset, ensure_all_finite=finite, **checks)


def noted(estimator: Any, frame: Any) -> None:
    """Have an estimator keep the number and the names of a frame's columns."""
    try:
        from sklearn.utils.validation import validate_data
    except ImportError:  # scikit-learn 1.5
        estimator._validate_data(frame, reset=True, cast_to_ndarray=False)  # noqa: SLF001 - its own name for it
        return
    validate_data(estimator, frame, reset=True, skip_check_array=True)


def row_weights(
    estimator: Any, metadata: Mapping[str, Any], X: Any, known: str = "sample_weight"
) -> NDArray[np.float64] | None:
    """Return the weights of rows, as float64, among what else a `fit` was given; None where there are none.

    Weights are metadata, as for scikit-learn's own meta-estimators, and no parameter of `fit`: by one an estimator says
    that a row of weight 2 is two rows to the last bit, which is not so where rows are drawn in an order.

    Raises TypeError for what is neither weights nor anything else that is `known`; ValueError for weights that are not
    one finite number a row, or negative.
    """
    unknown = [name for name in metadata if name != "sample_weight"]
    if unknown:
        raise TypeError(f"{type(estimator).__name__} got an unexpected argument {unknown[0]!r}; rows may have {known}")
    weight = metadata.get("sample_weight")
    if weight is None:
        return None
    from sklearn.utils.validation import _check_sample_weight

    found: NDArray[np.float64] = _check_sample_weight(unmasked(weight), X, dtype=np.float64, copy=True)
    if (found < 0).any():
        raise ValueError(f"sample_weight must be at least 0, found {np.min(found):g}")
    if not found.any():
        raise ValueError("sample_weight is zero for all rows, so that none counts")
    return found
