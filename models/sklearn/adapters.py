"""The base of every adapter: a scikit-learn estimator behind the `Model` protocol.

An adapter works on a private clone. What scikit-learn would decide from the data of one node - the classes, the width,
the order of the batches - it decides from what all nodes agreed on, so that their weights line up:

- every node's estimator knows all classes, whichever its rows hold;
- rows are permuted by the generator given to `fit`, never by the estimator's own random_state, which repeats itself;
- weights are copied in, so that what arrives read-only, or is still being sent, is never trained on in place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from inspect import signature
from math import nan
from typing import Any

import numpy as np

from ..base import FitJob, ModelBase, plain
from ..data.prepared import fetched
from ..evaluate import evaluate
from ..model import Dtype, FitReport
from ..new_vector import laid_out
from ..weights import Array, Layout, Vector

CHUNK = 4096
"""Rows handed to one `partial_fit`: its overhead is that of many steps, and a fit can be stopped only between two."""


class Adapter(ModelBase):
    """A scikit-learn estimator as a model. A family defines how to prepare, read and write the estimator's arrays.

    It trains through `partial_fit`; a family whose estimator has none defines `run` too. Weights are float64, as
    scikit-learn's estimators are by default.

    `given` is the user's estimator, `path` its import path, the name that experiment files use; from `build` on
    `working` is the clone that trains.
    """

    classifies: bool | None = True
    in_batches = True
    dtype: Dtype = "float64"

    @classmethod
    def with_parameters(cls, parameters: Mapping[str, Any]) -> type[Adapter]:  # noqa: ARG003
        """Return the family of an estimator with these parameters, where they decide between two; else this one."""
        return cls

    def __init__(self, given: Any, path: str) -> None:
        self.given, self.name = given, type(given).__name__
        self.path = path
        self.working: Any = None

    def prepare(self, n_features: int, rng: np.random.Generator) -> None:
        """Make the arrays of `working` for `n_features` columns and `n_classes`, and set their first values."""
        raise NotImplementedError

    def read(self) -> dict[str, Array]:
        """Return the arrays of `working` by name, in the vector's order."""
        raise NotImplementedError

    def write(self, arrays: dict[str, Array]) -> None:
        """Put arrays, by the names that `read` gives, into `working`."""
        raise NotImplementedError

    def forget(self) -> None:
        """Reset the optimizer's memory."""

    @property
    def estimator(self) -> Any:
        """A fitted copy with the user's own parameters; its `classes_` are indices, for the caller to replace."""
        self.layout  # noqa: B018 - raises before build()
        exported = deepcopy(self.working)
        for name, value in self.given.get_params(deep=False).items():
            setattr(exported, name, value)
        return exported

    @property
    def runs_foreign_code(self) -> bool:
        parts = (self.given, *self.given.get_params().values())  # those of the estimators within it, too
        brought = {str(getattr(part, "__module__", None) or "builtins").partition(".")[0] for part in parts}
        return super().runs_foreign_code or not brought <= {"sklearn", "numpy", "builtins"}

    def describe(self) -> dict[str, Any]:
        """Return import path and parameters, but not random_state: the run's seed addresses what is random."""
        parameters = {k: plain(v) for k, v in self.given.get_params(deep=False).items() if k != "random_state"}
        return {"name": self.path, "parameters": parameters}

    def chosen_parameters(self) -> dict[str, Any]:
        """Return those of `describe`'s parameters that are not the defaults of the estimator's class.

        Which parameters there are, and how a default is spelled, differs from one release of scikit-learn to the next.
        """
        known = signature(type(self.given)).parameters.values()
        defaults = {each.name: plain(each.default) for each in known if each.default is not each.empty}
        parameters: dict[str, Any] = self.describe()["parameters"]
        return {key: value for key, value in parameters.items() if key not in defaults or value != defaults[key]}

    def build(self, n_features: int, n_classes: int | None, rng: np.random.Generator) -> Layout:
        from sklearn.base import clone

        self.set_task(n_features, n_classes)
        self.working = clone(self.given)
        if hasattr(self.working, "random_state"):  # nothing depends on it, and the program's own draws are not ours
            self.working.random_state = np.random.RandomState(0)
        self.prepare(n_features, rng)
        arrays = self.read()
        self._layout = Layout(tuple(arrays), tuple(array.shape for array in arrays.values()), self.dtype)
        return self._layout

    def get_weights(self) -> Vector:
        self.layout  # noqa: B018 - raises before build()
        return laid_out(list(self.read().values()))

    def set_weights(self, vector: Vector) -> None:
        self.layout.check(vector)
        self.write({name: view.copy() for name, view in self.layout.views(vector).items()})

    def run(self, job: FitJob) -> FitReport:
        X, y, work, rng, stop, _, weight = job
        n, batch, target = len(X), min(work.batch_size, len(X)), work.steps(len(X))
        if not work.carry_optimizer:
            self.forget()
        steps, cancelled = 0, False
        counts: list[int] = []

        def pieces() -> Iterator[Array]:
            for rows, count in self.chunks(n, batch, target, rng):
                counts.append(count)
                yield rows

        for place, (rows, inputs) in enumerate(fetched(X, pieces())):
            if stop():
                cancelled = True
                break
            own = {} if weight is None else {"sample_weight": weight[rows]}
            if not self.advance(inputs, y[rows], batch, **own):
                return FitReport(nan, n, steps, cancelled)
            steps += counts[place]
        loss = evaluate(self, X, y, sample_weight=weight)["loss"] if steps else nan
        return FitReport(loss, n, steps, cancelled)

    def chunks(self, n: int, batch: int, target: int, rng: np.random.Generator) -> Iterator[tuple[Array, int]]:
        """Yield the row indices of one `partial_fit` after another, with their mini-batches; none spans two epochs."""
        chunk = max(1, CHUNK // batch) * batch
        while target > 0:
            order = rng.permutation(n) if self.given.shuffle else np.arange(n)
            order = order[: target * batch]
            target -= -(-len(order) // batch)
            for start in range(0, len(order), chunk):
                rows = order[start : start + chunk]
                yield rows, -(-len(rows) // batch)

    def advance(self, X: Array, y: Array, batch: int, **weights: Array) -> bool:  # noqa: ARG002
        """Do one `partial_fit`; False if the estimator diverged: every receiver then sees weights that are NaN."""
        from sklearn import config_context

        try:
            # Its parameters were checked as its arrays were made, and `fit` has checked the rows.
            with np.errstate(all="ignore"), config_context(assume_finite=True, skip_parameter_validation=True):
                self.working.partial_fit(X, y, **weights)
        except ValueError as error:
            if "overflow" not in str(error) and "non-finite" not in str(error):
                raise
            self.write({name: np.full_like(array, nan) for name, array in self.read().items()})
            return False
        return True

    def predict(self, X: Array) -> Array:
        """Return class indices (int64), or targets, one a row."""
        with np.errstate(all="ignore"):
            found = self.working.predict(self.checked(X))
        return np.asarray(found, np.int64 if self.classifies else np.float64)

    def probabilities(self, X: Array) -> Array | None:
        """Return class probabilities; None for regression, and for losses such as hinge that have none."""
        if not hasattr(self.working, "predict_proba"):
            return None
        with np.errstate(all="ignore"):
            found: Array = np.asarray(self.working.predict_proba(self.checked(X)))
        return found

    def see_one_row(self) -> None:
        """Show `working` one row of zeros, so that it makes its arrays for all classes."""
        row = np.zeros((1, self.n_features))
        if self.n_classes is None:
            self.working.partial_fit(row, np.zeros(1))
        else:
            self.working.partial_fit(row, np.zeros(1, np.int64), classes=np.arange(self.n_classes))


_PREPARED: dict[tuple[Any, ...], Any] = {}
"""Estimators with their arrays, by class, shape and parameters: a `partial_fit` of ten classes takes milliseconds."""

MOST_PREPARED = 16


class LinearAdapter(Adapter):
    """Estimators with `coef_` and `intercept_`: one row for two classes, as scikit-learn has it, else one a class."""

    def prepare(self, n_features: int, rng: np.random.Generator) -> None:
        """Make the arrays, all zero; as a copy where another site of this process has made such before."""
        parameters = {name: repr(value) for name, value in self.given.get_params(deep=False).items()}
        key = (type(self.given), n_features, self.n_classes, *sorted(parameters.items()))
        if key not in _PREPARED:
            self._make(n_features, rng)
            if len(_PREPARED) >= MOST_PREPARED:
                _PREPARED.clear()
            _PREPARED[key] = deepcopy(self.working)
            return
        self.working = deepcopy(_PREPARED[key])

    def _make(self, n_features: int, rng: np.random.Generator) -> None:  # noqa: ARG002
        self.working.shuffle = False
        self.see_one_row()
        self.write({name: np.zeros_like(array) for name, array in self.read().items()})

    def read(self) -> dict[str, Array]:
        return {"coef": self.working.coef_, "intercept": self.working.intercept_}

    def write(self, arrays: dict[str, Array]) -> None:
        self.working.coef_, self.working.intercept_ = arrays["coef"], arrays["intercept"]

    def predict(self, X: Array) -> Array:
        """Return class indices (int64), or targets, one a row: scikit-learn's own product, without its checks, which
        take several times as long on the few rows of a site.
        """
        X = self.checked(X)
        with np.errstate(all="ignore"):
            found = X @ self.working.coef_.T + self.working.intercept_
        if self.n_classes is None:
            return np.asarray(found, np.float64).ravel()
        return np.asarray(found.argmax(axis=1) if found.shape[1] > 1 else found.ravel() > 0, np.int64)

    def probabilities(self, X: Array) -> Array | None:
        found = super().probabilities(X)
        lost = None if found is None else np.isnan(found).any(axis=1)
        if found is None or lost is None or not lost.any():
            return found
        # One class against the rest: where none is likelier than zero, scikit-learn before 1.9 divides by zero, and
        # later ones say that all are alike. Of a model that has diverged, no row has finite decision values.
        with np.errstate(all="ignore"):
            decisions = np.asarray(self.working.decision_function(self.checked(X))).reshape(len(found), -1)
        found[lost & np.isfinite(decisions).all(axis=1)] = 1 / found.shape[1]
        return found
