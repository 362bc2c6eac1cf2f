"""How admitted updates become one model. A strategy weighs; the worker folds by the payload's merge rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class Strategy(Protocol):
    """Decides the weight of each admitted update."""

    def weigh(self, examples: Sequence[int]) -> list[float]:
        """Give one weight per update, in the order given, summing to one."""
        ...


class FedAvg:
    """Federated averaging: each update counts by its number of examples (McMahan et al. 2017, equation 2 and Algorithm
    1).
    """

    def weigh(self, examples: Sequence[int]) -> list[float]:
        """Give ``n_k / n``."""
        total = sum(examples)
        return [n / total for n in examples]


STRATEGIES: Mapping[str, type[Strategy]] = {"fedavg": FedAvg}
