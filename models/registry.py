"""Families of models by name: the built-in ones, those of scikit-learn, and those of other installed packages.

Another package offers a family through the entry points `nervenet.models`. The entry's name is the name in experiment
files: a plain name for a class with `from_parameters` (`base.FlatModel` supplies it), or an estimator's import path for
a subclass of `sklearn.adapters.Adapter`. A class that no package offers goes by its import path, ``module:Class``. A
family is imported when it is first named.
"""

from collections.abc import Mapping
from inspect import isclass, signature
from typing import Any, cast

from .model import CannotMerge, Capability, Model
from .plugins import Registry, lacks

PROTOCOL = ("build", "get_weights", "set_weights", "fit", "describe")
"""Members by which a `Model` is recognized."""


def _wrong(plugin: object) -> str:
    """Return what is wrong with a class from outside: it is neither a model nor a scikit-learn estimator."""
    return "" if isclass(plugin) and hasattr(plugin, "get_params") else lacks(plugin, *PROTOCOL)


FAMILIES: Registry[Any] = Registry(
    "model.name",
    "nervenet.models",
    {
        "mlp": "mlp.mlp:MLP",
        "pegasos": "pegasos:Pegasos",
        "sklearn.linear_model.SGDClassifier": "sklearn.sgd:SGDAdapter",
        "sklearn.linear_model.SGDRegressor": "sklearn.sgd:SGDRegressorAdapter",
        "sklearn.linear_model.Perceptron": "sklearn.sgd:SGDAdapter",
        "sklearn.linear_model.SGDOneClassSVM": "sklearn.one_class:OneClassAdapter",
        "sklearn.linear_model.LogisticRegression": "sklearn.logistic:LogisticAdapter",
        "sklearn.neural_network.MLPClassifier": "sklearn.mlp:MLPAdapter",
        "sklearn.neural_network.MLPRegressor": "sklearn.mlp:MLPRegressorAdapter",
        "sklearn.ensemble.RandomForestClassifier": "sklearn.ensembles.forest:ForestAdapter",
        "sklearn.ensemble.RandomForestRegressor": "sklearn.ensembles.forest:ForestRegressorAdapter",
        "sklearn.ensemble.ExtraTreesClassifier": "sklearn.ensembles.forest:ForestAdapter",
        "sklearn.ensemble.ExtraTreesRegressor": "sklearn.ensembles.forest:ForestRegressorAdapter",
        "sklearn.ensemble.BaggingClassifier": "sklearn.ensembles.bagging:BaggingAdapter",
        "sklearn.ensemble.BaggingRegressor": "sklearn.ensembles.bagging:BaggingRegressorAdapter",
        "sklearn.linear_model.LinearRegression": "sklearn.exact.linear:LinearRegressionAdapter",
        "sklearn.linear_model.RidgeCV": "sklearn.exact.ridge:RidgeCVAdapter",
        "sklearn.linear_model.Ridge": "sklearn.exact.ridge:RidgeAdapter",
        "sklearn.linear_model.PoissonRegressor": "sklearn.newton.adapters:PoissonAdapter",
        "sklearn.linear_model.GammaRegressor": "sklearn.newton.adapters:GammaAdapter",
        "sklearn.linear_model.TweedieRegressor": "sklearn.newton.adapters:TweedieAdapter",
        "sklearn.linear_model.Lasso": "sklearn.newton.lasso:ElasticNetAdapter",
        "sklearn.linear_model.ElasticNet": "sklearn.newton.lasso:ElasticNetAdapter",
        "sklearn.cluster.KMeans": "sklearn.clusters.adapters:KMeansAdapter",
        "sklearn.mixture.GaussianMixture": "sklearn.clusters.adapters:GaussianMixtureAdapter",
        "sklearn.naive_bayes.GaussianNB": "sklearn.exact.gaussian_nb:GaussianNBAdapter",
        "sklearn.naive_bayes.MultinomialNB": "sklearn.exact.counts:CountsAdapter",
        "sklearn.naive_bayes.ComplementNB": "sklearn.exact.counts:ComplementAdapter",
        "sklearn.naive_bayes.BernoulliNB": "sklearn.exact.counts:BernoulliAdapter",
        "sklearn.naive_bayes.CategoricalNB": "sklearn.exact.categorical:CategoricalAdapter",
        "sklearn.discriminant_analysis.LinearDiscriminantAnalysis": (
            "sklearn.exact.discriminants:LinearDiscriminantAdapter"
        ),
        "sklearn.discriminant_analysis.QuadraticDiscriminantAnalysis": (
            "sklearn.exact.discriminants:QuadraticDiscriminantAdapter"
        ),
        "sklearn.neighbors.NearestCentroid": "sklearn.exact.nearest_centroid:NearestCentroidAdapter",
    },
    package=__package__,
    check=_wrong,
    example="mypackage.mine:Model",
)
"""The families by name, those of other packages last."""


def models_with(*capabilities: Capability) -> tuple[str, ...]:
    """Return the families that have these capabilities, each with the settings it has them under: for error texts."""
    able = []
    for name, cls in FAMILIES.items():
        if set(capabilities) <= getattr(cls, "capabilities", frozenset()):
            condition = getattr(cls, "condition", "")
            if set(capabilities) <= getattr(cls, "unconditional", frozenset()):
                condition = ""
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
    if all(hasattr(type(obj), name) for name in PROTOCOL):
        return cast(Model, obj)
    if isinstance(obj, type):
        raise _cannot_merge(f"the class {obj.__name__}", f"an instance is wanted: {obj.__name__}()")
    if hasattr(obj, "as_model"):  # an estimator of this package: `sklearn.network`
        return cast(Model, obj.as_model())
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
    family = family_of(path, cast(Any, obj).get_params(deep=False))
    name = path if same_package else import_path(own)
    return cast(Model, family(obj, name, as_model) if getattr(family, "of_models", False) else family(obj, name))


def named_model(name: str, parameters: Mapping[str, Any]) -> Model:
    """Return a model made from its name in an experiment file.

    The name is one of `FAMILIES`, another import path that starts with ``sklearn.``, or the import path of one's own
    class, ``module:Class``; the parameters are keyword arguments of its constructor.

    Raises
    ------
    ValueError
        Unknown name or parameter, naming it and what is allowed.
    CannotMerge
        Copies of that estimator cannot be averaged.
    """
    cls: Any = FAMILIES[name] if name in FAMILIES or ":" in name else None
    if cls is None and not name.startswith("sklearn."):
        plain = [known for known in FAMILIES if not known.startswith("sklearn.")]
        raise ValueError(
            f"unknown model {name!r}; allowed are {', '.join(plain)}, import paths that start with sklearn., such as "
            "sklearn.linear_model.SGDClassifier, and those of your own classes, as in mypackage.mine:Model"
        )
    if name.startswith("sklearn."):  # whatever its adapter
        from .sklearn.estimators import estimator_class

        cls = estimator_class(name, FAMILIES.builtin)
        # An experiment file cannot say None; no parameter of scikit-learn's takes the text.
        parameters = {key: None if value == "none" else value for key, value in parameters.items()}
        if parameters.get("estimator") is not None and getattr(FAMILIES.get(name), "of_models", False):
            parameters["estimator"] = _member(parameters["estimator"])
    return _made(cls, parameters)


def family_of(name: str, parameters: Mapping[str, Any]) -> Any:
    """Return the class of a family by its name, or of the one that an estimator belongs to with these parameters."""
    family = FAMILIES[name]
    choose = getattr(family, "with_parameters", None)
    return family if choose is None else choose(parameters)


def parameters_of(name: str) -> frozenset[str]:
    """Return the names of a family's own parameters; empty for scikit-learn's estimators, and for an unknown name."""
    if name.startswith("sklearn.") or not (name in FAMILIES or ":" in name):
        return frozenset()
    return frozenset(signature(FAMILIES[name]).parameters)


def describe(model: Model) -> dict[str, Any]:
    """Return that from which `rebuild` makes the same model: what it says of itself, under the import path of its class
    where that is one's own, which may have the name of the family that it was derived from.
    """
    described = model.describe()
    name = str(described["name"])
    if ":" in name or (name in FAMILIES and family_of(name, described["parameters"]) is type(model)):
        return described
    return described | {"name": import_path(type(model))}


def rebuild(description: Mapping[str, Any], own: object = None) -> Model:
    """Return the model that `describe` described; weights come separately.

    Runs no code from the description: `own` is the caller's word on what to make where that is a class of one's own:
    the class, its import path, or an instance.
    """
    try:
        name, parameters = str(description["name"]), description["parameters"]
    except (KeyError, TypeError) as error:
        raise ValueError("a model's description needs the keys name and parameters") from error
    if own is None and ":" in name:
        raise ValueError(
            f"the model is of a class of your own, {name}, which is imported only where you name it: "
            f"load_model(…, model={name!r}), on the command line --model {name}"
        )
    if isclass(own):
        return _made(own, parameters)
    if own is None or isinstance(own, str):
        return named_model(own or name, parameters)
    return as_model(own)


def import_path(cls: type) -> str:
    """Return ``module:Class``."""
    return f"{cls.__module__}:{cls.__qualname__}"


def _made(cls: Any, parameters: Mapping[str, Any]) -> Model:
    """Return a model of a class: of a family, an estimator, or one's own."""
    if hasattr(cls, "from_parameters"):
        return cast(Model, cls.from_parameters(parameters))
    if hasattr(cls, "get_params"):  # no parameter of scikit-learn's takes these texts, and JSON has no such number
        infinite = {key: float(value) for key, value in parameters.items() if value in ("inf", "-inf")}
        parameters = {**parameters, **infinite}
    allowed = list(signature(cls).parameters)
    for parameter in parameters:
        if parameter not in allowed:
            raise ValueError(f"{cls.__name__} has no parameter {parameter!r}; allowed are {', '.join(allowed)}")
    try:
        made = cls(**parameters)
    except TypeError as error:  # Pipeline() and other meta-estimators, which want their parts
        if not hasattr(cls, "get_params"):
            raise ValueError(str(error)) from error
        raise _cannot_merge(cls.__name__, str(error)) from error
    return as_model(made)


def _member(described: object) -> Any:
    """Return the estimator that an ensemble consists of, from its import path or from what `describe` said of it."""
    if not isinstance(described, str | Mapping):
        return described
    fields: Any = {"name": described} if isinstance(described, str) else described
    if set(fields) - {"parameters"} != {"name"}:
        raise ValueError(f"estimator is an import path, or a table with name and parameters; found {sorted(fields)}")
    return named_model(str(fields["name"]), fields.get("parameters", {})).given  # type: ignore[attr-defined]


def _cannot_merge(what: str, why: str) -> CannotMerge:
    return CannotMerge(what, why, [name.rpartition(".")[2] for name in FAMILIES])
