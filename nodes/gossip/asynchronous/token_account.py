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
from typing import Protocol


class TokenStrategy(Protocol):
    """A strategy: pure functions of the balance."""

    def proactive(self, balance: int) -> float:
        """Return the probability of sending in this period, in [0, 1], rather than saving a token."""
        ...

    def reactive(self, balance: int, useful: bool, draw: float) -> int:
        """Return how many to send in reaction to a message, at most `balance`; `draw` is uniform on [0, 1)."""
        ...


def _checked(capacity: int, reactivity: int = 1) -> None:
    if reactivity < 1 or capacity < reactivity:
        raise ValueError(
            f"a token account needs 1 <= reactivity <= capacity; found reactivity {reactivity}, capacity {capacity}"
        )


@dataclass(frozen=True)
class Proactive:
    """A message every period and no other: plain push gossip. No token is ever saved."""

    def proactive(self, balance: int) -> float:  # noqa: ARG002
        """Always."""
        return 1.0

    def reactive(self, balance: int, useful: bool, draw: float) -> int:  # noqa: ARG002
        """Never."""
        return 0


@dataclass(frozen=True)
class Simple:
    """Save up to `capacity` tokens, answer every message with one while there are any (section 3.3.1).

    proactive = [a >= C], reactive = [a > 0].
    """

    capacity: int = 10

    def __post_init__(self) -> None:
        _checked(self.capacity)

    def proactive(self, balance: int) -> float:
        """Send only when the account is full."""
        return float(balance >= self.capacity)

    def reactive(self, balance: int, useful: bool, draw: float) -> int:  # noqa: ARG002
        """One, if there is a token."""
        return int(balance > 0)


@dataclass(frozen=True)
class Generalized:
    """Answer with more the fuller the account is, and with half as much to what was of no use (section 3.3.2).

    proactive as in `Simple`; reactive = ⌊(A - 1 + a) / A⌋ if useful, else ⌊(A - 1 + a) / (2A)⌋. A = `reactivity`: 1
    spends all there is, the larger the more is saved.
    """

    capacity: int = 20
    reactivity: int = 10

    def __post_init__(self) -> None:
        _checked(self.capacity, self.reactivity)

    def proactive(self, balance: int) -> float:
        """Send only when the account is full."""
        return float(balance >= self.capacity)

    def reactive(self, balance: int, useful: bool, draw: float) -> int:  # noqa: ARG002
        """See the class."""
        numerator = self.reactivity - 1 + balance
        return numerator // (self.reactivity if useful else 2 * self.reactivity)


@dataclass(frozen=True)
class Randomized:
    """As `Generalized`, with probabilities instead of thresholds (section 3.3.3).

    proactive = 0 below A - 1, (a - A + 1) / (C - A + 1) on [A - 1, C], 1 above; reactive = randRound(a / A) if useful,
    else 0, where randRound rounds up with the probability of the fraction.
    """

    capacity: int = 20
    reactivity: int = 10

    def __post_init__(self) -> None:
        _checked(self.capacity, self.reactivity)

    def proactive(self, balance: int) -> float:
        """See the class."""
        A, C = self.reactivity, self.capacity
        if balance < A - 1:
            return 0.0
        return min(1.0, (balance - A + 1) / (C - A + 1))

    def reactive(self, balance: int, useful: bool, draw: float) -> int:
        """See the class."""
        return rand_round(balance / self.reactivity, draw) if useful else 0


def rand_round(value: float, draw: float) -> int:
    """Round to one of the two integers around `value`, so that the mean over uniform draws is `value`."""
    whole = floor(value)
    return whole + (draw < value - whole)


STRATEGIES: Mapping[str, Callable[[int, int], TokenStrategy]] = {
    "proactive": lambda _capacity, _reactivity: Proactive(),
    "simple": lambda capacity, _reactivity: Simple(capacity),
    "generalized": Generalized,
    "randomized": Randomized,
}
"""By name, from (capacity, reactivity)."""


@dataclass
class TokenAccount:
    """A peer's balance, which is never negative and never above the account's capacity.

    Attributes
    ----------
    balance
        Tokens saved.
    """

    strategy: TokenStrategy
    balance: int = 0

    def tick(self, draw: float) -> bool:
        """Pass a period; true: send one now. `draw` is uniform on [0, 1)."""
        if draw < self.strategy.proactive(self.balance):
            return True
        self.balance += 1
        return False

    def react(self, useful: bool, draw: float) -> int:
        """Take note of a message; return how many to send now, whose tokens are spent."""
        count = min(self.strategy.reactive(self.balance, useful, draw), self.balance)
        self.balance -= count
        return count
