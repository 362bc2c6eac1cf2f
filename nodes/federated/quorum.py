"""Whether enough clients are there to begin, to go on, or to close a round: pure functions."""

from __future__ import annotations

import math
from contextlib import suppress

from ..runtime import effects as e
from ..runtime.printable import listed
from .client_registry import ClientRegistry
from .coordinator_config import CoordinatorConfig
from .sampling import share_of

WAYS_OUT = "--min-clients goes on with fewer, federated.wait_deadline_s waits longer"


def population(config: CoordinatorConfig, registry: ClientRegistry) -> int:
    """Return how many clients the run has: those it began with, and those that have enrolled since and not left.

    Who has crashed is one of them: a floor that sank with the number of those who live would be none.
    """
    return len(config.clients | set(registry.clients))


def least(config: CoordinatorConfig, registry: ClientRegistry) -> int:
    """Return how many clients must be there before a round is opened: half of all, and never one alone."""
    return config.federated.min_clients or _half(population(config, registry))


def floor_of(config: CoordinatorConfig, registry: ClientRegistry, *, work: str = "train") -> int:
    """Return how many answers make a round at least: of those that all who have enrolled would be asked for, half.

    What a round makes of one answer is that client's own model, and nobody's mean.
    """
    share = config.federated.participation if work == "train" else 1.0
    return config.federated.min_clients or _half(share_of(population(config, registry), share))


def least_in_step(buffer: int, config: CoordinatorConfig) -> int:
    """Return how many clients must have a part in a step without a barrier: two, where its buffer has room for two."""
    return min(buffer, 2, config.federated.min_clients or 2)


def least_for_strategy(floor: int, wanted: int, config: CoordinatorConfig) -> int:
    """Return how many answers, of so many wanted, the strategy needs: a quorum waits for as many at least.

    A round that closed with fewer while more were on their way would fail, and so would each attempt after it.
    """
    for answers in range(floor, wanted):
        with suppress(Exception):  # whatever the check of a user's own strategy raises
            config.strategy.check(answers)
            return answers
    return wanted


def complete(config: CoordinatorConfig, registry: ClientRegistry, *, at_deadline: bool, over: bool) -> bool:
    """Whether to begin: with everybody who has not been given up, at the deadline with enough of them.

    Where the run is `over`, those who are not there have the final model, or can do without it.
    """
    absent = any(not registry.here(name) and not registry.is_lost(name) for name in config.clients)
    floor = 0 if over else least(config, registry)
    return len(registry.living()) >= floor and (at_deadline or not absent)


def left_behind(config: CoordinatorConfig, registry: ClientRegistry) -> list[e.Effect]:
    """Name those without whom the run begins at the deadline."""
    reason = f"was not ready within {config.timing.join_deadline_s:g} s (network.join_deadline_s)"
    absent = sorted(name for name in config.clients if not registry.here(name))
    return [e.Publish("node.lost", {"subject": name, "reason": reason}) for name in absent]


def waiting_for(config: CoordinatorConfig, registry: ClientRegistry) -> str:
    """Return whom a coordinator waits for that resumes a run, for people."""
    absent = sorted(name for name in config.clients if not registry.here(name) and not registry.is_lost(name))
    return f"{len(absent)} of {len(config.clients)} clients: {listed(absent)}"


def too_few_ready(config: CoordinatorConfig, registry: ClientRegistry) -> str:
    living, within = registry.living(), f"{config.timing.join_deadline_s:g} s (network.join_deadline_s)"
    names = listed(sorted(config.clients - set(living)))
    wanted = f"at least {least(config, registry)} clients (federated.min_clients) were ready within {within}"
    return f"{len(living)} of {wanted}; still missing: {names}"


def too_few_living(config: CoordinatorConfig, registry: ClientRegistry) -> str:
    """Return the reason why no round can be opened, with those who are missing."""
    living = registry.living()
    missing = listed(sorted((config.clients | set(registry.clients)) - set(living)))
    return f"{len(living)} of at least {least(config, registry)} are there; missing: {missing} ({WAYS_OUT})"


def _half(clients: int) -> int:
    return max(2, math.ceil(clients / 2))
