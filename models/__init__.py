"""Models that learn on their own data and can be merged with others: no socket, no event loop, no clock.

The names below load their module when first asked for, so that importing one costs no more than that one.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import attacks, compress, evaluate, robust
    from .aggregate import RULES, combine, weighted_mean
    from .artifact import ModelFileError, load_model, save_model
    from .data import datasets, partition
    from .data.datasets import DataError, Dataset
    from .local import LocalResult, LocalSettings, LocalTraining
    from .mlp.mlp import MLP
    from .model import CannotMerge, FitReport, LocalUnsupported, LocalWork, Model, as_model, named_model, rebuild
    from .pegasos import Pegasos
    from .rng import generator
    from .site_model import SiteModel
    from .site_statistics import IncompatibleSites, Moments, Preprocessing, Survey, agree
    from .weights import IncompatibleWeights, Layout, axpy, consensus_distance, is_finite, sketch

_HOMES = {
    "aggregate": ("RULES", "combine", "weighted_mean"),
    "artifact": ("ModelFileError", "load_model", "save_model"),
    "data.datasets": ("DataError", "Dataset"),
    "site_model": ("SiteModel",),
    "local": ("LocalResult", "LocalSettings", "LocalTraining"),
    "mlp.mlp": ("MLP",),
    "model": (
        "CannotMerge",
        "FitReport",
        "LocalUnsupported",
        "Model",
        "LocalWork",
        "as_model",
        "named_model",
        "rebuild",
    ),
    "pegasos": ("Pegasos",),
    "rng": ("generator",),
    "site_statistics": ("Preprocessing", "Moments", "Survey", "IncompatibleSites", "agree"),
    "weights": ("IncompatibleWeights", "Layout", "axpy", "consensus_distance", "is_finite", "sketch"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

# Offered as modules: families (`robust.krum`, `attacks.alie`, the codecs), and those that bear the name of their main
# function (`partition.partition`, `evaluate.evaluate`).
_MODULES = {
    "attacks": "attacks",
    "compress": "compress",
    "datasets": "data.datasets",
    "evaluate": "evaluate",
    "partition": "data.partition",
    "robust": "robust",
}

__all__ = [
    "MLP",
    "RULES",
    "CannotMerge",
    "DataError",
    "Dataset",
    "FitReport",
    "IncompatibleSites",
    "IncompatibleWeights",
    "Layout",
    "LocalResult",
    "LocalSettings",
    "LocalTraining",
    "LocalUnsupported",
    "LocalWork",
    "Model",
    "ModelFileError",
    "Moments",
    "Pegasos",
    "Preprocessing",
    "SiteModel",
    "Survey",
    "agree",
    "as_model",
    "attacks",
    "axpy",
    "combine",
    "compress",
    "consensus_distance",
    "datasets",
    "evaluate",
    "generator",
    "is_finite",
    "load_model",
    "named_model",
    "partition",
    "rebuild",
    "robust",
    "save_model",
    "sketch",
    "weighted_mean",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f".{_MODULES[name]}", __name__)
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
    globals()[name] = value
    return value
