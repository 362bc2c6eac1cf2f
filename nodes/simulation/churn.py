"""Who cannot be reached when, and who ends: drawn for each node by itself, so that one more node changes no other's."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from nervenet.models.rng import generator

from ..config.simulation import SimulationConfig
from .machines import VirtualNodes

ENDED = "its machine has ended, as the lifetime drawn for it has it (simulation.lifetime_s)"


def let_come_and_go(nodes: VirtualNodes, names: Iterable[str], config: SimulationConfig, seed: int) -> None:
    """Schedule absences and ends of nodes; times between them are exponential."""
    for name in names:
        draws = generator(seed, "simulation", name, "churn")
        if config.lifetime_s is not None:
            nodes.at(float(draws.exponential(config.lifetime_s)), _ending(nodes, name))
        if config.offline:
            absences = Absences(nodes, name, config, draws)
            if draws.random() < config.offline:
                absences.go()
            else:
                absences.wait()


class Absences:
    """The absences of one node: `offline` of its time, for `offline_s` each in the mean."""

    def __init__(self, nodes: VirtualNodes, name: str, config: SimulationConfig, draws: np.random.Generator) -> None:
        self._nodes, self._name, self._draws = nodes, name, draws
        self._away_s = config.offline_s
        self._here_s = config.offline_s * (1 - config.offline) / config.offline

    def go(self) -> None:
        self._nodes.network.away.add(self._name)
        self._nodes.at(self._nodes.now + float(self._draws.exponential(self._away_s)), self.come)

    def come(self) -> None:
        self._nodes.network.away.discard(self._name)
        self.wait()

    def wait(self) -> None:
        self._nodes.at(self._nodes.now + float(self._draws.exponential(self._here_s)), self.go)


def _ending(nodes: VirtualNodes, name: str) -> Callable[[], None]:
    return lambda: nodes.end(name, ENDED)
