"""Whether the machines of a simulation fit into the memory of this computer: said before they fill it."""

from __future__ import annotations

import os

from ..config.keys import ExperimentError
from ..config.schema import Experiment

OF_A_PEER = 70_000  # bytes beside its model and rows
OF_A_PAIR = 110  # each peer knows each other: an entry in its list of members, and what failure detection has
SHARE = 0.8  # of the memory


def check_room(experiment: Experiment, reason: str) -> None:
    """Raise ExperimentError for more peers than fit by machines; `reason` is why it cannot be whole rounds."""
    nodes = experiment.nodes
    if experiment.mode != "gossip":
        return
    needed, memory = OF_A_PEER * nodes + OF_A_PAIR * nodes**2, _memory()
    if needed > SHARE * memory:
        take, has = f"take about {needed / 1e9:.1f} GB", f"this computer has {memory / 1e9:.1f} GB"
        raise ExperimentError(
            f"nodes = {nodes}: the machines of so many peers, of whom each knows all others, {take}, and {has}; "
            f"whole rounds take far less, but {reason}"
        )


def _memory() -> float:
    """Return the bytes of memory that this computer has; no limit where it does not say."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (ValueError, OSError, AttributeError):
        return float("inf")
