"""Gossip algorithms by name, those with rounds and those without."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nervenet.models.plugins import PluginInfo, Registry, lacks, plugin_info

from ...config.arguments import arguments_of, build
from ...config.keys import ExperimentError

SYNCHRONOUS: Mapping[str, str] = {
    "dpsgd": "averaging:DPSGD",
    "epidemic": "averaging:Epidemic",
    "sgp": "push_sum:SGP",
    "choco": "choco:Choco",
    "gradient-tracking": "tracking:GradientTracking",
    "d2": "d2:D2",
    "clipped-gossip": "robust:ClippedGossip",
    "self-centered-clipping": "robust:SelfCenteredClipping",
    "trimmed-mean": "robust:TrimmedMean",
    "all-reduce": "all_reduce.algorithm:AllReduce",
}
ASYNCHRONOUS: Mapping[str, str] = {
    "ad-psgd": "asynchronous.ad_psgd:AdPsgd",
    "gossip-learning": "asynchronous.gossip_learning:GossipLearning",
}

ALGORITHMS: Registry[type[Any]] = Registry(
    "gossip.algorithm",
    "nervenet.algorithms",
    {**{name: where if "." in where else f"algorithms.{where}" for name, where in SYNCHRONOUS.items()}, **ASYNCHRONOUS},
    package=__package__.rpartition(".")[0],
    error=ExperimentError,
    check=lambda plugin: lacks(plugin, "needs", "check", "init", "outgoing", "step"),
)


def has_rounds(name: str) -> bool:
    """Whether peers go by rounds under an algorithm; those of other packages do."""
    return name not in ASYNCHRONOUS


def synchronous_names() -> list[str]:
    return [name for name in ALGORITHMS.names if has_rounds(name)]


def build_algorithm(name: str, arguments: Mapping[str, Any], compression: str = "") -> Any:
    """Build an algorithm: an `Algorithm`, or for one without rounds what makes a peer's machine.

    Raises
    ------
    ExperimentError
        Unknown name or argument, or a value that is not allowed; names the key, what was found and what is allowed.
    """
    return build(ALGORITHMS.key, name, ALGORITHMS[name], arguments, compression=compression)


def encoding_of(algorithm: Any) -> str:
    """Return the spec of the codec by which an algorithm sends, as it stands in messages; empty: none."""
    compressor = getattr(algorithm, "compressor", None)
    return "" if compressor is None else str(compressor.spec)


def describe() -> list[PluginInfo]:
    """Describe all built-in algorithms that go by rounds; imports every one of them."""
    return [plugin_info(name, cls, arguments_of(cls)) for name in SYNCHRONOUS for cls in [ALGORITHMS[name]]]
