"""What every model is to the rest of the house: weights in, training, weights out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any, Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from .weights import Layout, Vector

Array = NDArray[Any]

Capability = Literal["proximal", "correction", "normalizer"]

MERGEABLE = "MLP, MLPClassifier, MLPRegressor, SGDClassifier, SGDRegressor, LogisticRegression"

CORRECTABLE = "MLP, and SGDClassifier and SGDRegressor with learning_rate constant, invscaling or optimal"


class CannotMerge(TypeError):
    """A model whose copies cannot be averaged. The message lists what works."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what} cannot be averaged: {why}. Models that can: {MERGEABLE}")


class LocalUnsupported(TypeError):
    """A model whose training cannot be corrected as a strategy asks. The message lists what works."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}. Models that can: {CORRECTABLE}")


@dataclass(frozen=True)
class LocalWork:
    """How much to train in one round.

    Attributes
    ----------
    epochs : int
        Passes over the node's rows. Ignored where `local_steps` is given.
    local_steps : int or None
        Mini-batches instead of epochs.
    batch_size : int
        Rows a mini-batch; the last of an epoch may be smaller.
    carry_optimizer : bool
        Keep momentum or moments from the round before instead of starting from zero.
    proximal : float
        μ of FedProx (Li et al. 2020, arXiv 1812.06127, equation 2): the objective gains μ/2 ||w - w_start||², w_start
        the weights at the start of the fit, and so every gradient μ (w - w_start).
    """

    epochs: int = 5
    local_steps: int | None = None
    batch_size: int = 16
    carry_optimizer: bool = False
    proximal: float = 0.0

    def __post_init__(self) -> None:
        if self.epochs < 0 or self.batch_size < 1 or (self.local_steps is not None and self.local_steps < 0):
            raise ValueError(f"epochs and local_steps must not be negative, batch_size at least 1: {self}")
        if not (isfinite(self.proximal) and self.proximal >= 0):
            raise ValueError(f"proximal must be a number of at least 0, found {self.proximal}")


@dataclass(frozen=True)
class FitReport:
    """What one round of training did.

    Attributes
    ----------
    loss : float
        Mean training loss over the last epoch as it ran (without the L2 term); NaN if no step was taken.
    examples : int
        Rows that took part: the weight of this update in an average.
    steps : int
        Mini-batches done.
    cancelled : bool
        Whether `stop` ended it early.
    normalizer : float or None
        How far the steps reach, in units of `rate` (see `normalize`): a gradient g that stayed the same would have
        moved the weights by ``-normalizer · rate · g``. None where that is not so for any g, as for Adam.
    rate : float
        The learning rate that belongs to it, the same on every node.
    """

    loss: float
    examples: int
    steps: int
    cancelled: bool
    normalizer: float | None = None
    rate: float = nan


class Model(Protocol):
    """A model whose copies can be merged. It sees prepared arrays only: scaled inputs, classes as indices.

    `build` comes first and settles the layout; then `snapshot`, `load`, `fit` and the rest may be called in any order.
    """

    rule: str
    """How copies merge: a name in `aggregate.RULES`."""

    @property
    def dtype(self) -> Literal["float32", "float64"]:
        """Of the weights, and of the inputs that `fit` and `predict` want."""
        ...

    @property
    def layout(self) -> Layout:
        """What stands where in the flat vector. Raises RuntimeError before `build`."""
        ...

    def build(self, n_features: int, n_classes: int | None, rng: np.random.Generator) -> Layout:
        """Make the weights for a task (`n_classes` None: regression), drawing their first values from `rng`."""
        ...

    def snapshot(self) -> Vector:
        """Copy the weights into a new flat vector."""
        ...

    def load(self, vector: Vector) -> None:
        """Copy a flat vector, which may be read-only, into the weights. Raises IncompatibleWeights."""
        ...

    @property
    def allows(self) -> frozenset[Capability]:
        """What `fit` can do on top of plain training: `LocalWork.proximal`, `correction`, `FitReport.normalizer`.

        A model without this attribute allows nothing.
        """
        ...

    def fit(
        self,
        X: Array,
        y: Array,
        work: LocalWork,
        rng: np.random.Generator,
        stop: Callable[[], bool],
        correction: Vector | None = None,
    ) -> FitReport:
        """Train in place from the weights as they are, asking `stop` before each mini-batch.

        Parameters
        ----------
        X : (n, n_features) array of `dtype`
        y : (n,) array
            int64 class indices, or float targets.
        work : Work
        rng : numpy.random.Generator
            Orders the batches.
        stop : callable
            Returns true when training should end where it is.
        correction : (size,) array of `dtype`, or None
            Added to the gradient of every step: c - c_i of SCAFFOLD (Karimireddy et al. 2020, arXiv 1910.06378,
            algorithm 1, line 10). Momentum and moments are of the corrected gradient.

        Raises
        ------
        LocalUnsupported
            `LocalWork.proximal` or `correction` is asked of a model that cannot do it.
        """
        ...

    def predict(self, X: Array) -> Array:
        """Class indices (int64) or targets, one a row."""
        ...

    def probabilities(self, X: Array) -> Array | None:
        """(n, C) class probabilities; None for a model that has none."""
        ...

    def carry(self, *, moments: bool = True) -> dict[str, Array]:
        """Copy what training carries from round to round, for a checkpoint.

        Without `moments` only what it carries even where `LocalWork.carry_optimizer` is not set, such as a schedule's
        clock.
        """
        ...

    def restore(self, state: Mapping[str, Array]) -> None:
        """Put back what `carry` gave."""
        ...

    def describe(self) -> dict[str, Any]:
        """Name and hyper-parameters, JSON-able: `rebuild` makes the same model of it."""
        ...


def as_model(obj: object) -> Model:
    """Take a model as it is, or adapt a scikit-learn estimator.

    Raises
    ------
    CannotMerge
        Copies of it cannot be averaged, or it is no estimator at all.
    """
    # Asked of the class: on an instance `layout` is a property that raises before `build`.
    if all(hasattr(type(obj), name) for name in ("build", "snapshot", "load", "fit", "describe")):
        return cast(Model, obj)
    if isinstance(obj, type):
        raise CannotMerge(f"the class {obj.__name__}", f"an instance is wanted: {obj.__name__}()")
    if not hasattr(obj, "get_params"):
        raise CannotMerge(type(obj).__name__, "it is neither a Model nor a scikit-learn estimator")
    from .sklearn.estimators import adapt

    return adapt(obj)


def named_model(name: str, parameters: Mapping[str, Any]) -> Model:
    """Make a model from its name in an experiment file.

    Parameters
    ----------
    name : str
        ``"mlp"``, ``"pegasos"``, or an import path such as ``"sklearn.linear_model.SGDClassifier"``.
    parameters : mapping
        Keyword arguments of its constructor.

    Raises
    ------
    ValueError
        Unknown name or parameter, naming it and what is allowed.
    CannotMerge
        Copies of that estimator cannot be averaged.
    """
    if name == "mlp":
        from .mlp.mlp import MLP

        return MLP.from_parameters(parameters)
    if name == "pegasos":
        from .pegasos import Pegasos

        return Pegasos.from_parameters(parameters)
    if name.startswith("sklearn."):
        from .sklearn.estimators import adapt, imported

        return adapt(imported(name, parameters))
    raise ValueError(
        f"unknown model {name!r}; allowed are mlp, pegasos, and import paths that start with sklearn., such as "
        "sklearn.linear_model.SGDClassifier"
    )


def rebuild(description: Mapping[str, Any]) -> Model:
    """Make the model that `Model.describe` described; weights come separately. Runs no code from the description."""
    try:
        name, parameters = description["name"], description["parameters"]
    except (KeyError, TypeError) as error:
        raise ValueError("a model's description needs the keys name and parameters") from error
    return named_model(str(name), parameters)
