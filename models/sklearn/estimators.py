"""Which scikit-learn estimators can learn together, and what to tell who brings another."""

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from inspect import isclass, signature
from typing import Any

from ..model import CannotMerge
from .adapters import Adapter, LogisticAdapter, MLPAdapter, MLPRegressorAdapter
from .sgd import SGDAdapter, SGDRegressorAdapter

ADAPTERS: dict[str, type[Adapter]] = {
    "sklearn.linear_model.SGDClassifier": SGDAdapter,
    "sklearn.linear_model.SGDRegressor": SGDRegressorAdapter,
    "sklearn.linear_model.LogisticRegression": LogisticAdapter,
    "sklearn.neural_network.MLPClassifier": MLPAdapter,
    "sklearn.neural_network.MLPRegressor": MLPRegressorAdapter,
}

_SUPPORT = "its support vectors are each node's own rows, and those of two nodes do not line up"
_TREES = "two trees have no parameters that line up"
_INSTEAD = {
    "LinearSVC": 'it has neither warm_start nor partial_fit; SGDClassifier(loss="hinge") is the same model and can',
    "LinearSVR": 'it has no partial_fit; SGDRegressor(loss="epsilon_insensitive") is the same model and can',
    "SVC": f'{_SUPPORT}; SGDClassifier(loss="hinge") is its linear kin',
    "NuSVC": f'{_SUPPORT}; SGDClassifier(loss="hinge") is its linear kin',
    "SVR": f'{_SUPPORT}; SGDRegressor(loss="epsilon_insensitive") is its linear kin',
    "NuSVR": f'{_SUPPORT}; SGDRegressor(loss="epsilon_insensitive") is its linear kin',
    "BaseForest": _TREES,
    "BaseDecisionTree": _TREES,
    "BaseGradientBoosting": _TREES,
    "BaseHistGradientBoosting": _TREES,
    "NeighborsBase": "its parameters are each node's own rows",
    "Pipeline": "it has no partial_fit; give its last step alone, since inputs are standardized over all nodes anyway",
    "Perceptron": 'it is not adapted; SGDClassifier(loss="perceptron", learning_rate="constant", eta0=1, penalty=None) '
    "is the same model and is",
    "PassiveAggressiveClassifier": 'scikit-learn removes it in 1.10; SGDClassifier(learning_rate="pa1") replaces it',
    "PassiveAggressiveRegressor": 'scikit-learn removes it in 1.10; SGDRegressor(learning_rate="pa1") replaces it',
}


def adapt(estimator: Any) -> Adapter:
    """Put a scikit-learn estimator behind the `Model` protocol.

    Raises
    ------
    CannotMerge
        Copies of this estimator, or with these settings, cannot be averaged. Says why and lists what works.
    ValueError
        A parameter's value that scikit-learn does not allow.
    """
    ancestors = [ancestor.__name__ for ancestor in type(estimator).__mro__]
    for path, adapter in ADAPTERS.items():
        if path.rpartition(".")[2] in ancestors:
            _check_settings(estimator, type(estimator).__name__)
            own = type(estimator)
            public = path if own.__module__.startswith("sklearn.") else f"{own.__module__}.{own.__qualname__}"
            return adapter(estimator, public)
    why = next((_INSTEAD[name] for name in ancestors if name in _INSTEAD), "its fitted state has no meaningful mean")
    raise CannotMerge(type(estimator).__name__, why)


def imported(path: str, parameters: Mapping[str, Any]) -> Any:
    """Make a scikit-learn estimator from its import path and parameters. Only ``sklearn.`` paths are followed.

    Raises
    ------
    ValueError
        No such class, or a parameter it does not have; both name the near ones.
    """
    module, _, name = path.rpartition(".")
    parts = path.split(".")
    if parts[0] != "sklearn" or not all(part.isidentifier() and not part.startswith("_") for part in parts):
        raise ValueError(f"{path!r} is not an import path of scikit-learn, such as sklearn.linear_model.SGDClassifier")
    try:
        cls = getattr(import_module(module), name)
    except (ImportError, AttributeError):
        cls = None
    if not isclass(cls) or not hasattr(cls, "get_params"):
        near = get_close_matches(path, ADAPTERS, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"scikit-learn has no estimator {path}{hint}")
    allowed = list(signature(cls).parameters)
    for parameter in parameters:
        if parameter not in allowed:
            raise ValueError(f"{name} has no parameter {parameter!r}; allowed are {', '.join(allowed)}")
    try:
        return cls(**parameters)
    except TypeError as error:  # Pipeline() and other meta-estimators, which want their parts
        raise CannotMerge(name, str(error)) from error


def _check_settings(estimator: Any, name: str) -> None:
    """Refuse the settings under which an estimator that can be averaged no longer can."""
    # scikit-learn checks its parameters in fit, which here is after every process has been started.
    getattr(estimator, "_validate_params", lambda: None)()
    refused = {
        "average": "partial_fit goes on from its own running average and ignores the weights that arrive",
        "early_stopping": "partial_fit does not support it; the number of rounds is what stops the training",
        "class_weight": "classes are agreed by all nodes as indices, and balance would differ from node to node",
    }
    for parameter, why in refused.items():
        if getattr(estimator, parameter, None):
            raise CannotMerge(f"{name} with {parameter}={getattr(estimator, parameter)!r}", why)
    solver = getattr(estimator, "solver", None)
    if name.startswith("MLP") and solver == "lbfgs":
        raise CannotMerge(f"{name} with solver='lbfgs'", "it has no partial_fit; use solver='sgd' or 'adam'")
    if solver == "liblinear":
        raise CannotMerge(f"{name} with solver='liblinear'", "it starts from zero at every fit; use solver='lbfgs'")
