"""The coefficients of a linear model by column, with their standard errors and p-values."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np

from .model import Model
from .site_model import SiteModel
from .table_preprocessing import AnyPreprocessing, TablePreprocessing
from .weights import Vector

INTERCEPT = "(intercept)"


def coefficient_table(
    model: SiteModel | Model, preprocessing: AnyPreprocessing | None = None, vector: Vector | None = None
) -> dict[str, Any] | None:
    """Return the coefficients of a model fitted by Newton steps, and how certain they are, as plain values.

    Parameters
    ----------
    model
        What a node has learned, or `load_model` returned.
    preprocessing
        What the sites agreed on; by default that of a `SiteModel`.
    vector
        The weights; by default the model's own.

    Returns
    -------
    dict or None
        ``coefficients``: a list of maps with ``column``, as the model sees it; ``class`` of three or more;
        ``coefficient``, ``standard_error``, ``z`` and ``p_value``, None where it is not a number. ``dispersion``,
        ``rows`` and ``note`` as `sklearn.newton.inference.Inference` has them. None for any other model, and before
        it has learned something.
    """
    if isinstance(model, SiteModel):
        preprocessing = preprocessing or model.preprocessing
        model = model.model
    if preprocessing is None or not hasattr(type(model), "inference"):
        return None
    own: Any = model
    if vector is not None:
        own = deepcopy(model)
        own.set_weights(vector)
    found = own.inference()
    if found is None:
        return None
    columns = _names(preprocessing)[: found.coefficients.shape[1]]
    several = preprocessing.classes is not None and len(found.coefficients) > 1
    rows = []
    for place, values in enumerate(
        zip(found.coefficients, found.standard_errors, found.z, found.p_values, strict=True)
    ):
        of_class = {"class": preprocessing.classes[place]} if several and preprocessing.classes else {}
        for column, *figures in zip(columns, *values, strict=True):
            named = zip(("coefficient", "standard_error", "z", "p_value"), figures, strict=True)
            rows.append({"column": column, **of_class, **{name: _plain(value) for name, value in named}})
    return {"coefficients": rows, "dispersion": _plain(found.dispersion), "rows": found.rows, "note": found.note}


def _names(preprocessing: AnyPreprocessing) -> tuple[str, ...]:
    """Return the names of what the model sees, and that of the intercept."""
    if isinstance(preprocessing, TablePreprocessing):
        return (*preprocessing.fitted.names, INTERCEPT)
    return (*preprocessing.columns, INTERCEPT)


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
