"""MLPClassifier and MLPRegressor: the built-in network with scikit-learn's habits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from ..data.row_weights import relative
from ..mlp.mlp import MLP
from ..model import Dtype, LocalWork
from ..rng import generator
from .rows import row_weights, validated

LARGEST_SEED = np.iinfo(np.int32).max


class NetworkEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What both have: the parameters, and the training."""

    # What `fit` takes beside X and y, for scikit-learn's metadata routing.
    __metadata_request__fit: ClassVar[dict[str, None]] = {"sample_weight": None}
    __metadata_request__partial_fit: ClassVar[dict[str, None]] = {"sample_weight": None}

    model_: MLP

    def __init__(
        self,
        hidden: Sequence[int] = (64,),
        activation: str = "relu",
        *,
        optimizer: str = "adam",
        learning_rate: float = 0.005,
        momentum: float = 0.9,
        l2: float | None = None,
        dtype: Dtype = "float64",
        epochs: int = 50,
        batch_size: int = 16,
        random_state: Any = None,
    ) -> None:
        self.hidden = hidden
        self.activation = activation
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.l2 = l2
        self.dtype = dtype
        self.epochs = epochs
        self.batch_size = batch_size
        self.random_state = random_state

    def as_model(self) -> MLP:
        """Return the network that these parameters describe, not built yet."""
        return MLP(
            self.hidden,
            self.activation,
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            momentum=self.momentum,
            l2=self.l2,
            dtype=self.dtype,
        )

    def adopt(self, model: MLP, classes: NDArray[Any] | None) -> None:
        """Become fitted: with a network that is built, whose classes are the indices of these."""
        self.model_, self.n_features_in_ = model, model.n_features
        self.n_iter_, self._drawn_seed = 0, 0
        if classes is not None:
            self.classes_ = classes

    def _train(
        self, X: NDArray[Any], y: NDArray[Any], weight: NDArray[np.float64] | None, epochs: int, *, carry: bool
    ) -> Self:
        """Train for so many epochs more."""
        if weight is not None and not weight.all():
            X, y, weight = X[weight > 0], y[weight > 0], weight[weight > 0]
        rng = generator(self._drawn_seed, "batches", self.n_iter_)
        of_rows = {} if weight is None else {"sample_weight": relative(weight)}
        work = LocalWork(epochs=epochs, batch_size=self.batch_size, carry_optimizer=carry)
        report = self.model_.fit(X, y, work, rng, lambda: False, **of_rows)
        if not np.isfinite(self.model_.get_weights()).all():
            raise ValueError(
                f"training has diverged: the weights are not finite after {epochs} epochs at learning_rate = "
                f"{self.learning_rate:g}; scaled columns, or a smaller rate, may help"
            )
        self.n_iter_ += epochs
        self.loss_ = report.loss
        return self

    def _begin(self, n_classes: int | None) -> None:
        """Build the network, with weights that the seed gives."""
        given = self.random_state
        seeded = isinstance(given, int | np.integer)
        self._drawn_seed = int(given) if seeded else int(check_random_state(given).randint(LARGEST_SEED))
        self.model_, self.n_iter_ = self.as_model(), 0
        self.model_.build(self.n_features_in_, n_classes, generator(self._drawn_seed, "init"))

    def _inputs(self, X: Any) -> NDArray[Any]:
        check_is_fitted(self)
        found: NDArray[Any] = validated(self, X, reset=False, dtype=self.dtype)
        return found

    @property
    def coefs_(self) -> list[NDArray[Any]]:
        """The weights of each layer, as scikit-learn's networks have them."""
        return [array for name, array in self.model_.arrays.items() if name.startswith("weight.")]

    @property
    def intercepts_(self) -> list[NDArray[Any]]:
        """The biases of each layer."""
        return [array for name, array in self.model_.arrays.items() if name.startswith("bias.")]


class MLPClassifier(ClassifierMixin, NetworkEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """The built-in network (`nervenet.models.MLP`) as a classifier of scikit-learn's kind.

    Parameters
    ----------
    hidden : sequence of int
        Units of each hidden layer; empty for a linear model.
    activation : {"relu", "tanh", "logistic", "identity"}
    optimizer : {"adam", "nesterov", "momentum", "sgd"}
    learning_rate, momentum : float
    l2 : float or None
        Coefficient of the penalty on weights. None: 1e-4 for classification, 1.0 for regression.
    dtype : {"float64", "float32"}
        Of weights and arithmetic; float32 is about twice as fast, and half the bytes where weights travel.
    epochs : int
        Passes over the rows in `fit`; `partial_fit` is one.
    batch_size : int
    random_state : int, RandomState instance or None

    Attributes
    ----------
    model_ : nervenet.models.MLP
        The network with its weights.
    coefs_, intercepts_ : list of array
        Its weights and biases, layer by layer.
    loss_ : float
        Mean training loss over the last epoch.
    n_iter_ : int
        Epochs that were done.
    classes_ : (n_classes,) array
        The labels.
    """

    def fit(self, X: Any, y: Any, **metadata: Any) -> Self:
        """Train from the beginning. `sample_weight`, (n_samples,), is how much each row counts."""
        X, y = validated(self, X, y, reset=True, dtype=self.dtype)
        weight = row_weights(self, metadata, X)
        check_classification_targets(y)
        counted = y if weight is None else y[weight > 0]
        self.classes_ = np.unique(counted)
        if len(self.classes_) < 2:
            trimmed = "" if weight is None else " among the rows whose sample_weight is above 0"
            raise ValueError(f"{type(self).__name__} needs two classes to learn, found 1 class{trimmed}")
        self._begin(len(self.classes_))
        places = np.searchsorted(self.classes_, y).clip(max=len(self.classes_) - 1).astype(np.int64)
        return self._train(X, places, weight, self.epochs, carry=False)

    def partial_fit(self, X: Any, y: Any, classes: ArrayLike | None = None, **metadata: Any) -> Self:
        """Train for one epoch more; `classes`, all labels there will be, are needed in the first call."""
        first = not hasattr(self, "model_")
        X, y = validated(self, X, y, reset=first, dtype=self.dtype)
        weight = row_weights(self, metadata, X)
        check_classification_targets(y)
        if first:
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit")
            self.classes_ = np.unique(np.asarray(classes))
            self._begin(len(self.classes_))
        strange = np.setdiff1d(y, self.classes_)
        if len(strange):
            known = self.classes_.tolist()
            raise ValueError(f"y has a label {strange.tolist()[0]!r} that is none of the classes {known}")
        return self._train(X, np.searchsorted(self.classes_, y).astype(np.int64), weight, 1, carry=True)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return labels, shape (n_samples,)."""
        X = self._inputs(X)
        found: NDArray[Any] = self.classes_[self.model_.predict(X)]
        return found

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Return the probability of each of `classes_`, shape (n_samples, n_classes)."""
        X = self._inputs(X)
        found = self.model_.probabilities(X)
        assert found is not None  # noqa: S101 - of a classifier
        return found

    def predict_log_proba(self, X: Any) -> NDArray[Any]:
        """Return the logarithm of `predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.predict_proba(X)))


class MLPRegressor(RegressorMixin, NetworkEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """The built-in network (`nervenet.models.MLP`) as a regressor of scikit-learn's kind.

    Parameters
    ----------
    hidden : sequence of int
        Units of each hidden layer; empty for a linear model.
    activation : {"relu", "tanh", "logistic", "identity"}
    optimizer : {"adam", "nesterov", "momentum", "sgd"}
    learning_rate, momentum : float
    l2 : float or None
        Coefficient of the penalty on weights. None: 1e-4 for classification, 1.0 for regression.
    dtype : {"float64", "float32"}
        Of weights and arithmetic; float32 is about twice as fast, and half the bytes where weights travel.
    epochs : int
        Passes over the rows in `fit`; `partial_fit` is one.
    batch_size : int
    random_state : int, RandomState instance or None

    Attributes
    ----------
    model_ : nervenet.models.MLP
        The network with its weights.
    coefs_, intercepts_ : list of array
        Its weights and biases, layer by layer.
    loss_ : float
        Mean training loss over the last epoch.
    n_iter_ : int
        Epochs that were done.
    """

    def fit(self, X: Any, y: Any, **metadata: Any) -> Self:
        """Train from the beginning. `sample_weight`, (n_samples,), is how much each row counts."""
        X, y = validated(self, X, y, reset=True, dtype=self.dtype, y_numeric=True)
        weight = row_weights(self, metadata, X)
        self._begin(None)
        return self._train(X, y.astype(self.dtype), weight, self.epochs, carry=False)

    def partial_fit(self, X: Any, y: Any, **metadata: Any) -> Self:
        """Train for one epoch more."""
        first = not hasattr(self, "model_")
        X, y = validated(self, X, y, reset=first, dtype=self.dtype, y_numeric=True)
        weight = row_weights(self, metadata, X)
        if first:
            self._begin(None)
        return self._train(X, y.astype(self.dtype), weight, 1, carry=True)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return quantities, shape (n_samples,)."""
        X = self._inputs(X)
        return self.model_.predict(X)
