"""Families of models by name: the built-in ones, those of scikit-learn, and those of other installed packages.

Another package offers a family through the entry points `nervenet.models`. The entry's name is the name in experiment
files: a plain name for a class with `from_parameters` (`base.FlatModel` supplies it), or an estimator's import path for
a subclass of `sklearn.adapters.Adapter`. A family is imported when it is first named.
"""

from collections.abc import Mapping
from inspect import signature
from typing import Any, cast

from .model import CannotMerge, Capability, Model
from .plugins import Registry, lacks

FAMILIES: Registry[Any] = Registry(
    "family",
    "nervenet.models",
    {
        "mlp": "mlp.mlp:MLP",
        "pegasos": "pegasos:Pegasos",
        "sklearn.linear_model.SGDClassifier": "sklearn.sgd:SGDAdapter",
        "sklearn.linear_model.SGDRegressor": "sklearn.sgd:SGDRegressorAdapter",
        "sklearn.linear_model.LogisticRegression": "sklearn.logistic:LogisticAdapter",
        "sklearn.neural_network.MLPClassifier": "sklearn.mlp:MLPAdapter",
        "sklearn.neural_network.MLPRegressor": "sklearn.mlp:MLPRegressorAdapter",
    },
    package=__package__,
    check=lambda plugin: lacks(plugin, "build", "get_weights", "set_weights", "fit", "describe"),
)
"""The families by name, those of other packages last."""


def models_with(*capabilities: Capability) -> tuple[str, ...]:
    """Return the families that have these capabilities, each with the settings it has them under: for error texts."""
    able = []
    for name, cls in FAMILIES.items():
        if set(capabilities) <= getattr(cls, "capabilities", frozenset()):
            condition = getattr(cls, "condition", "")
            able.append(name.rpartition(".")[2] + (f" ({condition})" if condition else ""))
    return tuple(able)


def as_model(obj: object) -> Model:
    """Return a model as it is, or a scikit-learn estimator behind its adapter.

    Raises
    ------
    CannotMerge
        Copies of it, or with these settings, cannot be averaged, or it is no estimator at all.
    ValueError
        A parameter's value that scikit-learn does not allow.
    """
    # Asked of the class: on an instance `layout` is a property that raises before `build`.
    if all(hasattr(type(obj), name) for name in ("build", "get_weights", "set_weights", "fit", "describe")):
        return cast(Model, obj)
    if isinstance(obj, type):
        raise _cannot_merge(f"the class {obj.__name__}", f"an instance is wanted: {obj.__name__}()")
    if not hasattr(obj, "get_params"):
        raise _cannot_merge(type(obj).__name__, "it is neither a Model nor a scikit-learn estimator")
    from .sklearn.estimators import refused_setting, why_not

    own = type(obj)
    ancestors = {ancestor.__name__ for ancestor in own.__mro__}
    known = (name for names in (FAMILIES.builtin, FAMILIES) for name in names)  # the installed ones only at need
    path = next((name for name in known if "." in name and name.rpartition(".")[2] in ancestors), None)
    if path is None:
        raise _cannot_merge(own.__name__, why_not(obj))
    if refused := refused_setting(obj):
        raise _cannot_merge(*refused)
    same_package = own.__module__.partition(".")[0] == path.partition(".")[0]
    return cast(Model, FAMILIES[path](obj, path if same_package else f"{own.__module__}.{own.__qualname__}"))


def named_model(name: str, parameters: Mapping[str, Any]) -> Model:
    """Return a model made from its name in an experiment file.

    The name is one of `FAMILIES`, or another import path that starts with ``sklearn.``; the parameters are keyword
    arguments of its constructor.

    Raises
    ------
    ValueError
        Unknown name or parameter, naming it and what is allowed.
    CannotMerge
        Copies of that estimator cannot be averaged.
    """
    cls: Any = FAMILIES[name] if name in FAMILIES else None  # noqa: SIM401  (an unknown name is no KeyError)
    if hasattr(cls, "from_parameters"):
        return cast(Model, cls.from_parameters(parameters))
    if cls is None and not name.startswith("sklearn."):
        plain = [known for known in FAMILIES if not known.startswith("sklearn.")]
        raise ValueError(
            f"unknown model {name!r}; allowed are {', '.join(plain)}, and import paths that start with sklearn., such "
            "as sklearn.linear_model.SGDClassifier"
        )
    from .sklearn.estimators import estimator_class

    estimator = estimator_class(name, FAMILIES.builtin)
    allowed = list(signature(estimator).parameters)
    for parameter in parameters:
        if parameter not in allowed:
            raise ValueError(f"{estimator.__name__} has no parameter {parameter!r}; allowed are {', '.join(allowed)}")
    try:
        made = estimator(**parameters)
    except TypeError as error:  # Pipeline() and other meta-estimators, which want their parts
        raise _cannot_merge(estimator.__name__, str(error)) from error
    return as_model(made)


def rebuild(description: Mapping[str, Any]) -> Model:
    """Return the model that `Model.describe` described; weights come separately. Runs no code from the description."""
    try:
        name, parameters = description["name"], description["parameters"]
    except (KeyError, TypeError) as error:
        raise ValueError("a model's description needs the keys name and parameters") from error
    return named_model(str(name), parameters)


def _cannot_merge(what: str, why: str) -> CannotMerge:
    return CannotMerge(what, why, [name.rpartition(".")[2] for name in FAMILIES])
