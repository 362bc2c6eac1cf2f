"""What every peer without rounds has in common: it meets the others, trains cycle after cycle, listens, and ends when
its neighbors have done their cycles too. Nothing here ever waits for a neighbor.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nervenet.broker import messages as m

from ...runtime import effects as e
from ...runtime import events as ev
from ...runtime.failure_detector import FailureDetector
from ...runtime.payload_checks import payload_fault
from ..exchange_stats import ExchangeStats
from ..survey_flood import SurveyFlood

PATIENCE = 10  # deadlines after which one's own training is waited for no longer


@dataclass(frozen=True)
class AsyncPeerRules:
    """All that steers a peer without rounds; see `[gossip]` and `[network]` of the experiment file."""

    name: str
    members: tuple[str, ...]
    neighbors: tuple[str, ...]
    seed: int = 0
    incarnation: int = 0  # larger in each life of a name
    deadline_s: float = 30.0  # without news after which a peer goes on, or ends, alone
    join_deadline_s: float = 30.0
    heartbeat_s: float = 0.5
    suspect_after_s: float = 2.0
    lost_after_s: float = 10.0
    evaluate_every: int = 1
    evaluate_on: str = "test"  # or "holdout": this peer's own rows kept apart
    settings: Mapping[str, Any] = field(default_factory=dict)


class AsyncPeerMachine(ABC):
    """Decides what a peer without rounds does next; its algorithm fills in what a cycle is.

    Attributes
    ----------
    status
        ``meeting``, ``training`` (of one's own cycles), ``resting`` (all that were asked for are done; others are still
        answered) or ``finished``.
    cycle
        The one that this peer is in; `completed` of them are done.
    tally : Counter
        What became of the exchanges, by kind.
    """

    def __init__(self, rules: AsyncPeerRules) -> None:
        self.rules = rules
        self.liveness = FailureDetector(rules.suspect_after_s, rules.lost_after_s)
        self.meeting = SurveyFlood(rules.name, rules.members, rules.neighbors)
        self.traffic = ExchangeStats()
        self.tally: Counter[str] = Counter()
        self.status = "meeting"
        self.cycle = 0
        self.completed = 0
        self.until = 0
        self.settled: ev.ModelReady | None = None
        self.departed: set[str] = set()
        self._last = False  # whether no more cycles will be asked for
        self._resting: set[str] = set()  # neighbors that have done theirs
        self._lives: dict[str, int] = {}
        self._told: dict[int, dict[str, Any]] = {}  # cycles done whose evaluation is still to come
        self._opened_at = 0.0
        self._training_at = 0.0
        self._trained_s = 0.0  # that trainings took since the cycle before was done
        self._closing = False
        self._moving: dict[str, float] = {}  # when a transfer to or from a neighbor was last known to be under way
        self._measuring = 0  # evaluations that are asked for and not there
        self._behind: set[str] = set(rules.neighbors)  # who may still be in round 0

    @property
    @abstractmethod
    def weights(self) -> ev.Body:
        """The model as it is."""

    # --------------------------------------------------------------------------------------- what the algorithm decides

    @abstractmethod
    def _begin(self, now: float) -> list[e.Effect]:
        """Begin the next cycle, or wait for what begins it."""

    @abstractmethod
    def _said(self, event: ev.Arrived, now: float) -> list[e.Effect]:
        """Take a message of the algorithm's own."""

    @abstractmethod
    def _trained(self, event: ev.Trained, now: float) -> list[e.Effect]:
        """Take the result of a training."""

    @abstractmethod
    def _combined(self, event: ev.Combined, now: float) -> list[e.Effect]:
        """Take a vector that was asked for."""

    def _rang(self, key: ev.Key, now: float) -> list[e.Effect]:  # noqa: ARG002
        """Take a timer of the algorithm's own."""
        return []

    def _unsent(self, peer: str, tag: str, now: float) -> list[e.Effect]:  # noqa: ARG002
        """Take note that a message (empty: whatever was on its way) has not reached a neighbor."""
        return []

    @property
    def _age(self) -> int:
        """How much training the model has behind it."""
        return self.cycle

    @property
    def _owes(self) -> bool:
        """Whether something is still open that must not be left behind."""
        return False

    def _conclude(self) -> list[e.Effect]:
        """Leave it behind all the same: the end has come."""
        return []

    def _gone(self, peer: str, why: str, now: float) -> list[e.Effect]:  # noqa: ARG002
        """Take note that the life of a neighbor that was known is over."""
        return []

    # ---------------------------------------------------------------------------------------------------- the one door

    def handle(self, event: ev.Event, now: float) -> list[e.Effect]:
        """Take one event and say what to do."""
        if self.status == "finished":
            return []
        effects = self._handle(event, now)
        return effects + self._end_if_quiet() if self.status == "resting" else effects

    def _handle(self, event: ev.Event, now: float) -> list[e.Effect]:
        match event:
            case ev.Started():
                return self._start(now)
            case ev.LinkUp(peer, _, incarnation) if peer in self.rules.neighbors:
                return self._meet(peer, incarnation, now)
            case ev.LinkLost(peer, reason) if self.liveness.suspect(peer):
                told = e.Publish("node.suspect", {"subject": peer, "reason": reason})
                return [told, *self._unsent(peer, "", now)]
            case ev.StillSending(peer):
                self._moving[peer] = now
                return []
            case ev.Arrived(sender=sender) if sender in self.rules.neighbors:
                return self._arrived(event, now)
            case ev.TimerFired(key, due):
                return self._timer(key, due, now)
            case ev.Surveyed(fields, body):
                return self.meeting.testify(self.rules.name, fields, body)
            case ev.ModelReady():
                return self._settle(event, now)
            case ev.Trained():
                self._trained_s += now - self._training_at
                return self._trained(event, now)
            case ev.Combined():
                return self._combined(event, now)
            case ev.Evaluated(number, which, metrics):
                return self._evaluated(number, which, metrics)
            case ev.Proceed(until, last):
                return self._proceed(until, last, now)
            case ev.WorkFailed():
                return self._work_failed(event)
            case ev.SendFailed(peer, tag, _, reason) if tag != "heartbeat":  # its silence tells enough
                self.traffic.lost(peer)
                warning = e.Publish("warning", {"subject": peer, "reason": f"{tag} could not be sent: {reason}"})
                return [warning, *self._unsent(peer, tag, now)]
            case ev.MalformedMessage(sender, reason):
                return self._reject(sender, reason)
            case _:
                return []

    def _arrived(self, event: ev.Arrived, now: float) -> list[e.Effect]:
        sender, effects = event.sender, list[e.Effect]()
        if self.liveness.heard(sender, now):
            effects.append(e.Publish("node.ready", {"subject": sender, "reason": "heard again"}))
        match event.message:
            case m.PeerSurvey(origin=origin, fields=fields):
                effects += self._testimony(origin, fields, event)
            case m.Heartbeat(round=number, state=state, sending=sending):
                if sending:
                    self._moving[sender] = now
                if state != "meeting":
                    self._behind.discard(sender)
                if state == "resting":
                    self._resting.add(sender)
                elif number:
                    self._resting.discard(sender)
            case m.Goodbye(reason=reason):
                self.departed.add(sender)
                self._behind.discard(sender)
                self.liveness.forget(sender)
                effects.append(e.Publish("node.left", {"subject": sender, "reason": reason}))
                effects += self._gone(sender, "left", now)
            case _:
                effects += self._said(event, now)
        return effects

    # ----------------------------------------------------------------------------------------- round 0: meet and agree

    def _start(self, now: float) -> list[e.Effect]:
        self._opened_at = now
        return [
            e.Publish("round.started", {"round": 0, "attempt": 0}),
            e.SetTimer(("join",), now + self.rules.join_deadline_s),
            e.SetTimer(("pulse",), now + self.rules.heartbeat_s),
            e.Survey(),
        ]

    def _meet(self, peer: str, incarnation: int, now: float) -> list[e.Effect]:
        before = self._lives.get(peer)
        self._lives[peer] = incarnation
        self.liveness.watch(peer, now)
        self.departed.discard(peer)
        effects: list[e.Effect] = []
        if before is not None and incarnation != before:
            self._resting.discard(peer)
            effects += self._gone(peer, "was started again", now)
        self._behind.add(peer)
        return effects + self.meeting.tell((peer,))

    def _testimony(self, origin: str, fields: Mapping[str, Any], event: ev.Arrived) -> list[e.Effect]:
        if origin not in self.rules.members:
            return self._reject(event.sender, f"a testimony of {origin}, who is not a member")
        if event.flaw:
            return self._reject(event.sender, f"the testimony of {origin}: {event.flaw}")
        return self.meeting.testify(origin, fields, event.body, event.sender)

    def _settle(self, event: ev.ModelReady, now: float) -> list[e.Effect]:
        self.settled = event
        self._ready(event)
        self.status = "resting"
        told = {
            "round": 0,
            "closed_by": "all",
            "duration_s": now - self._opened_at,
            "participants": sorted(self.meeting.testimonies),
        }
        self._opened_at = now
        for peer in self.rules.neighbors:
            if not self.liveness.living(peer) and peer not in self.departed:
                self.liveness.watch(peer, now)
        return [e.Publish("round.completed", told), *self._next(now)]

    @abstractmethod
    def _ready(self, settled: ev.ModelReady) -> None:
        """Take the first weights."""

    # ---------------------------------------------------------------------------------------------------------- cycles

    def _proceed(self, until: int, last: bool, now: float) -> list[e.Effect]:
        self.until, self._last = max(self.until, until), self._last or last
        return self._next(now) if self.status == "resting" else []

    def _next(self, now: float) -> list[e.Effect]:
        if self.completed < self.until:
            self.status = "training"
            return self._begin(now)
        self.status = "resting"
        if not self.until:
            return []
        effects: list[e.Effect] = [e.SetTimer(("ending",), now + self.rules.deadline_s)]
        return [*effects, e.SendHeartbeat(self._there(), self.completed, self.status)]

    def _train(self, number: int, body: ev.Body, now: float, **more: float) -> list[e.Effect]:
        """Train from `body`; `number` is of this training, and never used again."""
        self._training_at = now
        return [
            e.SetTimer(("training",), now + PATIENCE * self.rules.deadline_s),
            e.Train(number, 0, body, {**self.rules.settings, **more}),
        ]

    def _complete(self, now: float, participants: list[str], loss: float | None, staleness: int) -> list[e.Effect]:
        """Count a cycle, tell of it, and have it evaluated if it is its turn."""
        self.completed = number = self.cycle
        fields: dict[str, Any] = {
            "round": number,
            "participants": sorted(participants),
            "closed_by": "update",
            "duration_s": now - self._opened_at,
            "staleness": [staleness],
            "waiting_s": max(0.0, now - self._opened_at - self._trained_s),
            "age": self._age,
        }
        self._trained_s = 0.0
        if loss is not None:
            fields["loss"] = loss
        self._opened_at = now
        effects: list[e.Effect] = [e.CancelTimer(("training",)), e.Publish("round.completed", fields)]
        last = number >= self.until
        effects += self.traffic.report(now, number, last=last)
        if number >= self.until or number % self.rules.evaluate_every == 0:
            self._told[number] = fields
            effects += self._measure(number)
        else:
            effects.append(e.Completed(number, fields))
        return effects

    def _measure(self, number: int) -> list[e.Effect]:
        self._measuring += 1
        return [e.Evaluate(number, self.rules.evaluate_on, self.weights)]

    def _evaluated(self, number: int, which: str, metrics: Mapping[str, Any]) -> list[e.Effect]:
        effects: list[e.Effect] = []
        self._measuring -= 1
        if metrics:
            kind = "metric.test" if which == "test" else "metric.local"
            effects.append(e.Publish(kind, {"round": number, **metrics}))
        if number in self._told:
            effects.insert(0, e.Completed(number, {**self._told.pop(number), **metrics}))
        if self._closing and not self._measuring:
            self.status = "finished"
            effects += [e.LoadWeights(self.weights), e.Finish("completed")]
        return effects

    def _end_if_quiet(self) -> list[e.Effect]:
        """End when nobody needs an answer any more: whoever has not done his cycles may still come to this peer."""
        if not self._last or self._closing or self.completed < self.until or self._owes:
            return []
        if any(peer not in self._resting and self.liveness.living(peer) for peer in self.rules.neighbors):
            return []
        return self._end()

    def _end(self) -> list[e.Effect]:
        # Measured once more: others have gone on changing the model after its last cycle.
        self._closing = True
        told = self.traffic.report(0.0, self.completed, last=True)
        return [*self._conclude(), *told, *self._measure(self.completed)]

    # ----------------------------------------------------------------------------------------------- time and failures

    def _timer(self, key: ev.Key, due: float, now: float) -> list[e.Effect]:
        match key:
            case ("join",) if self.settled is None:
                limit = f"{self.rules.join_deadline_s:g} s"
                missing = ", ".join(self.meeting.missing)
                return self._fail(f"round 0 was not complete within {limit}: nothing was heard of {missing}")
            case ("pulse",):
                self.liveness.extend_deadlines(max(0.0, now - due), now)
                return self._pulse(now)
            case ("training",) if self.status == "training":
                limit = f"{PATIENCE * self.rules.deadline_s:g} s"
                return [
                    e.CancelTraining(),
                    *self._fail(f"the training of cycle {self.cycle} did not end within {limit}"),
                ]
            case ("ending",) if self.status == "resting" and self._last and not self._closing:
                return self._end()
            case _:
                return self._rang(key, now)

    def _pulse(self, now: float) -> list[e.Effect]:
        there = self._there()
        effects: list[e.Effect] = [
            e.SetTimer(("pulse",), now + self.rules.heartbeat_s),
            e.SendHeartbeat(there, self.completed, self.status),
        ]
        effects += self.meeting.remind(tuple(p for p in there if p in self._behind and self.liveness.living(p)))
        verdicts = self.liveness.review(now)
        for kind, found in (("node.suspect", verdicts.suspected), ("node.lost", verdicts.lost)):
            for peer, silent in found.items():
                effects.append(e.Publish(kind, {"subject": peer, "reason": f"silent for {silent:.1f} s"}))
        return effects

    def _in_transit(self, peer: str, since: float, now: float) -> bool:
        """Whether a model is on its way between this peer and another: worth waiting for, though not for ever."""
        moving = now - self._moving.get(peer, float("-inf")) <= 2 * self.rules.heartbeat_s
        return moving and now - since < PATIENCE * self.rules.deadline_s

    def _there(self) -> tuple[str, ...]:
        return tuple(p for p in self.rules.neighbors if p not in self.departed)

    def _unfit(self, event: ev.Arrived, payload: m.Payload, length: int | None = None) -> tuple[str, str] | None:
        """Say what is wrong with a model that came; `length`: of a part of one."""
        if event.flaw:
            return "values", event.flaw
        expected = None if self.settled is None else self.settled.payload
        if expected is not None and length is not None:
            expected = m.Payload(expected.layout, expected.dtype, length)
        return payload_fault(payload, expected)

    def _refuse(self, to: str, about: str, number: int, code: str, reason: str) -> list[e.Effect]:
        return [e.Send((to,), m.Refused(about=about, round=number, code=code, reason=reason))]

    def _reject(self, subject: str, reason: str) -> list[e.Effect]:
        self.traffic.rejected[reason] = self.traffic.rejected.get(reason, 0) + 1
        return [e.Publish("update.rejected", {"subject": subject, "round": self.cycle, "reason": reason})]

    def _work_failed(self, event: ev.WorkFailed) -> list[e.Effect]:
        if event.kind == "evaluate":
            warning = e.Publish("warning", {"reason": f"evaluation of cycle {event.round} failed: {event.reason}"})
            return [warning, *self._evaluated(event.round, "test", {})]
        return self._fail(f"{event.kind} failed: {event.reason}")

    def _fail(self, reason: str) -> list[e.Effect]:
        self.status = "finished"
        return [e.Publish("run.failed", {"reason": reason}), e.Finish("failed", reason)]
