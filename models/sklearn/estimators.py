"""Which scikit-learn estimators, and which of their settings, cannot learn together, and what to use instead."""

from collections.abc import Iterable
from difflib import get_close_matches
from importlib import import_module
from inspect import isclass
from typing import Any

_SUPPORT = "its support vectors are each node's own rows, and those of two nodes do not line up"
_ONE_TREE = (
    "two trees have no parameters that line up; RandomForestClassifier or RandomForestRegressor (bootstrap=False, "
    "max_features=None, n_estimators=the number of sites) is the vote of plain trees, one of each site"
)
_STAGES = (
    "each of its trees corrects those before it, and so would have to be grown on the rows of all sites; "
    "RandomForest and ExtraTrees can"
)
_INSTEAD = {
    "LinearSVC": 'it has neither warm_start nor partial_fit; SGDClassifier(loss="hinge") is the same model and can',
    "LinearSVR": 'it has no partial_fit; SGDRegressor(loss="epsilon_insensitive") is the same model and can',
    "SVC": f'{_SUPPORT}; SGDClassifier(loss="hinge") is the linear model of this kind',
    "NuSVC": f'{_SUPPORT}; SGDClassifier(loss="hinge") is the linear model of this kind',
    "SVR": f'{_SUPPORT}; SGDRegressor(loss="epsilon_insensitive") is the linear model of this kind',
    "NuSVR": f'{_SUPPORT}; SGDRegressor(loss="epsilon_insensitive") is the linear model of this kind',
    "BaseDecisionTree": _ONE_TREE,
    "BaseGradientBoosting": _STAGES,
    "BaseHistGradientBoosting": _STAGES,
    "BaseWeightBoosting": _STAGES,
    "RandomTreesEmbedding": "it has no target, and a row's leaf in a tree means nothing elsewhere",
    "NeighborsBase": "its parameters are each node's own rows",
    "Pipeline": (
        "it has no partial_fit; give its last step alone, and the steps before it as what all sites fit together: "
        "data.preprocess of a run, or a FederatedTransformer in front of a FederatedClassifier and its kin"
    ),
    "PassiveAggressiveClassifier": 'scikit-learn removes it in 1.10; SGDClassifier(learning_rate="pa1") replaces it',
    "PassiveAggressiveRegressor": 'scikit-learn removes it in 1.10; SGDRegressor(learning_rate="pa1") replaces it',
}

_REFUSED = {
    "average": "partial_fit goes on from its own running average and ignores the weights that arrive",
    "early_stopping": "partial_fit does not support it; the number of rounds is what stops the training",
}

_STEPS = (
    "the rows of weight zero that stand for classes which a site lacks count as its steps; use solver='lbfgs', or, for "
    'another penalty, SGDClassifier(loss="log_loss", penalty=…)'
)
_OTHER_PENALTY = (
    "only solvers that cannot take part know it; use SGDClassifier(loss=\"log_loss\", penalty='elasticnet')"
)
_BY_LABEL = (
    "its weights go by label, and an estimator here is shown the agreed classes as indices from 0; leave it out, and "
    "give the table training.class_weight, as in --set training.class_weight.LABEL=3"
)

_BY_SHARE = (
    'what is balanced would differ from node to node; leave it out, and say training.class_weight = "balanced" '
    "(--class-weight balanced), which counts the rows of all sites"
)


def why_not(estimator: Any) -> str:
    """Return why copies of an estimator without an adapter cannot be averaged, and what to use instead."""
    names = [ancestor.__name__ for ancestor in type(estimator).__mro__]
    return next((_INSTEAD[name] for name in names if name in _INSTEAD), "its fitted state has no meaningful mean")


def refused_setting(estimator: Any) -> tuple[str, str] | None:
    """Return the setting under which an estimator that has an adapter cannot be averaged, and why; None if all can.

    Raises ValueError for a parameter's value that scikit-learn does not allow.
    """
    # scikit-learn checks its parameters in fit, which here is after every process has been started. An estimator of
    # another package inherits the check, and may not have said what to check.
    if hasattr(estimator, "_parameter_constraints"):
        estimator._validate_params()  # noqa: SLF001
    name = type(estimator).__name__
    for parameter, why in _REFUSED.items():
        if getattr(estimator, parameter, None):
            return f"{name} with {parameter}={getattr(estimator, parameter)!r}", why
    if weights := getattr(estimator, "class_weight", None):
        why = _BY_SHARE if isinstance(weights, str) else _BY_LABEL
        return f"{name} with class_weight={weights!r}", why
    if name.startswith("SGD") and estimator.learning_rate == "adaptive":
        why = "partial_fit begins anew at eta0 in every epoch, so that the rate never falls; use optimal or invscaling"
        return f"{name} with learning_rate='adaptive'", why
    solver = getattr(estimator, "solver", None)
    if name.startswith("MLP") and solver == "lbfgs":
        return f"{name} with solver='lbfgs'", "it has no partial_fit; use solver='sgd' or 'adam'"
    if solver == "liblinear":
        return f"{name} with solver='liblinear'", "it starts from zero at every fit; use solver='lbfgs'"
    if solver in ("sag", "saga"):
        return f"{name} with solver={solver!r}", _STEPS
    return _refused_objective(estimator) if name == "LogisticRegression" else None


def _refused_objective(estimator: Any) -> tuple[str, str] | None:
    """Return the setting under which a logistic regression minimizes something else than the log loss with L2."""
    penalty, l1_ratio = estimator.penalty, estimator.l1_ratio
    if penalty in ("l1", "elasticnet") or (penalty == "deprecated" and l1_ratio):
        found = f"l1_ratio={l1_ratio!r}" if penalty == "deprecated" else f"penalty={penalty!r}"
        return f"LogisticRegression with {found}", _OTHER_PENALTY
    classes = getattr(estimator, "multi_class", "auto")  # until scikit-learn 1.7
    if classes not in ("auto", "deprecated"):
        return f"LogisticRegression with multi_class={classes!r}", "scikit-learn 1.8 has it no more; leave it out"
    return None


def estimator_class(path: str, known: Iterable[str]) -> Any:
    """Return the estimator class of an import path. Raises ValueError if there is none, suggesting a known one."""
    module, _, name = path.rpartition(".")
    if not all(part.isidentifier() and not part.startswith("_") for part in path.split(".")):
        raise ValueError(f"{path!r} is not an import path of scikit-learn, such as sklearn.linear_model.SGDClassifier")
    try:
        cls = getattr(import_module(module), name)
    except (ImportError, AttributeError):
        cls = None
    if not isclass(cls) or not hasattr(cls, "get_params"):
        near = get_close_matches(path, known, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"{path.partition('.')[0].replace('sklearn', 'scikit-learn')} has no estimator {path}{hint}")
    return cls
