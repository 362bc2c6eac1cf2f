"""What every peer without rounds has in common: it meets the others, trains cycle after cycle, listens, and ends when
its neighbors have done their cycles too. Nothing here ever waits for a neighbor.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from nervenet.broker import messages as m

from ...runtime import effects as e
from ...runtime import events as ev
from ...runtime.payload_checks import payload_fault
from ..lifecycle import PATIENCE, PeerLifecycle
from ..rules import PeerRules
from ..survey_flood import SurveyFlood
from .neighbors import AsyncNeighbors


class AsyncPeerMachine(ABC):
    """Decides what a peer without rounds does next, in `cycle`; its algorithm fills in what a cycle is."""

    def __init__(self, rules: PeerRules) -> None:
        self.rules = rules
        flood = SurveyFlood.of(rules, rules.neighbors)
        self.lifecycle = PeerLifecycle(rules, flood, unit="cycle")
        self.stats = self.lifecycle.stats
        self.neighbors = AsyncNeighbors(rules.neighbors, rules.timing)
        self.cycle = 0
        self.completed = 0
        self.until = 0
        self._last = False  # whether no more cycles will be asked for
        self._training_at = 0.0
        self._trained_s = 0.0  # that trainings took since the cycle before was done
        self._closing = False
        self._evaluating = 0  # evaluations that are asked for and not there

    @property
    def status(self) -> str:
        """``meeting``, ``training``, ``resting`` (all cycles asked for are done; others are still answered), or
        ``finished``.
        """
        return self.lifecycle.status

    @property
    def settled(self) -> ev.ModelReady | None:
        return self.lifecycle.settled

    # --------------------------------------------------------------------------------------- what the algorithm decides

    @property
    @abstractmethod
    def weights(self) -> ev.Body:
        """The model as it is."""

    @property
    @abstractmethod
    def clock(self) -> float:
        """How far the learning-rate schedule of the model has come."""

    @abstractmethod
    def _ready(self, settled: ev.ModelReady) -> None:
        """Take the first weights."""

    @abstractmethod
    def _begin(self, now: float) -> list[e.Effect]:
        """Begin the next cycle, or wait for what begins it."""

    @abstractmethod
    def _message(self, event: ev.Arrived, now: float) -> list[e.Effect]:
        """Take a message of the algorithm's own."""

    @abstractmethod
    def _trained(self, event: ev.Trained, now: float) -> list[e.Effect]:
        """Take the result of a training."""

    @abstractmethod
    def _combined(self, event: ev.Combined, now: float) -> list[e.Effect]:
        """Take a vector that was asked for."""

    def _own_timer(self, key: ev.Key, now: float) -> list[e.Effect]:  # noqa: ARG002
        return []

    def _unsent(self, peer: str, tag: str, now: float) -> list[e.Effect]:  # noqa: ARG002
        """Take note that a message (empty: whatever was on its way) has not reached a neighbor."""
        return []

    @property
    def _age(self) -> int:
        """How much training the model has behind it."""
        return self.cycle

    @property
    def _unfinished(self) -> bool:
        """Whether an exchange is still open that must not be left behind."""
        return False

    def _conclude(self) -> list[e.Effect]:
        """Leave it behind all the same: the end has come."""
        return []

    def _lost(self, peer: str, why: str, now: float) -> list[e.Effect]:  # noqa: ARG002
        """Take note that the incarnation of a neighbor that was known is over."""
        return []

    # ------------------------------------------------------------------------------------------------------- events in

    def handle(self, event: ev.Event, now: float) -> list[e.Effect]:
        if self.status == "finished":
            return []
        if isinstance(event, ev.LinkLost):
            self.lifecycle.cut(event.peer, self.rules.neighbors)
        effects = self.lifecycle.consented(self._handle(event, now))
        return effects + self._end_if_quiet() if self.status == "resting" else effects

    def _handle(self, event: ev.Event, now: float) -> list[e.Effect]:
        match event:
            case ev.Started():
                return [*(e.Link(*each) for each in self.rules.shortcuts.items()), *self.lifecycle.start(now)]
            case ev.LinkUp(peer, _, incarnation):
                return self._connected(peer, incarnation, now)
            case ev.LinkLost(peer, reason) if self.neighbors.detector.suspect(peer):
                suspected = e.Publish("node.suspect", {"subject": peer, "reason": reason})
                return [suspected, *self._unsent(peer, "", now)]
            case ev.StillSending(peer):
                self.neighbors.sending(peer, now)
                return []
            case ev.Arrived(sender=sender):
                near = sender in self.rules.neighbors
                return self._arrived(event, now) if near else self.lifecycle.arrived_in_tree(event, self.cycle, now)
            case ev.TimerFired(key, due):
                return self._timer(key, due, now)
            case ev.Surveyed() | ev.NextQuestion() | ev.QuestionRefused():
                return self.lifecycle.asked(event, now)
            case ev.ModelReady():
                return self._settle(event, now)
            case ev.Trained():
                self._trained_s += now - self._training_at
                return self._trained(event, now)
            case ev.Combined():
                return self._combined(event, now)
            case ev.Evaluated(number, which, metrics):
                return [*self.lifecycle.evaluated(number, which, metrics), *self._finish_if_evaluated()]
            case ev.WorkFailed("evaluate"):
                return [*self.lifecycle.work_failed(event), *self._finish_if_evaluated()]
            case ev.WorkFailed():
                return self.lifecycle.work_failed(event)
            case ev.Proceed(until, last):
                self.until, self._last = max(self.until, until), self._last or last
                return self._next(now) if self.status == "resting" else []
            case ev.SendFailed(peer, tag, _, reason) if tag != "heartbeat":  # its silence tells enough
                return self._send_failed(peer, tag, reason, now)
            case ev.MalformedMessage(sender, reason):
                return self.lifecycle.reject(sender, self.cycle, reason)
            case _:
                return []

    def _send_failed(self, peer: str, tag: str, reason: str, now: float) -> list[e.Effect]:
        self.stats.lost(peer)
        if self.lifecycle.unsent(peer, tag):
            return []
        warning = e.Publish("warning", {"subject": peer, "reason": f"{tag} could not be sent: {reason}"})
        return [warning, *self._unsent(peer, tag, now)]

    def _arrived(self, event: ev.Arrived, now: float) -> list[e.Effect]:
        sender, effects = event.sender, list[e.Effect]()
        if self.neighbors.detector.heard(sender, now):
            effects.append(e.Publish("node.ready", {"subject": sender, "reason": "heard again"}))
        match event.message:
            case m.PeerSurvey() | m.PeerSurveys() as survey:
                effects += self.lifecycle.survey_arrived(event, survey, self.cycle, now)
            case m.CatchUp() as told:
                effects += self.lifecycle.caught_up(event, told, now)
            case m.Heartbeat() as beat:
                self.neighbors.heartbeat(sender, beat, now)
            case m.Goodbye(reason=reason):
                self.neighbors.leave(sender)
                effects.append(e.Publish("node.left", {"subject": sender, "reason": reason}))
                effects += self.lifecycle.left_early(sender, reason) or self._lost(sender, "left", now)
            case _:
                effects += self._message(event, now)
        return effects

    def _hang_up_later(self, now: float) -> list[e.Effect]:
        """Keep the links of the tree while others may still be in round 0."""
        due = now + self.rules.timing.join_deadline_s
        return [e.SetTimer(("hang up",), due)] if self.rules.shortcuts else []

    def _connected(self, peer: str, incarnation: int, now: float) -> list[e.Effect]:
        if peer not in self.rules.neighbors:
            return self.lifecycle.greet_in_tree(peer, restarted=False)  # no peer of such a run is started again
        restarted = self.neighbors.connected(peer, incarnation, now)
        effects = self._lost(peer, "was started again", now) if restarted else []
        return effects + self.lifecycle.greet(peer, restarted=restarted)

    def _settle(self, event: ev.ModelReady, now: float) -> list[e.Effect]:
        completed = self.lifecycle.agreed(event, now)
        self._ready(event)
        self.lifecycle.opened_at = now
        self.neighbors.expect_all(now)
        return [*completed, *self._hang_up_later(now), *self._next(now)]

    # ---------------------------------------------------------------------------------------------------------- cycles

    def _next(self, now: float) -> list[e.Effect]:
        if self.completed < self.until:
            self.lifecycle.status = "training"
            return self._begin(now)
        self.lifecycle.status = "resting"
        if not self.until:
            return []
        return [
            e.SetTimer(("ending",), now + self.rules.timing.deadline_s),
            e.SendHeartbeat(self.neighbors.here, self.completed, self.status),
        ]

    def _train(self, number: int, body: ev.Body, now: float, clock: float) -> list[e.Effect]:
        """Train from `body`, with its clock; `number` is of this training, and never used again."""
        self._training_at = now
        return [
            self.lifecycle.training_timer(("training",), now),
            e.Train(number, 0, body, self.rules.settings, clock=clock),
        ]

    def _complete(self, now: float, participants: list[str], loss: float | None, staleness: int) -> list[e.Effect]:
        self.completed = number = self.cycle
        elapsed = now - self.lifecycle.opened_at
        fields: dict[str, Any] = {
            "round": number,
            "participants": sorted(participants),
            "closed_by": "update",
            "duration_s": elapsed,
            "staleness": [staleness],
            "waiting_s": max(0.0, elapsed - self._trained_s),
            "age": self._age,
        }
        self._trained_s = 0.0
        if loss is not None:
            fields["loss"] = loss
        self.lifecycle.opened_at = now
        effects: list[e.Effect] = [e.CancelTimer(("training",)), e.Publish("round.completed", fields)]
        last = number >= self.until
        effects += self.stats.report(now, number, last=last)
        if last or number % self.rules.evaluation.every == 0:
            self.lifecycle.pending[number] = fields
            return [*effects, self._evaluate(number)]
        return [*effects, e.Completed(number, fields)]

    def _evaluate(self, number: int) -> e.Effect:
        self._evaluating += 1
        return e.Evaluate(number, self.rules.evaluate_on, self.weights)

    def _finish_if_evaluated(self) -> list[e.Effect]:
        self._evaluating -= 1
        if not self._closing or self._evaluating:
            return []
        self.lifecycle.status = "finished"
        return [e.LoadWeights(self.weights), e.Finish("completed")]

    def _end_if_quiet(self) -> list[e.Effect]:
        """End when nobody needs an answer any more: whoever has not done its cycles may still come to this peer."""
        done = self._last and self.completed >= self.until and not self._unfinished and self.neighbors.resting
        return self._end() if done and not self._closing else []

    def _end(self) -> list[e.Effect]:
        # Evaluated once more: others have gone on changing the model after its last cycle.
        self._closing = True
        report = self.stats.report(0.0, self.completed, last=True)
        return [*self._conclude(), *report, self._evaluate(self.completed)]

    # ----------------------------------------------------------------------------------------------------------- time

    def _timer(self, key: ev.Key, due: float, now: float) -> list[e.Effect]:
        match key:
            case ("join",) if self.settled is None:
                return self.lifecycle.join_expired()
            case ("hang up",):
                return [e.Unlink(peer) for peer in self.rules.shortcuts]
            case ("pulse",):
                self.neighbors.detector.extend_deadlines(max(0.0, now - due), now)
                return self._pulse(now)
            case ("spread",):
                return self.lifecycle.spread()
            case ("training",) if self.status == "training":
                return self.lifecycle.training_expired(self.cycle)
            case ("ending",) if self.status == "resting" and self._last and not self._closing:
                return self._end()
            case _:
                return self._own_timer(key, now)

    def _pulse(self, now: float) -> list[e.Effect]:
        return [
            e.SetTimer(("pulse",), now + self.rules.timing.heartbeat_s),
            e.SendHeartbeat(self.neighbors.here, self.completed, self.status),
            *self.lifecycle.remind(self.neighbors.meeting),
            *self.neighbors.review(now),
        ]

    # -------------------------------------------------------------------------------------------- for the algorithms

    def _in_transit(self, peer: str, since: float, now: float) -> bool:
        moving = self.neighbors.moving(peer, now - 2 * self.rules.timing.heartbeat_s)
        return moving and now - since < PATIENCE * self.rules.timing.deadline_s

    def _unfit(self, event: ev.Arrived, payload: m.Payload, length: int | None = None) -> tuple[str, str] | None:
        """Return what is wrong with a model that came; `length`: of a part of one."""
        if event.flaw:
            return "values", event.flaw
        expected = None if self.settled is None else self.settled.payload
        if expected is not None and length is not None:
            expected = m.Payload(expected.layout, expected.dtype, length)
        return payload_fault(payload, expected)

    def _refuse(self, to: str, about: str, number: int, code: str, reason: str) -> list[e.Effect]:
        return [e.Send((to,), m.Refused(about=about, round=number, code=code, reason=reason))]

    def _reject(self, subject: str, reason: str) -> list[e.Effect]:
        return self.lifecycle.reject(subject, self.cycle, reason)
