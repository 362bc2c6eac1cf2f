"""Strategies by name, or by the import path of somebody's own; their arguments checked, and errors that help."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any, cast

from ...experiment_keys import ExperimentError, convert
from .contract import Strategy

NAMES: Mapping[str, str] = {
    "fedavg": "averaging:FedAvg",
    "fedavgm": "averaging:FedAvgM",
    "fedadagrad": "averaging:FedAdagrad",
    "fedadam": "averaging:FedAdam",
    "fedyogi": "averaging:FedYogi",
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


def _own(path: str) -> type[Strategy]:
    module, _, name = path.partition(":")
    try:
        cls: Any = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ExperimentError(f"federated.strategy = {path!r}: cannot be imported: {error}") from None
    lacks = [part for part in ("demands", "check", "init", "apply") if not hasattr(cls, part)]
    if not inspect.isclass(cls) or lacks:
        what = f"lacks {', '.join(lacks)}" if lacks else "is no class"
        raise ExperimentError(
            f"federated.strategy = {path!r}: {what}; a strategy is a class with demands, check, init and apply "
            "(nervenet.nodes.federated.strategies.Strategy)"
        )
    own: type[Strategy] = cast("type[Strategy]", cls)
    return own
