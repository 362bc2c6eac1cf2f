"""A coordinator's machine by hand: events in, effects out, at set times."""

from typing import Any

import pytest
from coordinator_by_hand import MODEL, ByHand
from federated_config import coordinator_config
from nervenet.broker import messages as m
from nervenet.nodes.federated.coordinator_machine import CoordinatorMachine
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev


class Harness(ByHand):
    """A coordinator with rounds."""

    def __init__(self, n: int = 3, *, writes: bool = True, **settings: Any) -> None:
        names = tuple(f"client-{i}" for i in range(n))
        super().__init__(names, CoordinatorMachine(coordinator_config(names, **settings)), writes=writes)

    def answer(
        self, name: str, number: int = 1, attempt: int = 0, examples: int = 10, **metrics: float
    ) -> list[e.Effect]:
        return self.say(name, m.Update(number, attempt, examples, metrics, None, MODEL), f"{name} {number}.{attempt}")

    def train(self, number: int = 1, attempt: int = 0) -> list[e.Effect]:
        """Everybody asked answers, and the fold is done."""
        effects: list[e.Effect] = []
        for name in self.names:
            effects += self.answer(name, number, attempt)
        return effects + self.tell(ev.Folded(number, attempt, f"w{number}"))


@pytest.fixture
def coordinator() -> type[Harness]:
    """Set up a coordinator by hand: `coordinator(clients, **rules)`."""
    return Harness
