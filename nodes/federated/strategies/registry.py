"""Strategies by name, or by the import path of somebody's own; their arguments checked, and errors that help."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module, invalidate_caches
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from ...config.keys import ExperimentError, convert
from ...config.plugins import PluginInfo, described
from .base import Strategy

NAMES: Mapping[str, str] = {
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
}
"""Where each name of `federated.strategy` is to be found, so that only what is used is imported."""


def strategy_class(name: str) -> type[Strategy]:
    """Find a strategy.

    Parameters
    ----------
    name
        A key of `NAMES`, or ``package.module:Class``.

    Raises
    ------
    ExperimentError
        There is none of that name; suggests the near one and lists them all.
    """
    if ":" in name:
        return _own(name)
    if name not in NAMES:
        near = difflib.get_close_matches(name, NAMES, n=1)
        guess = f" (did you mean {near[0]}?)" if near else ""
        raise ExperimentError(
            f"federated.strategy = {name!r}: expected one of {', '.join(NAMES)}, "
            f"or the import path of your own, as in mypackage.mine:Strategy{guess}"
        )
    module, _, cls = NAMES[name].partition(":")
    found: type[Strategy] = getattr(import_module(f".{module}", __package__), cls)
    return found


def arguments_of(cls: type[Strategy]) -> tuple[str, ...]:
    """Name the arguments of a strategy, which are keys of ``[federated]`` while it is chosen."""
    return tuple(inspect.signature(cls).parameters)


def make(name: str, arguments: Mapping[str, Any]) -> Strategy:
    """Build a strategy.

    Raises
    ------
    ExperimentError
        Unknown name or argument, or a value that is not allowed; names the key, what was found and what is allowed.
    """
    cls = strategy_class(name)
    allowed = arguments_of(cls)
    for key in arguments:
        if key not in allowed:
            raise ExperimentError(
                f"federated.{key}: {name} has no such argument; it has {', '.join(allowed) or 'none'}"
            )
    if dataclasses.is_dataclass(cls):
        try:
            built: Strategy = convert(arguments, cls)
            return built
        except ExperimentError as error:
            raise ExperimentError(f"federated.{error}") from None
    try:
        return cls(**arguments)
    except (TypeError, ValueError) as error:
        raise ExperimentError(f"federated.strategy = {name!r}: {error}") from None


def describe() -> list[PluginInfo]:
    """Describe all strategies that have a name, in the order of `NAMES`; imports every one of them."""
    found = []
    for name in NAMES:
        cls = strategy_class(name)
        arguments = {key: parameter.default for key, parameter in inspect.signature(cls).parameters.items()}
        found.append(described(name, cls, arguments))
    return found


def _own(path: str) -> type[Strategy]:
    module, _, name = path.partition(":")
    try:
        cls: Any = getattr(_import(module), name)
    except Exception as error:  # noqa: BLE001  (whatever somebody's module raises while it is imported)
        said = f"{error}" if isinstance(error, (ImportError, AttributeError)) else f"{type(error).__name__}: {error}"
        raise ExperimentError(f"federated.strategy = {path!r}: cannot be imported: {said}") from None
    lacks = [part for part in ("demands", "check", "init", "apply") if not hasattr(cls, part)]
    if not inspect.isclass(cls) or lacks:
        what = f"lacks {', '.join(lacks)}" if lacks else "is no class"
        raise ExperimentError(
            f"federated.strategy = {path!r}: {what}; a strategy is a class with demands, check, init and apply "
            "(nervenet.nodes.federated.strategies.Strategy)"
        )
    own: type[Strategy] = cast("type[Strategy]", cls)
    return own


def _import(module: str) -> ModuleType:
    """Import a module as a script in the current folder would.

    A console script has its own folder on the path and not the user's, while ``python -m`` has: with ``launch`` the
    command and the processes that it forks would not find the same modules. So the current folder comes last for as
    long as the import takes, and an embedded node leaves its owner's path as it was.
    """
    here = str(Path.cwd())
    if here in sys.path or "" in sys.path:
        return import_module(module)
    sys.path.append(here)
    invalidate_caches()
    try:
        return import_module(module)
    finally:
        with suppress(ValueError):
            sys.path.remove(here)
