"""A coordinator's machine by hand: events in, effects out, at set times."""

from collections.abc import Iterable
from typing import Any, Self, TypeVar

from nervenet.broker import messages as m
from nervenet.nodes.federated.coordinator_machine import CoordinatorMachine
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev

T = TypeVar("T")
SURVEY = m.Payload(layout="survey", dtype="float64", length=9)
MODEL = m.Payload(layout="a1b2", dtype="float32", length=5)


def only(kind: type[T], effects: Iterable[e.Effect]) -> list[T]:
    return [effect for effect in effects if isinstance(effect, kind)]


class ByHand:
    """Says things to a coordinator's machine at set times, and keeps what it wants done."""

    def __init__(self, names: tuple[str, ...], state: CoordinatorMachine, *, writes: bool = True) -> None:
        self.names = names
        self.state = state
        self.writes = writes  # checkpoints are written at once; else the test answers for the disk
        self.now = 0.0
        self.effects: list[e.Effect] = []
        self.timers: dict[ev.Key, float] = {}
        self.begun: list[e.Effect] = []  # what was wanted when round 0 was complete

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
            key = min((key for key, due in self.timers.items() if due == at), key=str)
            del self.timers[key]
            for name in beating:
                found += self.tell(ev.Arrived(name, m.Heartbeat(round=0, state="train for 9.9 s", sending=())), at)
            found += self.tell(ev.TimerFired(key, at), at)
        self.now = when
        return found

    def join(self, name: str) -> list[e.Effect]:
        return [*self.tell(ev.LinkUp(name, "client", 1)), *self.say(name, m.Ready(examples=1000, pid=1))]

    def gather(self) -> Self:
        self.tell(ev.Started())
        for name in self.names:
            self.join(name)
        return self

    def settle(self) -> Self:
        """Complete round 0."""
        self.gather()
        for name in self.names:
            self.say(name, m.Update(0, 0, 10, {}, {"columns": ["x"]}, SURVEY), f"survey of {name}")
        self.begun = self.tell(ev.ModelReady({"columns": ["x"]}, MODEL, "w0"))
        return self

    def published(self, kind: str) -> list[dict[str, Any]]:
        return [dict(p.fields) for p in only(e.Publish, self.effects) if p.type == kind]

    def finished(self) -> e.Finish | None:
        return next(iter(only(e.Finish, self.effects)), None)
