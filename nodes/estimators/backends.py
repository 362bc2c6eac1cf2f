"""Where a run takes place: in this process, or in real ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from . import federated_rounds, gossip_rounds
from .run import Job, Learned, Runner, Steps


@dataclass(frozen=True)
class Backends:
    names: Callable[[int], list[str]]  # of so many nodes
    steps: Callable[[Job], Steps]  # a run in this process
    memory: Runner
    processes: Runner


def in_processes(job: Job, rounds: int) -> Learned:
    """Do a run in real processes; imports what starts them only now."""
    from .processes import learn

    return learn(job, rounds)


BACKENDS: Mapping[str, Backends] = {
    "federated": Backends(
        federated_rounds.names, federated_rounds.FederatedRounds, federated_rounds.learn, in_processes
    ),
    "gossip": Backends(gossip_rounds.names, gossip_rounds.GossipRounds, gossip_rounds.learn, in_processes),
}
"""By mode."""
