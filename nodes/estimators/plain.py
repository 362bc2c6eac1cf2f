"""The plain fitted estimator that a run has come to: what `estimator_` is."""

from __future__ import annotations

from typing import Any

import numpy as np
from nervenet.models.exporting import plain_estimator
from nervenet.models.site_model import SiteModel
from nervenet.models.sklearn.fitted_pipeline import forget_training
from numpy.typing import NDArray
from sklearn.base import clone


def fitted(given: Any, site_model: SiteModel, classes: NDArray[Any] | None, names: NDArray[Any] | None) -> Any:
    """Return the estimator that was given, or its counterpart in scikit-learn, with the learned weights.

    `classes` are the original labels in the order of the model's; `names` those of the columns, where they have some.
    """
    if hasattr(given, "adopt"):  # an estimator of this package: `nervenet.models.MLPClassifier`
        estimator = clone(given)
        estimator.adopt(site_model.model, classes)
        return _named(estimator, names)
    estimator = plain_estimator(site_model.model)
    forget_training(estimator)
    if classes is not None:
        estimator.classes_ = classes
        if hasattr(estimator, "_label_binarizer"):
            estimator._label_binarizer.classes_ = classes
    return _named(estimator, names)


def _named(estimator: Any, names: NDArray[Any] | None) -> Any:
    if names is not None:
        estimator.feature_names_in_ = np.asarray(names, object)
    return estimator


def replaced(estimator: object, before: type) -> str:
    """Return why `partial_fit` cannot go on with an estimator in place of one of the class `before`."""
    return (
        "partial_fit goes on from the weights of the calls before, which are those of another model than "
        f"estimator = {type(estimator).__name__} has ({before.__name__}'s); call fit to begin anew"
    )
