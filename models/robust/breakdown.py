"""Breakdown points: what each rule's theory demands of n, the vectors, and f, the Byzantine ones among them."""

from typing import NamedTuple


class Demand(NamedTuple):
    """``n >= multiple f + constant``."""

    multiple: int
    constant: int

    def __str__(self) -> str:
        return f"n >= {self.multiple}f + {self.constant}"


DEMANDS: dict[str, Demand] = {
    "coordinate median": Demand(2, 1),
    "trimmed mean": Demand(2, 1),
    "geometric median": Demand(2, 1),
    "centered clipping": Demand(2, 1),
    "krum": Demand(2, 3),
    "multi-krum": Demand(2, 3),
    "bulyan": Demand(4, 3),
}
"""What each rule demands, by its name: Yin et al. 2018; Pillutla et al. 2022; Karimireddy et al. 2021; Blanchard et al.
2017, Proposition 4.2; El Mhamdi et al. 2018."""


class RobustnessError(ValueError):
    """A rule, by its name, is asked to tolerate more Byzantine vectors f among n than its theory allows."""

    def __init__(self, rule: str, n: int, f: int, allowed: str) -> None:
        super().__init__(f"{rule} cannot tolerate f = {f} Byzantine among n = {n}: {allowed}")
        self.rule, self.n, self.f = rule, n, f


def max_byzantine(rule: str, n: int) -> int:
    """Return the largest f that a rule tolerates among n vectors; -1 if n is too small for the rule at all."""
    demand = DEMANDS[rule]
    return max((n - demand.constant) // demand.multiple, -1)


def check(rule: str, n: int, f: int) -> None:
    """Raise RobustnessError for an (n, f) that the theory of a rule excludes, with the largest f for this n."""
    if f < 0:
        raise RobustnessError(rule, n, f, "f cannot be negative")
    most = max_byzantine(rule, n)
    if f > most:
        demand = DEMANDS[rule]
        fewest = demand.multiple * f + demand.constant
        room = f"at most f = {most} for n = {n}" if most >= 0 else f"n = {n} is too few for any f"
        raise RobustnessError(rule, n, f, f"it needs {demand}, n >= {fewest} for this f; {room}")
