"""Nodes: coordinators, clients and peers, monitors of them, and the launcher that starts them. Importing this imports
none of them yet.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config.keys import ExperimentError
    from .config.schema import Experiment
    from .describing.describe import describe
    from .estimators.clusterer import FederatedClusterer
    from .estimators.federated import FederatedClassifier, FederatedRegressor
    from .estimators.gossip import GossipClassifier, GossipRegressor
    from .estimators.search import FederatedGridSearchCV
    from .estimators.transformer import FederatedTransformer
    from .experiment.loader import load_experiment
    from .experiment.validation import validate
    from .federated import strategies
    from .gossip import algorithms
    from .launching.launcher import RunFailed, launch
    from .monitoring.monitor import Monitor
    from .monitoring.run_view import RunView
    from .results.run_result import RunResult
    from .roles.client import Client
    from .roles.coordinator import Coordinator
    from .roles.peer import Peer
    from .runtime.identity import NodeFailed
    from .runtime.round_reports import RoundReport
    from .serving.app import predictor_app
    from .simulation.simulate import simulate

__all__ = [
    "Client",
    "Coordinator",
    "Experiment",
    "ExperimentError",
    "FederatedClassifier",
    "FederatedClusterer",
    "FederatedGridSearchCV",
    "FederatedRegressor",
    "FederatedTransformer",
    "GossipClassifier",
    "GossipRegressor",
    "Monitor",
    "NodeFailed",
    "Peer",
    "RoundReport",
    "RunFailed",
    "RunResult",
    "RunView",
    "algorithms",
    "describe",
    "launch",
    "load_experiment",
    "predictor_app",
    "simulate",
    "strategies",
    "validate",
]

_HOMES = {
    "Client": ".roles.client",
    "Coordinator": ".roles.coordinator",
    "Experiment": ".config.schema",
    "ExperimentError": ".config.keys",
    "FederatedClassifier": ".estimators.federated",
    "FederatedClusterer": ".estimators.clusterer",
    "FederatedGridSearchCV": ".estimators.search",
    "FederatedRegressor": ".estimators.federated",
    "FederatedTransformer": ".estimators.transformer",
    "GossipClassifier": ".estimators.gossip",
    "GossipRegressor": ".estimators.gossip",
    "Monitor": ".monitoring.monitor",
    "NodeFailed": ".runtime.identity",
    "Peer": ".roles.peer",
    "RoundReport": ".runtime.round_reports",
    "RunFailed": ".launching.launcher",
    "RunResult": ".results.run_result",
    "RunView": ".monitoring.run_view",
    "describe": ".describing.describe",
    "launch": ".launching.launcher",
    "load_experiment": ".experiment.loader",
    "predictor_app": ".serving.app",
    "simulate": ".simulation.simulate",
    "validate": ".experiment.validation",
}

_MODULES = {"algorithms": ".gossip.algorithms", "strategies": ".federated.strategies"}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(_MODULES[name], __name__)
    if name in _HOMES:
        return getattr(import_module(_HOMES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
