"""Nodes: coordinators, clients, peers and monitors, and the launcher that starts them. Importing this imports none of
them yet.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config.keys import ExperimentError
    from .config.schema import Experiment
    from .experiment.loader import load_experiment
    from .experiment.validation import validate
    from .federated import strategies
    from .gossip import algorithms
    from .launching.launcher import launch
    from .monitoring.monitor import Monitor
    from .roles.client import Client
    from .roles.coordinator import Coordinator
    from .roles.peer import Peer
    from .runtime.identity import NodeFailed
    from .runtime.round_reports import RoundReport

__all__ = [
    "Client",
    "Coordinator",
    "Experiment",
    "ExperimentError",
    "Monitor",
    "NodeFailed",
    "Peer",
    "RoundReport",
    "algorithms",
    "launch",
    "load_experiment",
    "strategies",
    "validate",
]

_HOMES = {
    "Client": ".roles.client",
    "Coordinator": ".roles.coordinator",
    "Experiment": ".config.schema",
    "ExperimentError": ".config.keys",
    "Monitor": ".monitoring.monitor",
    "NodeFailed": ".runtime.identity",
    "Peer": ".roles.peer",
    "RoundReport": ".runtime.round_reports",
    "launch": ".launching.launcher",
    "load_experiment": ".experiment.loader",
    "validate": ".experiment.validation",
}

_MODULES = {"algorithms": ".gossip.algorithms", "strategies": ".federated.strategies"}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(_MODULES[name], __name__)
    if name in _HOMES:
        return getattr(import_module(_HOMES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
