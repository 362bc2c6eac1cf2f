"""Gossip algorithms by name; their arguments checked, and errors that help."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from ...config.keys import ExperimentError, convert
from ...config.plugins import PluginInfo, described
from .base import Algorithm

NAMES: Mapping[str, str] = {
    "dpsgd": "averaging:DPSGD",
    "epidemic": "averaging:Epidemic",
    "sgp": "push_sum:SGP",
    "choco": "choco:Choco",
    "gradient-tracking": "tracking:GradientTracking",
    "d2": "d2:D2",
    "clipped-gossip": "robust:ClippedGossip",
    "self-centered-clipping": "robust:SelfCenteredClipping",
    "trimmed-mean": "robust:TrimmedMean",
}
"""Where each name of `gossip.algorithm` that goes by rounds is found, so that only what is used is imported."""


def algorithm_class(name: str) -> type[Any]:
    """Find an algorithm.

    Raises
    ------
    ExperimentError
        There is none of that name; suggests the near one and lists them all, those without rounds among them.
    """
    if name not in NAMES:
        from ..asynchronous.registry import NAMES as FREE

        known = (*NAMES, *FREE)
        near = difflib.get_close_matches(name, known, n=1)
        guess = f" (did you mean {near[0]}?)" if near else ""
        raise ExperimentError(f"gossip.algorithm = {name!r}: expected one of {', '.join(known)}{guess}")
    module, _, cls = NAMES[name].partition(":")
    found: type[Any] = getattr(import_module(f".{module}", __package__), cls)
    return found


def arguments_of(name: str) -> dict[str, Any]:
    """Name the arguments of an algorithm, which are keys of ``[gossip]`` while it is chosen, with their defaults."""
    return {f.name: f.default for f in dataclasses.fields(algorithm_class(name)) if "setting" not in f.metadata}


def every_argument(name: str) -> tuple[str, ...]:
    """Name the arguments of any algorithm, with or without rounds."""
    if name in NAMES:
        return tuple(arguments_of(name))
    from ..asynchronous.registry import NAMES as FREE
    from ..asynchronous.registry import arguments_of as of_free

    return of_free(name) if name in FREE else tuple(arguments_of(name))


def build(name: str, arguments: Mapping[str, Any], compression: str = "") -> Algorithm:
    """Build an algorithm.

    Raises
    ------
    ExperimentError
        Unknown name or argument, or a value that is not allowed; names the key, what was found and what is allowed.
    """
    cls = algorithm_class(name)
    allowed = arguments_of(name)
    for key in arguments:
        if key not in allowed:
            raise ExperimentError(f"gossip.{key}: {name} has no such argument; it has {', '.join(allowed) or 'none'}")
    settings = {f.name: compression for f in dataclasses.fields(cls) if f.metadata.get("setting") == "compression"}
    try:
        built: Algorithm = convert({**arguments, **settings}, cls)
    except ExperimentError as error:
        raise ExperimentError(f"gossip.{error}") from None
    return built


def encoding_of(algorithm: Algorithm) -> str:
    """Give the spec of the codec by which an algorithm sends, as it stands in messages; empty: none."""
    compressor = getattr(algorithm, "compressor", None)
    return "" if compressor is None else str(compressor.spec)


def describe() -> list[PluginInfo]:
    """Describe all algorithms that go by rounds, in the order of `NAMES`; imports every one of them."""
    return [described(name, algorithm_class(name), arguments_of(name)) for name in NAMES]
