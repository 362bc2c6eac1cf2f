"""Models that learn on their own data and can be merged with others: no socket, no event loop, no clock.

Each name loads its module when it is first asked for, so that importing one costs no more than that one.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import datasets
    from .artifact import ModelFileError, load_model, save_model
    from .base import FlatModel
    from .coefficients import coefficient_table
    from .data import partition
    from .data.data import DataError, Dataset
    from .exporting import CannotExport, to_sklearn
    from .mlp import MLP
    from .model import CannotMerge, FitReport, LocalWork, Model
    from .moments import IncompatibleSites
    from .pegasos import Pegasos
    from .pytorch.torch_model import TorchModel
    from .rng import generator
    from .saved_estimator import load_estimator
    from .site_model import SiteModel
    from .sklearn.network import MLPClassifier, MLPRegressor

__all__ = [
    "MLP",
    "CannotExport",
    "CannotMerge",
    "DataError",
    "Dataset",
    "FitReport",
    "FlatModel",
    "IncompatibleSites",
    "LocalWork",
    "MLPClassifier",
    "MLPRegressor",
    "Model",
    "ModelFileError",
    "Pegasos",
    "SiteModel",
    "TorchModel",
    "coefficient_table",
    "datasets",
    "generator",
    "load_estimator",
    "load_model",
    "partition",
    "save_model",
    "to_sklearn",
]

_HOMES = {
    "MLP": "mlp.mlp",
    "CannotExport": "exporting",
    "CannotMerge": "model",
    "DataError": "data.data",
    "Dataset": "data.data",
    "FitReport": "model",
    "FlatModel": "base",
    "IncompatibleSites": "moments",
    "LocalWork": "model",
    "MLPClassifier": "sklearn.network",
    "MLPRegressor": "sklearn.network",
    "Model": "model",
    "ModelFileError": "artifact",
    "Pegasos": "pegasos",
    "SiteModel": "site_model",
    "TorchModel": "pytorch.torch_model",
    "coefficient_table": "coefficients",
    "generator": "rng",
    "load_estimator": "saved_estimator",
    "load_model": "artifact",
    "save_model": "artifact",
    "to_sklearn": "exporting",
}

_NEEDED = {"TorchModel": "torch"}
"""The packages without which a name cannot be loaded."""

_MODULES = {"datasets": ".datasets", "partition": ".data.partition"}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(_MODULES[name], __name__)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _NEEDED:
        from .extras import require

        require(name, _NEEDED[name])
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value
