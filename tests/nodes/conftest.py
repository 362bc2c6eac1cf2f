"""A coordinator's machine by hand: events in, effects out, at set times."""

from collections.abc import Iterable
from typing import Any, TypeVar

import pytest
from federated_config import coordinator_config
from nervenet.broker import messages as m
from nervenet.nodes.federated.coordinator_machine import CoordinatorMachine
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev

T = TypeVar("T")
SURVEY = m.Payload(layout="survey", dtype="float64", length=9)
MODEL = m.Payload(layout="a1b2", dtype="float32", length=5)


def only(kind: type[T], effects: Iterable[e.Effect]) -> list[T]:
    return [effect for effect in effects if isinstance(effect, kind)]


class Harness:
    """A coordinator by hand: says things to it at set times and keeps what it wants done."""

    def __init__(self, n: int = 3, *, writes: bool = True, **settings: Any) -> None:
        self.names = tuple(f"client-{i}" for i in range(n))
        self.state = CoordinatorMachine(coordinator_config(self.names, **settings))
        self.writes = writes  # checkpoints are written at once; else the test answers for the disk
        self.now = 0.0
        self.effects: list[e.Effect] = []
        self.timers: dict[ev.Key, float] = {}

    def tell(self, event: ev.Event, now: float | None = None) -> list[e.Effect]:
        self.now = self.now if now is None else now
        effects = self.state.handle(event, self.now)
        self.effects += effects
        for effect in list(effects):
            match effect:
                case e.SetTimer(key, at):
                    self.timers[key] = at
                case e.CancelTimer(key):
                    self.timers.pop(key, None)
                case e.Checkpoint(number) if self.writes:
                    effects += self.tell(ev.Saved(number))
        return effects

    def say(self, sender: str, message: m.Message, body: Any = None, flaw: str | None = None) -> list[e.Effect]:
        return self.tell(ev.Arrived(sender, message, body, flaw))

    def until(self, when: float, *, beating: Iterable[str] = ()) -> list[e.Effect]:
        """Fire the timers up to `when`, while some clients go on to beat."""
        found: list[e.Effect] = []
        while self.timers and (at := min(self.timers.values())) <= when:
            key = min(key for key, due in self.timers.items() if due == at)
            del self.timers[key]
            for name in beating:
                found += self.tell(ev.Arrived(name, m.Heartbeat(round=0, state="train for 9.9 s", sending=())), at)
            found += self.tell(ev.TimerFired(key, at), at)
        self.now = when
        return found

    def gather(self) -> "Harness":
        self.tell(ev.Started())
        for name in self.names:
            self.tell(ev.LinkUp(name, "client", 1))
            self.say(name, m.Ready(examples=1000, pid=1))
        return self

    def settle(self) -> "Harness":
        """Complete round 0."""
        self.gather()
        for name in self.names:
            self.say(name, m.Update(0, 0, 10, {}, {"columns": ["x"]}, SURVEY), f"survey of {name}")
        self.tell(ev.ModelReady({"columns": ["x"]}, MODEL, "w0"))
        return self

    def answer(
        self, name: str, number: int = 1, attempt: int = 0, examples: int = 10, **metrics: float
    ) -> list[e.Effect]:
        return self.say(name, m.Update(number, attempt, examples, metrics, None, MODEL), f"{name} {number}.{attempt}")

    def published(self, kind: str) -> list[dict[str, Any]]:
        return [dict(p.fields) for p in only(e.Publish, self.effects) if p.type == kind]

    def finished(self) -> e.Finish | None:
        return next(iter(only(e.Finish, self.effects)), None)

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
