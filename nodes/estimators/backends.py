"""Where a run takes place: in this process, or in real ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from . import federated_rounds
from .run import Runner


@dataclass(frozen=True)
class Backends:
    names: Callable[[int], list[str]]  # of so many nodes
    memory: Runner
    processes: Runner


BACKENDS: Mapping[str, Backends] = {
    "federated": Backends(federated_rounds.names, federated_rounds.learn, federated_rounds.learn),
}
"""By mode."""
