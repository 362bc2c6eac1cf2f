"""Models that walk: what a peer makes of a model that comes to it (Ormándi, Hegedűs & Jelasity 2013, "Gossip learning
with linear models on fully distributed data", Algorithm 2).

RW updates what comes and passes it on, so each model is a random walk over the data. MU merges it with another and
updates the result; UM updates both and merges them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from .model_merge import ages_after


class Act(Enum):
    """A step of making a model: of the one that came (`a`) and the other (`b`)."""

    MERGE = "a <- merge(b, a)"
    UPDATE = "a <- update(a)"
    UPDATE_OTHER = "b <- update(b)"


RECIPES: Mapping[str, tuple[Act, ...]] = {
    "rw": (Act.UPDATE,),
    "mu": (Act.MERGE, Act.UPDATE),
    "um": (Act.UPDATE, Act.UPDATE_OTHER, Act.MERGE),
}
"""How each variant makes the next model."""


@dataclass(frozen=True, slots=True)
class WalkingModel:
    """A model on its way: a handle of its weights, and the age of each of its parts in updates."""

    body: Any
    ages: tuple[int, ...] = (0,)

    @property
    def age(self) -> int:
        """Of its oldest part: where the schedule of its learning rate stands."""
        return max(self.ages)

    def updated(self, body: Any, steps: int) -> WalkingModel:
        """Give what an update of so many steps makes of it: all parts have learned."""
        return WalkingModel(body, tuple(age + steps for age in self.ages))

    def with_merged(self, body: Any, part: int, theirs: int) -> WalkingModel:
        """Give what merging a part of that age into it makes of it."""
        return WalkingModel(body, ages_after(self.ages, part, theirs))


def useful(mine: int, theirs: int) -> bool:
    """Whether a model that comes is news: it has learned at least as much as one's own (Danner & Jelasity 2018, 4)."""
    return theirs >= mine
