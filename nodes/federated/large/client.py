"""A client of a run whose model no message can carry: fetches what its tasks announce, announces what it answers; pure.

To the client's own machine nothing of that is visible: it gets a task once the weights are there.
"""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import UNSET, structs
from nervenet.broker import messages as m

from ...large.offer import REFUSALS
from ...large.pull import AGAIN_S, Pull
from ...large.sizes import Sizes
from ...runtime import effects as e
from ...runtime import events as ev
from ..client_machine import ClientMachine
from .offers import Offers


@dataclass(frozen=True, slots=True)
class Announced:
    """A task whose weights are being fetched."""

    task: m.Task
    manifest: m.Manifest
    pull: Pull

    @property
    def key(self) -> tuple[int, int]:
        return self.task.round, self.task.attempt


class LargeClient:
    """Wraps a `ClientMachine`; an array is handed to it whole, however it came."""

    def __init__(self, machine: ClientMachine, sizes: Sizes) -> None:
        self.machine = machine
        self.sizes = sizes
        self.offers = Offers(sizes)
        self.announced: Announced | None = None
        self._have: tuple[int, ev.Body] | None = None  # the generation of the weights that are here
        self._newest = (-1, -1)  # (round, attempt) of the last task that was announced
        self._incarnation: int | None = None
        self._pulls = 0

    def handle(self, event: ev.Event, now: float) -> list[e.Effect]:
        return self.offers.withhold(self._handle(event, now))

    def _handle(self, event: ev.Event, now: float) -> list[e.Effect]:
        match event:
            case ev.Arrived(sender=sender) if sender == self.machine.config.coordinator:
                return self._arrived(event, now)
            case ev.LinkUp(peer, _, incarnation) if peer == self.machine.config.coordinator:
                effects = self.machine.handle(event, now)
                return effects + self._connected(peer, incarnation, now)
            case ev.ModelReady():  # where its first weights are is no longer of interest, and they are large
                return self.machine.handle(structs.replace(event, body=None, outgoing=None), now)
            case ev.RangeKept():
                return self._kept(event, now)
            case ev.WorkFailed("keep range", _, _, reason):
                return self._hand_on(None, f"the weights cannot be kept here: {reason}", now)
            case ev.TimerFired(("pulse",)):
                return self._pulse(self.machine.handle(event, now), now)
            case _:
                return self.machine.handle(event, now)

    def _arrived(self, event: ev.Arrived, now: float) -> list[e.Effect]:
        machine, sender, message = self.machine, event.sender, event.message
        match message:
            case m.Task(manifest=m.Manifest() as manifest) as task:
                return self._announce(sender, task, manifest, now)
            case m.Task():
                self._supersede((message.round, message.attempt))
                self.offers.offer = None
            case m.GetChunk():
                return machine.handle(event, now) + self.offers.serve(sender, message)
            case m.Chunk():
                heard = machine.handle(structs.replace(event, body=None, flaw=None), now)
                return heard + self._came(event, message, now)
            case m.Refused(about="get_chunk", code=code, round=generation, reason=reason):
                if code not in REFUSALS or not self.announced or self.announced.manifest.generation != generation:
                    return []
                if code == "length":  # by other limits there: it would be so every time
                    return self._hand_on(None, f"the weights cannot be fetched: {reason}", now)
                self._drop()  # another task is on its way, or this client is not asked any more
                return []
            case m.Refused(about="task", round=number):
                if self.announced and self.announced.task.round == number and self.announced.task.work == "train":
                    self._drop()
            case m.Heartbeat(sending=rounds) if self.announced and self.announced.task.round in rounds:
                self.announced.pull.progress_at = now
            case _:
                pass
        return machine.handle(event, now)

    def _announce(self, sender: str, task: m.Task, manifest: m.Manifest, now: float) -> list[e.Effect]:
        """Begin to fetch the weights of a task, or go on where those of the one before it are the same."""
        key = task.round, task.attempt
        if key <= self._newest:
            return []  # said twice
        self._newest = key
        self.offers.forget()
        # Whatever is being worked on is of a round that is over.
        effects: list[e.Effect] = [e.CancelTraining()] if self.machine.current else []
        before, self.announced = self.announced, None
        if self._have is not None and self._have[0] == manifest.generation:
            return effects + self._hand_on(self._have[1], None, now, task, manifest)
        self._have = None
        flaw = self._misfit(manifest)
        if flaw or self.machine.config.policy.of_task(task) is not None:  # it is declined, and nothing fetched for it
            return effects + self._hand_on(None, flaw, now, task, manifest)
        if before is not None and before.manifest == manifest:
            before.pull.round = task.round
            self.announced = Announced(task, manifest, before.pull)
            return effects
        self._pulls += 1
        generations = {sender: manifest.generation}
        pull = Pull(self._pulls, task.round, manifest.payload, self.sizes, generations, now)
        self.announced = Announced(task, manifest, pull)
        return effects + pull.request()

    def _misfit(self, manifest: m.Manifest) -> str | None:
        """Return why such weights cannot be those of the model that is agreed on, before room is made for them."""
        model, found = self.machine.model, manifest.payload
        if model is None or model.payload.layout != found.layout or model.payload == found:
            return None
        return f"the array must be {model.payload.length} {model.payload.dtype}, found {found.length} {found.dtype}"

    def _came(self, event: ev.Arrived, chunk: m.Chunk, now: float) -> list[e.Effect]:
        if self.announced is None:
            return []
        pull, payload = self.announced.pull, self.announced.manifest.payload
        flaw = pull.take(event.sender, chunk, event.body, now) or event.flaw
        if flaw:
            return self._hand_on(None, flaw, now)
        return [
            e.KeepRange(pull.number, start, body, payload)
            for start, bodies in pull.complete()
            for body in bodies.values()
        ]

    def _kept(self, event: ev.RangeKept, now: float) -> list[e.Effect]:
        if self.announced is None or event.number != self.announced.pull.number:
            return []
        pull = self.announced.pull
        pull.used(event.start, now)
        if not pull.finished:
            return pull.request()
        self._have = (self.announced.manifest.generation, event.body)
        return self._hand_on(event.body, None, now)

    def _hand_on(
        self,
        body: ev.Body,
        flaw: str | None,
        now: float,
        task: m.Task | None = None,
        manifest: m.Manifest | None = None,
    ) -> list[e.Effect]:
        """Give the machine a task with its weights, or with what is wrong with them."""
        if task is None or manifest is None:
            if self.announced is None:
                return []
            task, manifest = self.announced.task, self.announced.manifest
            self.announced = None
        whole = structs.replace(task, payload=manifest.payload, manifest=UNSET)
        coordinator = self.machine.config.coordinator
        record = [] if body is None else [e.Record(coordinator, whole, body)]
        return [*record, *self.machine.handle(ev.Arrived(coordinator, whole, body, flaw), now)]

    def _connected(self, coordinator: str, incarnation: int, now: float) -> list[e.Effect]:
        """Ask again for what the connection that has ended may have taken with it; of a new incarnation for nothing."""
        before, self._incarnation = self._incarnation, incarnation
        if before == incarnation:
            return self.announced.pull.again(coordinator, now) if self.announced else self.offers.again(coordinator)
        self._drop()
        self._have, self._newest = None, (-1, -1)
        self.offers.forget()
        return []

    def _pulse(self, effects: list[e.Effect], now: float) -> list[e.Effect]:
        announced = self.announced
        if announced is None:
            return effects
        pull, coordinator = announced.pull, self.machine.config.coordinator
        doing = f"receives the weights of round {announced.task.round}: {pull.share:.0%}"
        shown = [structs.replace(each, state=doing) if isinstance(each, e.SendHeartbeat) else each for each in effects]
        source = pull.sources[coordinator]
        if source.asked and now - max(pull.progress_at, source.again_at) >= AGAIN_S:
            shown += pull.again(coordinator, now)
        return shown

    def _supersede(self, key: tuple[int, int]) -> None:
        if key > self._newest:
            self._newest, self.announced = key, None

    def _drop(self) -> None:
        self.announced = None
