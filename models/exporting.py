"""Models for those who have scikit-learn and nothing of this package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .artifact import load_model
from .mlp.mlp import MLP
from .registry import describe
from .site_model import SiteModel


class CannotExport(TypeError):
    """A model that scikit-learn has nothing for; the message names it and what it has."""


def to_sklearn(model: SiteModel | str | Path, *, own: object = None) -> Any:
    """Return a model as a fitted plain scikit-learn object, from raw inputs to original labels or quantities.

    A classifier is a Pipeline that ends in the estimator, a regressor a TransformedTargetRegressor around one. The
    built-in network becomes an MLPClassifier or MLPRegressor with the same weights, and probabilities that differ in
    the last digits of their type; an estimator of scikit-learn's stays what it is.

    Parameters
    ----------
    model
        What a node has learned, or `load_model` returned; or the path of a run folder or of a saved model.
    own
        As `load_model` takes it, for a path.

    Returns
    -------
    sklearn.pipeline.Pipeline or sklearn.compose.TransformedTargetRegressor
        Takes arrays with the agreed columns in their order, or a pandas frame: with these columns alone, or, of a
        model of tables, with any further ones. It shares no memory with `model`.

    Raises
    ------
    CannotExport
        For a model of a class of your own, or with what scikit-learn does not know, naming it.
    ModelFileError
        Like `load_model`.
    RuntimeError
        For a model without preprocessing: it is not built yet.

    Examples
    --------
    >>> from nervenet.models import to_sklearn
    >>> to_sklearn("runs/first").predict([[5.1, 3.5, 1.4, 0.2]])  # doctest: +SKIP
    array([0])
    """
    if not isinstance(model, SiteModel):
        model = load_model(model, model=own)
    from .sklearn.fitted_pipeline import fitted_pipeline

    preprocessing = model.preprocessing
    return fitted_pipeline(plain_estimator(model.model), preprocessing, model.model.dtype)


def plain_estimator(model: Any) -> Any:
    """Return a built model as a fitted estimator of scikit-learn's, whose classes are indices. Raises CannotExport."""
    if hasattr(type(model), "estimator"):
        return model.estimator
    if type(model) is MLP:  # a class that is derived from it may predict otherwise
        from .sklearn.plain_network import plain_network

        try:
            return plain_network(model)
        except ValueError as error:
            raise CannotExport(f"mlp has no counterpart in scikit-learn: {error}") from error
    raise CannotExport(
        f"{describe(model)['name']} has no counterpart in scikit-learn; those that have one are mlp and the estimators "
        "of scikit-learn's own"
    )
