"""Whether enough clients are there to begin, or to go on: pure questions to the rules and the roll."""

from __future__ import annotations

from contextlib import suppress

from ..runtime import effects as e
from .client_registry import ClientRegistry
from .round import default_floor
from .rules import RoundRules


def floor_of(asked: int, rules: RoundRules) -> int:
    """How many answers make a round at least, of so many asked."""
    return min(asked, rules.min_clients) if rules.min_clients else default_floor(asked)


def bearable(wanted: int, rules: RoundRules) -> int:
    """How many answers, of so many wanted, the strategy can make something of: a quorum waits for as many at least.

    A round that closed with fewer while more were on their way would fail, and so would each attempt after it.
    """
    for answers in range(floor_of(wanted, rules), wanted):
        with suppress(Exception):  # whatever the check of somebody's own strategy raises
            rules.strategy.check(answers)
            return answers
    return wanted


def least(rules: RoundRules) -> int:
    """How many clients must be there before a round is opened."""
    return rules.min_clients or 1


def complete(rules: RoundRules, roll: ClientRegistry, *, at_deadline: bool, over: bool) -> bool:
    """Whether to begin: with everybody who has not been given up, at the deadline with enough of them.

    Where the run is `over`, those who are not there have the final model, or can do without it.
    """
    absent = any(not roll.here(name) and not roll.is_lost(name) for name in rules.clients)
    floor = 0 if over else floor_of(len(rules.clients), rules)
    return len(roll.living()) >= floor and (at_deadline or not absent)


def left_behind(rules: RoundRules, roll: ClientRegistry) -> list[e.Effect]:
    """Name those without whom the run begins at the deadline."""
    reason = f"was not ready within {rules.join_deadline_s:g} s"
    absent = sorted(name for name in rules.clients if not roll.here(name))
    return [e.Publish("node.lost", {"subject": name, "reason": reason}) for name in absent]


def why_not(rules: RoundRules, roll: ClientRegistry) -> str:
    """Say that too few were ready at the deadline, and who is missing."""
    there, limit = roll.living(), f"{rules.join_deadline_s:g} s"
    names = ", ".join(sorted(rules.clients - set(there)))
    wanted = f"at least {floor_of(len(rules.clients), rules)} clients were ready within {limit}"
    return f"{len(there)} of {wanted}; still missing: {names}"


def too_few(rules: RoundRules, roll: ClientRegistry) -> str:
    """Say that too few are there for a round, and who is missing."""
    there = roll.living()
    missing = ", ".join(sorted((rules.clients | set(roll.clients)) - set(there)))
    return f"{len(there)} of at least {least(rules)} are there; missing: {missing}"
