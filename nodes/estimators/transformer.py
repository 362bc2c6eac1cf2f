"""FederatedTransformer: preprocessing that is fitted on the rows of all sites, exactly, in round 0."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from nervenet.models.agreement.questions import settle
from nervenet.models.data.arrays import unmasked
from nervenet.models.data.data import Task
from nervenet.models.pipeline.fit import PipelineSite, check_pipeline, fit_questions
from nervenet.models.pipeline.restore import fitted_estimator
from nervenet.models.pipeline.step import NoExactMerge
from nervenet.models.sklearn.rows import noted, validated
from nervenet.models.tables.frames import is_frame
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted, column_or_1d

from . import federated_rounds
from .delegated import if_inner_has
from .sites import in_order
from .tables import as_table, gaps_as_nan
from .tags import more_tags, take_over, takes_gaps, takes_text


class FederatedTransformer(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A transformer that is fitted over sites as it would be on their pooled rows, without these leaving their site.

    Each site answers questions about its own rows, with counts and sums alone; what comes of the answers is what `fit`
    on all rows together gives, to rounding. There is nothing to draw and nothing to train.

    Parameters
    ----------
    estimator : transformer
        A transformer of scikit-learn's that has an exact merge (docs/pipelines.md lists them): a scaler, an imputer, an
        encoder, PCA, a selection and others; or a Pipeline, ColumnTransformer or FeatureUnion of such.
    n_clients : int
        Sites that the rows are divided among, in their order, where `fit` is not told whose they are. The result is the
        same for any number.

    Attributes
    ----------
    estimator_ : transformer
        The plain fitted one, which needs nothing of this package.
    clients_ : (n_clients,) array
        The ids of the sites.
    n_features_in_, feature_names_in_
        Of the columns of X.

    Examples
    --------
    >>> from nervenet.nodes import FederatedTransformer
    >>> from sklearn.preprocessing import StandardScaler
    >>> FederatedTransformer(StandardScaler(), n_clients=2).fit([[0.0], [2.0], [4.0]]).estimator_.mean_
    array([2.])
    """

    _required_parameters: ClassVar[list[str]] = ["estimator"]  # by which scikit-learn before 1.6 knows a meta-estimator

    def __init__(self, estimator: Any, *, n_clients: int = 5) -> None:
        self.estimator = estimator
        self.n_clients = n_clients

    def fit(self, X: Any, y: Any = None, clients: ArrayLike | None = None) -> Self:
        """Fit on the rows of all sites.

        Parameters
        ----------
        X : (n_samples, n_features) array or data frame
            A frame may have texts, dates (as datetime64[s] of pandas) and gaps: None, NaN and pandas.NA are one.
        y : (n_samples,) array, optional
            For steps that read a target.
        clients : (n_samples,) array, optional
            The site of each row, by any id.

        Raises
        ------
        TypeError
            A step has no exact merge; says which, and the nearest one that has.
        ValueError
            The rows cannot be divided as asked, or are nothing that a step takes.
        """
        try:
            check_pipeline(self.estimator)
        except NoExactMerge as error:
            raise TypeError(str(error)) from error
        X, y = self._checked(X, y)
        sites_of_rows = in_order(len(X), clients, self.n_clients)
        self.clients_, owners, table = (
            sites_of_rows.ids,
            sites_of_rows.rows,
            as_table(X, labels=takes_text(self.estimator)),
        )
        target, task, classes = _target(y)
        names = federated_rounds.names(len(owners))
        sites = {
            name: PipelineSite(self.estimator, table.take(rows), None if target is None else target[rows]).answer
            for name, rows in zip(names, owners, strict=True)
        }
        fitted = settle(fit_questions(self.estimator, table.columns, table.kinds, task=task), sites)
        self.estimator_ = fitted_estimator(self.estimator, fitted, framed=hasattr(self, "feature_names_in_"))
        if classes is not None and hasattr(self.estimator_, "classes_"):
            self.estimator_.classes_ = classes
        return self

    def _checked(self, X: Any, y: Any) -> tuple[Any, Any]:
        if is_frame(X):
            noted(self, X)
            return X, None if y is None else column_or_1d(y, warn=True)
        text = takes_text(self.estimator)
        how = {"dtype": None if text else "numeric", "gaps": takes_gaps(self.estimator)}
        if y is None:
            return validated(self, X, reset=True, **how), None
        found: tuple[Any, Any] = validated(self, X, y, reset=True, **how)
        return found

    def transform(self, X: Any) -> Any:
        """Return what the fitted transformer makes of rows."""
        check_is_fitted(self)
        return self.estimator_.transform(gaps_as_nan(unmasked(X)))

    @if_inner_has("inverse_transform")  # type: ignore[untyped-decorator]
    def inverse_transform(self, X: Any) -> Any:
        """Return the rows of which `transform` makes these."""
        check_is_fitted(self)
        return self.estimator_.inverse_transform(X)

    @if_inner_has("get_feature_names_out")  # type: ignore[untyped-decorator]
    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Return the names of the columns that `transform` makes."""
        check_is_fitted(self)
        found: NDArray[Any] = self.estimator_.get_feature_names_out(input_features)
        return found

    def __sklearn_tags__(self) -> Any:
        return take_over(super().__sklearn_tags__(), self.estimator)

    def _more_tags(self) -> dict[str, Any]:  # the same for scikit-learn before 1.6
        return more_tags(self.estimator)


def _target(y: Any) -> tuple[NDArray[Any] | None, Task | None, NDArray[Any] | None]:
    """Return targets as steps read them, what they are, and the classes if they are such."""
    if y is None:
        return None, None, None
    if type_of_target(y) in ("binary", "multiclass"):
        classes, places = np.unique(y, return_inverse=True)
        return places.astype(np.int64), "classification", classes
    return np.asarray(y, np.float64), "regression", None
