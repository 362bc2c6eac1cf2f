"""Token accounts: how many models a peer may send, and when (Danner & Jelasity 2018, ICDCS, "Token account
algorithms: the best of the proactive and reactive worlds", Algorithm 4 and section 3).

Every period a peer either sends a model, with a probability that its balance decides, or saves a token. A message that
comes may be answered at once, by as many messages as its worth and the balance allow, each of which costs a token. So a
peer never sends more than (periods + capacity) models, however many it gets, and good news travel at the speed of the
network instead of one hop a period.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import floor


@dataclass(frozen=True)
class TokenStrategy:
    """Pure functions of the balance, and `capacity`, the most tokens that are saved.

    `proactive` is the probability, in [0, 1], of sending in this period rather than saving a token. `reactive` says,
    from (balance, useful, draw), how many to send in reaction to a message, at most the balance; draws are uniform on
    [0, 1).
    """

    capacity: int
    proactive: Callable[[int], float]
    reactive: Callable[[int, bool, float], int]


def proactive() -> TokenStrategy:
    """A message every period and no other: plain push gossip. No token is ever saved."""
    return TokenStrategy(0, lambda _a: 1.0, lambda _a, _useful, _draw: 0)


def simple(capacity: int) -> TokenStrategy:
    """Save up to `capacity` tokens, answer every message with one while there are any (section 3.3.1).

    proactive = [a >= C], reactive = [a > 0].
    """
    _check(capacity, 1)
    return TokenStrategy(capacity, lambda a: float(a >= capacity), lambda a, _useful, _draw: int(a > 0))


def generalized(capacity: int, reactivity: int) -> TokenStrategy:
    """Answer with more the fuller the account is, and with half as much to what was of no use (section 3.3.2).

    proactive as in `simple`; reactive = ⌊(A - 1 + a) / A⌋ if useful, else ⌊(A - 1 + a) / (2A)⌋. A = `reactivity`: 1
    spends all there is, the larger the more is saved.
    """
    _check(capacity, reactivity)
    return TokenStrategy(
        capacity,
        lambda a: float(a >= capacity),
        lambda a, useful, _draw: (reactivity - 1 + a) // (reactivity if useful else 2 * reactivity),
    )


def randomized(capacity: int, reactivity: int) -> TokenStrategy:
    """As `generalized`, with probabilities instead of thresholds (section 3.3.3).

    proactive = 0 below A - 1, (a - A + 1) / (C - A + 1) on [A - 1, C], 1 above; reactive = randRound(a / A) if useful,
    else 0, where randRound rounds up with the probability of the fraction.
    """
    _check(capacity, reactivity)
    return TokenStrategy(
        capacity,
        lambda a: min(1.0, max(0.0, (a - reactivity + 1) / (capacity - reactivity + 1))),
        lambda a, useful, draw: rand_round(a / reactivity, draw) if useful else 0,
    )


def _check(capacity: int, reactivity: int) -> None:
    if reactivity < 1 or capacity < reactivity:
        raise ValueError(
            f"a token account needs 1 <= reactivity <= capacity; found reactivity {reactivity}, capacity {capacity}"
        )


def rand_round(value: float, draw: float) -> int:
    """Round to one of the two integers around `value`, so that the mean over uniform draws is `value`."""
    whole = floor(value)
    return whole + (draw < value - whole)


STRATEGIES: Mapping[str, Callable[[int, int], TokenStrategy]] = {
    "proactive": lambda _capacity, _reactivity: proactive(),
    "simple": lambda capacity, _reactivity: simple(capacity),
    "generalized": generalized,
    "randomized": randomized,
}
"""By name, from (capacity, reactivity)."""


@dataclass
class TokenAccount:
    """A peer's saved tokens: never negative, never above the capacity."""

    strategy: TokenStrategy
    balance: int = 0

    def tick(self, draw: float) -> bool:
        """Pass a period; true: send one now. `draw` is uniform on [0, 1)."""
        if draw < self.strategy.proactive(self.balance):
            return True
        self.balance += 1
        return False

    def react(self, useful: bool, draw: float) -> int:
        count = min(self.strategy.reactive(self.balance, useful, draw), self.balance)
        self.balance -= count
        return count
