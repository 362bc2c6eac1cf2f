"""Adapters: a scikit-learn estimator behind the `Model` protocol.

An adapter works on a private clone. What scikit-learn would decide from the data of one node - the classes, the width,
the order of the batches - it decides from what all nodes agreed on, so that their weights line up:

- every node's estimator knows all classes, whichever its rows hold;
- rows are permuted by the generator given to `fit`, never by the estimator's own random_state, which repeats itself;
- weights are copied in, so that what arrives read-only, or is still being sent, is never trained on in place.
"""

import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from math import ceil, nan, sqrt
from typing import Any, Literal

import numpy as np

from ..checks import checked_inputs, checked_targets
from ..evaluate import evaluate
from ..model import Array, Capability, FitReport, LocalUnsupported, LocalWork
from ..weights import Layout, Vector

CHUNK = 4096
"""Rows handed to one `partial_fit`: its overhead is that of many steps, and a fit can be stopped only between two."""

_warnings_lock = threading.Lock()


class Adapter:
    """What the adapters share. Subclasses say how to make, read, write and advance their estimator's arrays."""

    rule = "mean"
    classifies = True

    def __init__(self, given: Any, path: str) -> None:
        self._given = given
        self._path = path
        self._working: Any = None
        self._layout: Layout | None = None
        self._n_classes: int | None = None

    @property
    def dtype(self) -> Literal["float32", "float64"]:
        """float64, as scikit-learn's estimators are where nobody asks for less."""
        return "float64"

    @property
    def layout(self) -> Layout:
        """What stands where in the flat vector. Raises RuntimeError before `build`."""
        if self._layout is None:
            raise RuntimeError("the model is not built yet: call build() first")
        return self._layout

    @property
    def estimator(self) -> Any:
        """A fitted copy with the user's own parameters; its `classes_` are indices, for the caller to replace."""
        self.layout  # noqa: B018 - says that build() is missing
        exported = deepcopy(self._working)
        for name, value in self._given.get_params(deep=False).items():
            setattr(exported, name, value)
        return exported

    def describe(self) -> dict[str, Any]:
        """Import path and parameters. Not random_state: what is random here is addressed by the run's seed."""
        parameters = {k: _plain(v) for k, v in self._given.get_params(deep=False).items() if k != "random_state"}
        return {"name": self._path, "parameters": parameters}

    def build(self, n_features: int, n_classes: int | None, rng: np.random.Generator) -> Layout:
        """Make the estimator's arrays for the task all nodes agreed on. See `Model.build`.

        Raises
        ------
        ValueError
            A classifier for a continuous target, or the other way round, or fewer than two classes.
        """
        from sklearn.base import clone

        name = type(self._given).__name__
        if self.classifies != (n_classes is not None):
            kind, task = ("classifier", "a number") if self.classifies else ("regressor", "a class")
            raise ValueError(f"{name} is a {kind}, but the target is {task}")
        if n_classes is not None and n_classes < 2:
            raise ValueError(f"n_classes is {n_classes}; a classifier needs at least 2")
        self._working, self._n_classes = clone(self._given), n_classes
        self._prepare(n_features, rng)
        arrays = self._arrays()
        self._layout = Layout(tuple(arrays), tuple(array.shape for array in arrays.values()), self.dtype)
        return self._layout

    def snapshot(self) -> Vector:
        """Copy the weights into a new flat vector."""
        self.layout  # noqa: B018 - says that build() is missing
        return np.concatenate([array.ravel() for array in self._arrays().values()])

    def load(self, vector: Vector) -> None:
        """Copy a flat vector, which may be read-only, into the estimator. Raises IncompatibleWeights."""
        self.layout.check(vector)
        self._assign({name: view.copy() for name, view in self.layout.views(vector).items()})

    @property
    def allows(self) -> frozenset[Capability]:
        """Nothing: its update is not within reach, neither of a correction nor of a formula."""
        return frozenset()

    def fit(
        self,
        X: Array,
        y: Array,
        work: LocalWork,
        rng: np.random.Generator,
        stop: Callable[[], bool],
        correction: Vector | None = None,
    ) -> FitReport:
        """Train in place through `partial_fit`, chunk by chunk. See `Model.fit`."""
        self._refuse(work, correction)
        X, y = self._checked(X, y)
        n, batch = len(X), min(work.batch_size, len(X))
        target = work.epochs * ceil(n / batch) if work.local_steps is None else work.local_steps
        if not work.carry_optimizer:
            self._forget()
        steps, cancelled = 0, False
        for rows, count in self._chunks(n, batch, target, rng):
            if stop():
                cancelled = True
                break
            if not self._advance(X[rows], y[rows], batch):
                return FitReport(nan, n, steps, cancelled)
            steps += count
        return FitReport(evaluate(self, X, y)["loss"] if steps else nan, n, steps, cancelled)

    def _chunks(self, n: int, batch: int, target: int, rng: np.random.Generator) -> Iterator[tuple[Array, int]]:
        """Row indices for one `partial_fit` after the other, with the mini-batches in each; none spans two epochs."""
        chunk = max(1, CHUNK // batch) * batch
        while target > 0:
            order = rng.permutation(n) if self._given.shuffle else np.arange(n)
            order = order[: target * batch]
            target -= ceil(len(order) / batch)
            for start in range(0, len(order), chunk):
                rows = order[start : start + chunk]
                yield rows, ceil(len(rows) / batch)

    def predict(self, X: Array) -> Array:
        """Class indices (int64), or targets, one a row."""
        with np.errstate(all="ignore"):
            found = self._working.predict(checked_inputs(X, self._working.n_features_in_, self.dtype))
        return np.asarray(found, np.int64 if self.classifies else np.float64)

    def probabilities(self, X: Array) -> Array | None:
        """(n, C) class probabilities; None for regression, and for losses such as hinge that have none."""
        if not hasattr(self._working, "predict_proba"):
            return None
        with np.errstate(all="ignore"):
            return np.asarray(self._working.predict_proba(checked_inputs(X, self._working.n_features_in_, self.dtype)))

    def carry(self, *, moments: bool = True) -> dict[str, Array]:  # noqa: ARG002
        """Copy what training carries from round to round. See `Model.carry`."""
        return {}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Put back what `carry` gave."""

    def _checked(self, X: Array, y: Array) -> tuple[Array, Array]:
        self.layout  # noqa: B018 - says that build() is missing
        X = checked_inputs(X, self._working.n_features_in_, self.dtype)
        return X, checked_targets(y, len(X), self._n_classes, self.dtype)

    def _refuse(self, work: LocalWork, correction: Vector | None) -> None:
        """Raise LocalUnsupported for what this estimator's training cannot do."""
        asked = {"proximal": work.proximal > 0, "correction": correction is not None}
        for name, wanted in asked.items():
            if wanted and name not in self.allows:
                raise LocalUnsupported(type(self._given).__name__, self._why(name))

    def _why(self, name: str) -> str:
        return f"its training cannot take a {name} term"

    def _first_row(self, n_features: int) -> None:
        """Let the estimator see one row of zeros, so that it makes its arrays for all classes."""
        row = np.zeros((1, n_features))
        if self._n_classes is None:
            self._working.partial_fit(row, np.zeros(1))
        else:
            self._working.partial_fit(row, np.zeros(1, np.int64), classes=np.arange(self._n_classes))

    def _advance(self, X: Array, y: Array, batch: int) -> bool:  # noqa: ARG002
        """One `partial_fit`. False if the estimator diverged: its weights are then NaN, for every receiver to see."""
        try:
            with np.errstate(all="ignore"):
                self._working.partial_fit(X, y)
        except ValueError as error:
            if "overflow" not in str(error) and "non-finite" not in str(error):
                raise
            self._assign({name: np.full_like(array, nan) for name, array in self._arrays().items()})
            return False
        return True

    def _prepare(self, n_features: int, rng: np.random.Generator) -> None:
        raise NotImplementedError

    def _arrays(self) -> dict[str, Array]:
        raise NotImplementedError

    def _assign(self, arrays: dict[str, Array]) -> None:
        raise NotImplementedError

    def _forget(self) -> None:
        """Reset the optimizer's memory."""


class LinearAdapter(Adapter):
    """Estimators with `coef_` and `intercept_`: one row for two classes, as scikit-learn has it, else one a class."""

    def _arrays(self) -> dict[str, Array]:
        return {"coef": self._working.coef_, "intercept": self._working.intercept_}

    def _assign(self, arrays: dict[str, Array]) -> None:
        self._working.coef_, self._working.intercept_ = arrays["coef"], arrays["intercept"]


class MLPAdapter(Adapter):
    """MLPClassifier and MLPRegressor: the same layout, start and batches as the house's own MLP of float64."""

    def _prepare(self, n_features: int, rng: np.random.Generator) -> None:
        working = self._working
        working.shuffle, working.batch_size = False, 1
        self._first_row(n_features)
        for W, b in zip(working.coefs_, working.intercepts_, strict=True):
            bound = sqrt((2 if working.activation == "logistic" else 6) / sum(W.shape))
            W[:] = rng.uniform(-bound, bound, W.shape)
            b[:] = rng.uniform(-bound, bound, b.shape)
        working.t_ = 0
        self._forget()

    def _arrays(self) -> dict[str, Array]:
        weights = {f"weight.{i}": W for i, W in enumerate(self._working.coefs_)}
        return weights | {f"bias.{i}": b for i, b in enumerate(self._working.intercepts_)}

    def _assign(self, arrays: dict[str, Array]) -> None:
        depth = len(self._working.coefs_)
        self._working.coefs_ = [arrays[f"weight.{i}"] for i in range(depth)]
        self._working.intercepts_ = [arrays[f"bias.{i}"] for i in range(depth)]

    def _advance(self, X: Array, y: Array, batch: int) -> bool:
        self._working.batch_size = min(batch, len(X))
        return super()._advance(X, y, batch)

    def _moments(self) -> dict[str, list[Array]]:
        optimizer = self._working._optimizer  # noqa: SLF001 - there is no public way to its memory
        names = ("ms", "vs") if self._working.solver == "adam" else ("velocities",)
        return {name: getattr(optimizer, name) for name in names}

    def _forget(self) -> None:
        optimizer = self._working._optimizer  # noqa: SLF001
        for arrays in self._moments().values():
            for array in arrays:
                array.fill(0)
        optimizer.learning_rate = float(self._working.learning_rate_init)
        if self._working.solver == "adam":
            optimizer.t = 0

    def carry(self, *, moments: bool = True) -> dict[str, Array]:  # noqa: ARG002
        """The optimizer's moments, its step count and rate, and the schedule's clock: one cannot be put back alone."""
        optimizer = self._working._optimizer  # noqa: SLF001
        clock = [float(self._working.t_), float(optimizer.learning_rate), float(getattr(optimizer, "t", 0))]
        flat = {name: np.concatenate([a.ravel() for a in arrays]) for name, arrays in self._moments().items()}
        return flat | {"clock": np.array(clock)}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Put back what `carry` gave. Raises ValueError if it does not fit."""
        optimizer = self._working._optimizer  # noqa: SLF001
        for name, arrays in self._moments().items():
            if name not in state or state[name].shape != (self.layout.size,):
                raise ValueError(f"optimizer state {name!r} is missing, or not of shape ({self.layout.size},)")
            start = 0
            for array in arrays:
                array[:] = state[name][start : start + array.size].reshape(array.shape)
                start += array.size
        self._working.t_ = int(state["clock"][0])
        optimizer.learning_rate = float(state["clock"][1])
        if self._working.solver == "adam":
            optimizer.t = int(state["clock"][2])


class MLPRegressorAdapter(MLPAdapter):
    """MLPRegressor."""

    classifies = False


class LogisticAdapter(LinearAdapter):
    """LogisticRegression: `epochs` (or `local_steps`) are iterations of its solver from the weights as they are.

    It has no partial_fit, so a fit goes from `coef_` by warm_start. It takes its classes from y: one row of zeros for
    each class, of weight zero, makes it see them all and changes nothing else. Stopping is asked for once, before.
    """

    def _prepare(self, n_features: int, rng: np.random.Generator) -> None:  # noqa: ARG002
        assert self._n_classes is not None  # noqa: S101 - build() has checked that it classifies
        rows = 1 if self._n_classes == 2 else self._n_classes
        self._working.warm_start = True
        self._working.n_features_in_, self._working.classes_ = n_features, np.arange(self._n_classes)
        self._assign({"coef": np.zeros((rows, n_features)), "intercept": np.zeros(rows)})

    def fit(
        self,
        X: Array,
        y: Array,
        work: LocalWork,
        rng: np.random.Generator,
        stop: Callable[[], bool],
        correction: Vector | None = None,
    ) -> FitReport:
        """Iterate the solver from the weights as they are. See `Model.fit`."""
        from sklearn.exceptions import ConvergenceWarning

        self._refuse(work, correction)
        X, y = self._checked(X, y)
        iterations = work.epochs if work.local_steps is None else work.local_steps
        if iterations == 0 or stop():
            return FitReport(nan, len(X), 0, iterations > 0)
        classes = np.arange(self._n_classes or 0)
        present = np.concatenate([np.ones(len(X)), np.zeros(len(classes))])
        self._working.max_iter = iterations
        self._working.random_state = int(rng.integers(2**31))  # the stochastic solvers draw from it
        # The filters of `warnings` belong to the whole process: one thread at a time may change them.
        with _warnings_lock, warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore", ConvergenceWarning)  # stopping early is the point
            X_all, y_all = np.concatenate([X, np.zeros((len(classes), X.shape[1]))]), np.concatenate([y, classes])
            self._working.fit(X_all, y_all, sample_weight=present)
        steps = int(np.max(self._working.n_iter_))
        return FitReport(evaluate(self, X, y)["loss"], len(X), steps, False)


def _plain(value: Any) -> Any:
    """A parameter's value as JSON can hold it."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"a parameter of type {type(value).__name__} cannot be written to a file")
