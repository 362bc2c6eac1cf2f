"""One attempt at one round: who was asked, who has answered, who is excused, and when that is enough."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from .sampling import round_off
from .strategies import Contribution


@dataclass(slots=True)
class Round:
    number: int
    attempt: int
    work: str
    asked: tuple[str, ...]
    wanted: int  # answers; fewer than are asked where there is over-selection
    quorum: float
    floor: int  # never close with fewer
    opened_at: float
    strategy_least: int = 0  # nor by quorum with fewer, while more can answer
    admitted: dict[str, Contribution] = field(default_factory=dict)
    excused: dict[str, str] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)  # excused only because nothing is heard of them
    closing: str | None = None  # why it takes no more answers
    held: bool = False  # closed, and not folded before the last evaluation is in

    @property
    def key(self) -> tuple[int, int]:
        return self.number, self.attempt

    def awaited(self) -> list[str]:
        return [name for name in self.asked if name not in self.admitted and name not in self.excused]

    def excuse(self, name: str, reason: str, *, silent: bool = False) -> bool:
        """Wait no longer for a client; true if that is new. A firm reason takes the place of mere silence."""
        if self.closing or name not in self.asked or name in self.admitted:
            return False
        if name in self.excused and (silent or name not in self.silent):
            return False
        self.excused[name] = reason
        (self.silent.add if silent else self.silent.discard)(name)
        return True

    def verdict(self) -> str | None:
        """``all`` or ``quorum`` once the round can close, else None.

        The quorum is a share of those wanted, as far as that many are still able to answer:
        ``ceil(quorum * min(wanted, asked - excused))``, and what the strategy needs.
        """
        able = len(self.asked) - len([name for name in self.excused if name not in self.admitted])
        share = math.ceil(round_off(self.quorum * min(self.wanted, able)))
        needed = max(share, self.floor, min(self.strategy_least, able))
        if len(self.admitted) < needed:
            return None
        return "all" if len(self.admitted) == len(self.asked) else "quorum"

    def contributions(self) -> tuple[Contribution, ...]:
        return tuple(contribution for _, contribution in sorted(self.admitted.items()))

    def missing(self, why: str) -> dict[str, str]:
        """Return everybody asked who is not in the result, each with the reason."""
        return {name: self.excused.get(name, why) for name in self.asked if name not in self.admitted}
