"""Strategies by name, or by the import path of a user's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nervenet.models.plugins import PluginInfo, Registry, lacks, plugin_info

from ...config.arguments import arguments_of, build
from ...config.keys import ExperimentError

if TYPE_CHECKING:
    from .base import Strategy

STRATEGIES: Registry[type[Strategy]] = Registry(
    "federated.strategy",
    "nervenet.strategies",
    {
        "fedavg": "averaging:FedAvg",
        "fedavgm": "averaging:FedAvgM",
        "fedadagrad": "averaging:FedAdagrad",
        "fedadam": "averaging:FedAdam",
        "fedyogi": "averaging:FedYogi",
        "fedprox": "client_drift:FedProx",
        "scaffold": "client_drift:Scaffold",
        "fednova": "client_drift:FedNova",
        "qfedavg": "fairness:QFedAvg",
        "median": "robust:Median",
        "trimmed-mean": "robust:TrimmedMean",
        "krum": "robust:Krum",
        "multi-krum": "robust:MultiKrum",
        "bulyan": "robust:Bulyan",
        "geometric-median": "robust:GeometricMedian",
        "centered-clipping": "robust:CenteredClipping",
        "norm-bound": "robust:NormBound",
        "fedasync": "asynchronous:FedAsync",
        "fedbuff": "asynchronous:FedBuff",
    },
    package=__package__,
    error=ExperimentError,
    check=lambda plugin: lacks(plugin, "demands", "check", "init", "apply"),
    example="mypackage.mine:Strategy",
)


def build_strategy(name: str, arguments: Mapping[str, Any]) -> Strategy:
    """Build a strategy from its name and the arguments that ``[federated]`` gives it.

    Raises
    ------
    ExperimentError
        Unknown name or argument, or a value that is not allowed; names the key, what was found and what is allowed.
    """
    return build(STRATEGIES.key, name, STRATEGIES[name], arguments)


def describe() -> list[PluginInfo]:
    """Describe all built-in strategies; imports every one of them."""
    return [plugin_info(name, cls, arguments_of(cls)) for name in STRATEGIES.builtin for cls in [STRATEGIES[name]]]
