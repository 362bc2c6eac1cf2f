"""Whether enough clients are there to begin, to go on, or to close a round: pure functions."""

from __future__ import annotations

import math
from contextlib import suppress

from ..runtime import effects as e
from .client_registry import ClientRegistry
from .coordinator_config import CoordinatorConfig


def floor_of(asked: int, config: CoordinatorConfig) -> int:
    """Return how many answers, of so many asked, make a round at least: half of them, and two where two were asked."""
    return min(asked, config.federated.min_clients or max(2, math.ceil(asked / 2)))


def least_for_strategy(wanted: int, config: CoordinatorConfig) -> int:
    """Return how many answers, of so many wanted, the strategy needs: a quorum waits for as many at least.

    A round that closed with fewer while more were on their way would fail, and so would each attempt after it.
    """
    for answers in range(floor_of(wanted, config), wanted):
        with suppress(Exception):  # whatever the check of a user's own strategy raises
            config.strategy.check(answers)
            return answers
    return wanted


def least(config: CoordinatorConfig) -> int:
    """Return how many clients must be there before a round is opened."""
    return config.federated.min_clients or 1


def complete(config: CoordinatorConfig, registry: ClientRegistry, *, at_deadline: bool, over: bool) -> bool:
    """Whether to begin: with everybody who has not been given up, at the deadline with enough of them.

    Where the run is `over`, those who are not there have the final model, or can do without it.
    """
    absent = any(not registry.here(name) and not registry.is_lost(name) for name in config.clients)
    floor = 0 if over else floor_of(len(config.clients), config)
    return len(registry.living()) >= floor and (at_deadline or not absent)


def left_behind(config: CoordinatorConfig, registry: ClientRegistry) -> list[e.Effect]:
    """Name those without whom the run begins at the deadline."""
    reason = f"was not ready within {config.timing.join_deadline_s:g} s"
    absent = sorted(name for name in config.clients if not registry.here(name))
    return [e.Publish("node.lost", {"subject": name, "reason": reason}) for name in absent]


def too_few_ready(config: CoordinatorConfig, registry: ClientRegistry) -> str:
    living, limit = registry.living(), f"{config.timing.join_deadline_s:g} s"
    names = ", ".join(sorted(config.clients - set(living)))
    wanted = f"at least {floor_of(len(config.clients), config)} clients were ready within {limit}"
    return f"{len(living)} of {wanted}; still missing: {names}"


def too_few_living(config: CoordinatorConfig, registry: ClientRegistry) -> str:
    """Return the reason why no round can be opened, with those who are missing."""
    living = registry.living()
    missing = ", ".join(sorted((config.clients | set(registry.clients)) - set(living)))
    return f"{len(living)} of at least {least(config)} are there; missing: {missing}"
