"""Bases for families of models: all that the Model protocol asks for, but the arithmetic of one family."""

import math
from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from .checks import checked_inputs, checked_targets, checked_weights
from .data.prepared import PreparedRows, fetched
from .model import Capability, Dtype, FitReport, LocalUnsupported, LocalWork
from .new_vector import laid_out
from .weights import Array, Layout, Vector

NO_WEIGHTS = "its training takes no sample_weight, and so neither data.weight nor training.class_weight"


class FitJob(NamedTuple):
    """The checked arguments of a `fit`."""

    X: Array  # or `PreparedRows`, of a model that trains in batches
    y: Array
    work: LocalWork
    rng: np.random.Generator
    stop: Callable[[], bool]
    correction: Vector | None
    sample_weight: Array | None = None  # (n,), float64 above 0; None where all rows count the same


class ModelBase:
    """What every family shares: the layout, and the checks before `fit`. A family defines `run`."""

    name: str
    """For messages."""

    classifies: bool | None = None
    capabilities: frozenset[Capability] = frozenset()
    condition: ClassVar[str] = ""
    """In words, the settings under which an instance has the capabilities of its class; empty: always."""

    unconditional: ClassVar[frozenset[Capability]] = frozenset()
    """Those that it has whatever the settings."""

    in_batches: ClassVar[bool] = False
    """Whether `fit` asks for some rows at a time, and so takes those that stay on disk, `PreparedRows`."""

    dtype: Dtype = "float32"
    n_features = 0
    n_classes: int | None = None
    _layout: Layout | None = None

    @property
    def layout(self) -> Layout:
        """Names, shapes and order of the arrays in the flat vector. Raises RuntimeError before `build`."""
        if self._layout is None:
            raise RuntimeError("the model is not built yet: call build() first")
        return self._layout

    def probabilities(self, X: Array) -> Array | None:  # noqa: ARG002
        """Return class probabilities, shape (n, n_classes); here None: there are none."""
        return None

    def get_state(self, *, moments: bool = True) -> dict[str, Array]:  # noqa: ARG002
        """Return what training carries from round to round; here nothing."""
        return {}

    def set_state(self, state: Mapping[str, Array]) -> None:
        """Put back what `get_state` returned."""

    @property
    def runs_foreign_code(self) -> bool:
        """Whether training runs code that neither this package nor scikit-learn brings, and that may do anything."""
        return not type(self).__module__.startswith(f"{__package__}.")

    def set_task(self, n_features: int, n_classes: int | None) -> None:
        """Keep the number of columns and classes; ValueError for a task that this family cannot learn."""
        if n_features < 1:
            raise ValueError(f"n_features is {n_features}; at least 1 is needed")
        if self.classifies is not None and self.classifies != (n_classes is not None):
            kind, task = ("classifier", "a number") if self.classifies else ("regressor", "a class")
            raise ValueError(f"{self.name} is a {kind}, but the target is {task}")
        if n_classes is not None and n_classes < 2:
            raise ValueError(f"n_classes is {n_classes}; a classifier needs at least 2")
        self.n_features, self.n_classes = n_features, n_classes

    def fit(
        self,
        X: Array,
        y: Array,
        work: LocalWork,
        rng: np.random.Generator,
        stop: Callable[[], bool],
        correction: Vector | None = None,
        sample_weight: Array | None = None,
    ) -> FitReport:
        asked: dict[Capability, bool] = {
            "proximal": work.proximal > 0,
            "correction": correction is not None,
            "sample_weight": sample_weight is not None,
        }
        for capability, wanted in asked.items():
            if wanted and capability not in self.capabilities:
                raise LocalUnsupported(self.name, self.why_not(capability))
        X = self.checked(X)
        y = checked_targets(y, len(X), self.n_classes, self.dtype)
        if correction is not None:
            self.layout.check(correction)
        weight = None if sample_weight is None else checked_weights(sample_weight, len(X))
        return self.run(FitJob(X, y, work, rng, stop, correction, weight))

    def run(self, job: FitJob) -> FitReport:
        raise NotImplementedError

    def checked(self, X: Array) -> Array:
        """Return inputs as a C-ordered array of `dtype`; ValueError unless they are (rows, n_features) and finite.

        Rows that stay on disk were checked as they were written.
        """
        self.layout  # noqa: B018 - raises before build()
        if isinstance(X, PreparedRows):
            if X.shape[1] != self.n_features or X.dtype != self.dtype or not self.in_batches:
                raise ValueError(f"{self.name} does not take {X.dtype} rows of shape {X.shape} from disk")
            return X
        return checked_inputs(X, self.n_features, self.dtype)

    def why_not(self, capability: Capability) -> str:
        """Return why `fit` lacks a capability."""
        if capability == "sample_weight":
            return NO_WEIGHTS
        return f"its training cannot take a {capability} term"


class FlatModel(ModelBase):
    """A model on one flat vector, trained by mini-batches. A family sets `name` and defines `shapes` and `step`.
    One that has a `run` of its own says whether it trains `in_batches`.

    `name` is the one that experiment files use. From `build` on `weights`, a (size,) array of `dtype`, holds all
    parameters, and `arrays` has views of it by name, in the shapes that `shapes` returned.
    """

    weights: Vector
    arrays: dict[str, Vector]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "in_batches" not in vars(cls):
            cls.in_batches = cls.run is FlatModel.run

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> Self:
        """Return a model made from an experiment's parameters. Raises ValueError for a wrong one, naming it."""
        allowed = list(signature(cls).parameters)
        for name in parameters:
            if name not in allowed:
                raise ValueError(f"{cls.name} has no parameter {name!r}; allowed are {', '.join(allowed)}")
        try:
            return cls(**parameters)
        except TypeError as error:
            raise ValueError(str(error)) from error

    def __repr__(self) -> str:
        chosen = ", ".join(f"{p}={getattr(self, p, ...)!r}" for p in signature(type(self)).parameters)
        return f"{type(self).__name__}({chosen})"

    def describe(self) -> dict[str, Any]:
        """Return name and hyper-parameters, read from the attributes that bear their names."""
        return {"name": self.name, "parameters": {p: plain(getattr(self, p)) for p in signature(type(self)).parameters}}

    def shapes(self, n_features: int, n_classes: int | None) -> dict[str, tuple[int, ...]]:
        """Return the shape of each array by name, in the vector's order."""
        raise NotImplementedError

    def initialize(self, rng: np.random.Generator) -> None:
        """Set the first values of the weights, which are zero, and of what training carries."""

    def step(self, X: Array, y: Array) -> float:
        """Move the weights by one mini-batch; return the loss before, summed over its rows.

        `X` has the shape (rows, n_features), `y` (rows,): class indices or targets, as `Model.fit` takes them.
        """
        raise NotImplementedError

    def build(self, n_features: int, n_classes: int | None, rng: np.random.Generator) -> Layout:
        self.set_task(n_features, n_classes)
        shapes = self.shapes(n_features, n_classes)
        self._layout = Layout(tuple(shapes), tuple(shapes.values()), self.dtype)
        self.weights = np.zeros(self._layout.size, self.dtype)
        self.arrays = self._layout.views(self.weights)
        self.initialize(rng)
        return self._layout

    def get_weights(self) -> Vector:
        self.layout  # noqa: B018 - raises before build()
        return laid_out([self.weights])

    def set_weights(self, vector: Vector) -> None:
        self.layout.check(vector)
        self.weights[:] = vector

    def run(self, job: FitJob) -> FitReport:
        X, y, work, rng, stop, *_ = job
        n, rows, target = len(X), min(work.batch_size, len(X)), work.steps(len(X))
        steps, losses, cancelled = 0, 0.0, False
        with np.errstate(all="ignore"):  # a diverging model shows in its weights, which every receiver checks
            while steps < target and not cancelled:
                order, losses = rng.permutation(n)[: (target - steps) * rows], 0.0
                for batch, inputs in fetched(X, (order[i : i + rows] for i in range(0, len(order), rows))):
                    if cancelled := stop():
                        break
                    losses += self.step(inputs, y[batch]) / n
                    steps += 1
        return FitReport(losses if steps else math.nan, n, steps, cancelled)


def plain(value: Any) -> Any:
    """Return a parameter's value as JSON can hold it, infinity as text. Raises ValueError for what it cannot."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, float) and math.isinf(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"a parameter of type {type(value).__name__} cannot be written to a file")
