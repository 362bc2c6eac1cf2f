"""A coordinator of a run whose model no message can carry: announces it, and fetches and folds updates by ranges; pure.

To the coordinator's own machine little of that is visible: it admits updates whose bodies are handles as always, asks
for their fold, and is told of the next model.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import UNSET, structs
from nervenet.broker import messages as m

from ...large.offer import REFUSALS
from ...large.sizes import Sizes
from ...runtime import effects as e
from ...runtime import events as ev
from ..coordinator_machine import CoordinatorMachine
from ..task_dispatch import expected_payload
from .folding import Folding, Remote
from .leaving import Leaving
from .offers import Offers
from .suited import unsuited


class Handle(Protocol):
    """Takes an event, as a machine does."""

    def __call__(self, event: ev.Event, now: float) -> list[e.Effect]: ...


class LargeCoordinator:
    """Wraps a `CoordinatorMachine`; where the model fits a message, whose events then go straight to it."""

    handle: Handle

    def __init__(self, machine: CoordinatorMachine, sizes: Sizes) -> None:
        self.machine = machine
        self.sizes = sizes
        self.offers = Offers(sizes)
        self.folding: Folding | None = None
        self.leaving: Leaving | None = None
        self._incarnations: dict[str, int] = {}
        self._folds = 0
        self.handle = self._before_the_model

    def _before_the_model(self, event: ev.Event, now: float) -> list[e.Effect]:
        """Have the machine decide until the model is known, and then whether it travels in chunks."""
        effects = self.machine.handle(event, now)
        run = self.machine.run
        if run.model is None:
            return effects
        payload = expected_payload("train", run.model, run.config)
        if payload is None or not self.sizes.too_large(payload):
            self.handle = self.machine.handle
            return effects
        self.handle = self._large
        run.model = structs.replace(run.model, body=None, outgoing=None)  # or the first weights were kept for the run
        reason = unsuited(run.config.strategy, run.config.federated, site_matrix=run.config.site_matrix)
        if reason is not None and run.status != "finished":
            limit = f"network.max_message_bytes = {self.sizes.message_bytes:,}"
            return run.fail(f"the model is larger than a message ({limit}), and travels in chunks; {reason}")
        return self._performed(effects, now)

    def _large(self, event: ev.Event, now: float) -> list[e.Effect]:
        if self.leaving is not None:
            return self._leave(event, now)
        return self._performed(self._handle(event, now), now)

    def _handle(self, event: ev.Event, now: float) -> list[e.Effect]:
        match event:
            case ev.Arrived():
                return self._arrived(event, now)
            case ev.LinkUp(peer, _, incarnation):
                before, self._incarnations[peer] = self._incarnations.get(peer, incarnation), incarnation
                return self.machine.handle(event, now) + self._connected(peer, incarnation == before, now)
            case ev.RangeFolded() if self.folding:
                return self._of_fold(self.folding.folded(event, now), now)
            case ev.Folded() if self.folding and (event.round, event.attempt) == self.folding.key:
                folding, self.folding = self.folding, None
                return self.machine.handle(folding.result(event), now)
            case ev.WorkFailed("fold range" | "close fold", number, attempt, reason):
                if self.folding is None or (number, attempt) != self.folding.key:
                    return []
                self.folding = None
                return self.machine.handle(ev.WorkFailed("fold", number, attempt, reason), now)
            case ev.TimerFired(("work", "fold", _) as key) if self.folding:
                due = self.folding.pull.progress_at + self.machine.run.config.timing.work_deadline_s
                return [e.SetTimer(key, due)] if now < due else self.machine.handle(event, now)
            case ev.TimerFired(("pulse",)):
                return self.machine.handle(event, now) + self._review(now)
            case _:
                return self.machine.handle(event, now)

    def _arrived(self, event: ev.Arrived, now: float) -> list[e.Effect]:
        sender, message, machine = event.sender, event.message, self.machine
        match message:
            case m.Update(manifest=m.Manifest() as manifest) as update:
                current = machine.run.round
                if current is None or current.work != "train":
                    return machine.handle(event, now)  # which finds no array in it
                whole = structs.replace(update, payload=manifest.payload, manifest=UNSET)
                body = Remote(manifest.payload, manifest.generation)
                if sender in current.admitted and current.admitted[sender].body == body:
                    return []  # said twice, since a connection had ended
                return machine.handle(structs.replace(event, message=whole, body=body), now)
            case m.GetChunk():
                return machine.handle(event, now) + self.offers.serve(sender, message)
            case m.Chunk():
                heard = machine.handle(structs.replace(event, body=None, flaw=None), now)
                return heard + self._came(sender, message, event, now)
            case m.Refused(about="get_chunk", code=code, round=generation, reason=reason) if code in REFUSALS:
                return machine.handle(event, now) + self._refused(sender, generation, reason, now)
            case m.Goodbye(reason=reason):
                return machine.handle(event, now) + self._left_out({sender: f"{sender} has left: {reason}"}, now)
            case m.Heartbeat(sending=rounds) if self.folding:
                self.folding.sending[sender] = self.folding.fold.round in rounds
            case _:
                pass
        return machine.handle(event, now)

    def _came(self, sender: str, chunk: m.Chunk, event: ev.Arrived, now: float) -> list[e.Effect]:
        if self.folding is None:
            return []
        return self._of_fold(self.folding.came(sender, chunk, event, now), now)

    def _performed(self, effects: list[e.Effect], now: float) -> list[e.Effect]:
        """Take from the machine's effects what is done in ranges here."""
        found: list[e.Effect] = []
        for effect in self.offers.withhold(effects):
            if isinstance(effect, e.Fold) and any(isinstance(each.body, Remote) for each in effect.contributions):
                found += self._fold(effect, now)
            elif isinstance(effect, e.Finish) and effect.status == "completed" and self._owed():
                self.leaving = Leaving(effect, self._owed(), self.machine.run.config.timing, now)
                found.append(e.SetTimer(("pulse",), now + self.machine.run.config.timing.heartbeat_s))
            else:
                found.append(effect)
        current = self.machine.run.round
        if self.folding is not None and (current is None or current.key != self.folding.key):
            self.folding = None  # its round is over
        return found

    def _fold(self, fold: e.Fold, now: float) -> list[e.Effect]:
        run = self.machine.run
        if run.round is None:
            return []
        self.folding = Folding(fold, run.round, self.sizes, self._folds + 1, run.config.timing.deadline_s, now)
        effects = self.folding.pull.request()
        return self._of_fold(effects, now)

    def _of_fold(self, effects: list[e.Effect], now: float) -> list[e.Effect]:
        """Return what a fold asks for; where too few updates are left, what its round comes to."""
        folding = self.folding
        if folding is None:
            return effects
        self._folds = folding.number
        if not folding.failed:
            return effects
        self.folding = None
        return effects + self.machine.handle(folding.nothing(), now)

    def _left_out(self, reasons: dict[str, str], now: float) -> list[e.Effect]:
        if self.folding is None or not reasons:
            return []
        return self._of_fold(self.folding.leave_out(reasons, now), now)

    def _refused(self, sender: str, generation: int, reason: str, now: float) -> list[e.Effect]:
        source = self.folding.pull.sources.get(sender) if self.folding else None
        if source is None or source.generation != generation:
            return []
        return self._left_out({sender: f"{sender} does not hand it out: {reason}"}, now)

    def _connected(self, peer: str, same: bool, now: float) -> list[e.Effect]:
        """Say and ask again what the connection that has ended may have taken with it."""
        if self.folding is None or peer not in self.folding.pull.sources:
            current = self.machine.run.round
            awaited = same and current is not None and not current.closing and peer not in current.admitted
            return self.offers.again(peer, current.key) if awaited and current else []
        if same:
            return self.folding.pull.again(peer, now)
        return self._left_out({peer: f"{peer} was started again"}, now)

    def _review(self, now: float) -> list[e.Effect]:
        if self.folding is None:
            return []
        run = self.machine.run
        effects, given_up = self.folding.review(now)
        for name in given_up:  # whoever lives and never hands over its update makes every round last so long
            effects += run.strike(name, self.folding.key, given_up[name])
        lost = {name: f"{name} is lost" for name in self.folding.pull.sources if run.registry.is_lost(name)}
        return effects + self._left_out({**given_up, **lost}, now)

    def _owed(self) -> set[str]:
        """Return who has been told of the final model, and has not said goodbye: a cut may have taken that with it."""
        offer, run = self.offers.offer, self.machine.run
        last = offer.last if offer is not None else {}
        told = {name for name, each in last.items() if getattr(each.message, "work", "") == "finish"}
        return told.intersection(run.registry.reachable())

    def _leave(self, event: ev.Event, now: float) -> list[e.Effect]:
        """Serve the final model until those who were told of it have said goodbye, and end then."""
        if self.leaving is None:
            return []
        effects: list[e.Effect] = []
        match event:
            case ev.Arrived(sender, m.GetChunk() as asked):
                self.leaving.moved(sender, now)
                effects += self.offers.serve(sender, asked)
            case ev.Arrived(sender, m.Goodbye()):
                self.leaving.done(sender)
            case ev.LinkUp(peer):
                effects += self.offers.again(peer)
            case ev.StillSending(peer):
                self.leaving.moved(peer, now)
            case ev.Arrived(sender):
                self.leaving.heard(sender, now)
            case ev.TimerFired(("pulse",)):
                effects += self.leaving.pulse(now)
            case _:
                return []
        return effects + self.leaving.finish()
