"""The client's machine: one task at a time, each finished or abandoned by its deadline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import UNSET, structs
from nervenet.broker import messages as m
from nervenet.broker.errors import see

from ..config.schema import Timing
from ..consent.decide import Declined
from ..consent.requests import Policy
from ..runtime import effects as e
from ..runtime import events as ev
from ..runtime.event_types import HOLDOUT
from ..runtime.failure_detector import FailureDetector, Verdicts
from .assignment import Assignment, misfit
from .personalization import Personalization, wanted

PUBLISH_EVERY_S = 0.1  # a client publishes its local metrics no more often: the coordinator has them all


@dataclass(frozen=True)
class ClientConfig:
    """What a client must know before its first task; `codecs` are the stages of encodings that it can do."""

    coordinator: str
    examples: int
    pid: int = 0
    timing: Timing = field(default_factory=Timing)
    codecs: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)  # how it trains where the coordinator leaves that to it
    told: Mapping[str, Any] = field(default_factory=dict)  # those of them that its owner has chosen
    sends_own: bool = False  # a model of its rows only, to be judged at the other sites
    policy: Policy = field(default_factory=Policy)  # what its site takes part in


class ClientMachine:
    """Decides what a client does next: answer the coordinator's tasks, one at a time.

    A task that comes while an older one is still being worked on (`current`) waits (`pending`) and abandons the older:
    its round is over. Work that cannot be interrupted and outlives its deadline makes the client decline by name what
    comes meanwhile; it never trains two at once. A coordinator that was started again gets no answer to what its
    previous incarnation has asked: it cannot know of it, and might count it twice.
    """

    def __init__(self, config: ClientConfig) -> None:
        self.config = config
        timing = config.timing
        self.liveness = FailureDetector(timing.suspect_after_s, timing.rejoin_deadline_s)
        self.current: Assignment | None = None
        self.pending: Assignment | None = None
        self.model: ev.ModelReady | None = None
        self.completed = 0  # the last round that this client has trained in
        self.finished = False
        self._known = False  # the coordinator has sent a task
        self._newest = (-1, -1)  # (round, attempt) of the last task taken: they never run backwards
        self._since = 0.0
        self._overdue = False
        self._void = False  # nobody waits for what is being worked on: its round is over, or its coordinator dead
        self._incarnation: int | None = None  # the coordinator's
        self._origin: int | None = None  # that of the coordinator above it, where it is an aggregator
        self._personalization: Personalization | None = None
        self._published_at = float("-inf")
        self._declined: Declined | None = None  # what its site did not take part in, first
        self._answered = False  # any task
        self._said: set[str] = set()  # keys of its policy of which it has said so

    def handle(self, event: ev.Event, now: float) -> list[e.Effect]:
        if self.finished:
            return []
        own, coordinator = self._personalization, self.config.coordinator
        effects = self._handle(event, coordinator, now) if own is None else own.handle(event, now)
        self.finished = e.Finish in map(type, effects)
        return effects

    def _handle(self, event: ev.Event, coordinator: str, now: float) -> list[e.Effect]:
        match event:
            case ev.Started():
                timing = self.config.timing
                return [
                    e.SetTimer(("join",), now + timing.join_deadline_s),
                    e.SetTimer(("pulse",), now + timing.heartbeat_s),
                ]
            case ev.LinkUp(peer, _, incarnation) if peer == coordinator:
                return self._connected(incarnation, now)
            case ev.LinkLost(peer, reason) if self.liveness.suspect(peer):
                return [e.Publish("node.suspect", {"subject": peer, "reason": reason})]
            case ev.Arrived(sender=sender) if sender == coordinator:
                return self._arrived(event, now)
            case ev.TimerFired(key, due):
                return self._timer(key, due, now)
            case ev.Surveyed():
                return self._surveyed(event, now)
            case ev.QuestionRefused(reason=reason):
                return self._decline(f"no such question is answered here: {reason}", now)
            case ev.ModelReady():
                self.model = event
                if self.pending or self._void:
                    return self._next(now)
                return self._start(self.current, now) if self.current else []
            case ev.Trained():
                return self._trained(event, now)
            case ev.TrainedAlone():
                return self._trained_alone(event, now)
            case ev.Evaluated():
                return self._evaluated(event, now)
            case ev.WorkFailed("apply agreement", _, _, reason):
                # Its rows will not fit any better next time: it would decline each round, and nobody here would know.
                declined = self._decline(f"apply agreement failed: {reason}", now)
                return [*declined, e.Finish("failed", f"what was agreed does not fit this site: {reason}")]
            case ev.WorkFailed(kind, _, _, reason):
                return self._decline(f"{kind} failed: {reason}", now)
            case ev.MalformedMessage(_, reason):
                fields = {"subject": coordinator, "round": self.completed, "reason": reason}
                return [e.Publish("update.rejected", fields)]
            case _:
                return []

    def _connected(self, incarnation: int, now: float) -> list[e.Effect]:
        """(Re)connected: with the same incarnation of the coordinator, or with a new one, which counts anew."""
        self.liveness.watch(self.config.coordinator, now)
        effects: list[e.Effect] = []
        if incarnation != self._incarnation:
            self._known = False
            effects += self._begin_anew(known=self._incarnation is not None)
            self._incarnation = incarnation
        return [*effects, self._ready()]

    def _begin_anew(self, *, known: bool) -> list[e.Effect]:
        """Take any task from now on; nobody waits for what is being worked on, if its coordinator was `known`."""
        self._newest, self.pending = (-1, -1), None
        if self.current is None or not known:
            return []
        self._void = True
        return [e.CancelTraining()]

    def _arrived(self, event: ev.Arrived, now: float) -> list[e.Effect]:
        sender = event.sender
        effects: list[e.Effect] = []
        if self.liveness.heard(sender, now):
            effects.append(e.Publish("node.ready", {"subject": sender, "reason": "heard again"}))
        match event.message:
            case m.Task() as task:
                self._known = True
                if task.origin is not UNSET and task.origin != self._origin:
                    effects += self._begin_anew(known=self._origin is not None)
                    self._origin = task.origin
                if task.work == "train" and self._newest < (1, 0):
                    effects += overruled(self.config.told, task.settings)
                if not self.config.settings.keys() <= task.settings.keys():
                    task = structs.replace(task, settings={**self.config.settings, **task.settings})
                effects += self._task(Assignment(task, event.body), event.flaw, now)
            case m.Refused(about="task", round=number):
                effects += self._dismissed(number)
            case m.Refused(about="hello", code="stale" | "version" as code, reason=reason):
                page = see("started-again" if code == "stale" else "version-mismatch")
                effects.append(e.Finish("failed", f"{reason}{page}"))  # nothing that this one says will be heard again
            case m.Refused(about=about, round=number, reason=reason):
                warning = {"reason": f"{about} of round {number} was refused: {reason}", "subject": sender}
                effects.append(e.Publish("warning", warning))
            case m.Goodbye(reason=reason):
                effects.append(e.Finish("failed", f"{sender} ended the run: {reason}"))
        return effects

    def _task(self, new: Assignment, flaw: str | None, now: float) -> list[e.Effect]:
        if flaw:
            return [new.decline(self.config.coordinator, flaw)]
        if new.key <= self._newest:
            return []  # said twice, or held up on its way until it was over
        self._newest = new.key
        if self.current is None:
            return self._begin(new, now)
        if self._overdue:
            return [new.decline(self.config.coordinator, self.current.busy(self._since, now))]
        self.pending = new
        return [e.CancelTraining()]

    def _begin(self, new: Assignment, now: float) -> list[e.Effect]:
        self.current, self._since, self._overdue = new, now, False
        declined = self.config.policy.of_task(new.task)
        if declined is not None:
            self._declined = self._declined or declined
            said = said_once(self._said, self.config.coordinator, new.task, declined)
            return [*said, *self._decline(str(declined), now, declined.key)]
        if new.task.work == "finish" and self._declined is not None and not self._answered:
            return new.leave(self.config.coordinator, nothing_done(self._declined))
        timers, agreement = new.set_timers(now), new.task.agreement
        if agreement is not None and (self.model is None or dict(self.model.agreement) != agreement):
            return [*timers, e.ApplyAgreement(agreement=agreement)]
        return [*timers, *self._start(new, now)]

    def _start(self, assignment: Assignment, now: float) -> list[e.Effect]:
        task, body = assignment.task, assignment.body
        if task.work == "survey":
            return [e.Survey(question=task.question or {}, asker=self.config.coordinator)]
        if task.work == "finish" and task.payload is None:
            return assignment.leave(self.config.coordinator)  # the run was round 0 alone
        flaw = misfit(task, self.model, sends_own=self.config.sends_own)
        if flaw:
            return self._decline(flaw, now)
        match task.work:
            case "train":
                given = (*assignment.key, body, task.settings, task.evaluate)
                return [e.Train(*given, task.durable, self._incarnation or 0, task.counted, clock=task.clock)]
            case "evaluate" | "judge" as work:
                return [e.Evaluate(task.round, "holdout", body, counted=work == "evaluate", plain=work == "judge")]
            case "alone":
                return [e.TrainAlone(*assignment.key, task.settings, task.rounds)]
            case "finish":
                self.completed = task.round
                *leaving, finish = assignment.leave(self.config.coordinator)
                if not wanted(task.settings):
                    return [*leaving, e.LoadWeights(body), finish]
                self._personalization = Personalization(task, body)
                return [*leaving, *self._personalization.begin(now)]
            case _:
                return self._decline(f"work must be one of those of the protocol, found {task.work}", now)

    def _surveyed(self, event: ev.Surveyed, now: float) -> list[e.Effect]:
        if not self.current or self.current.task.work != "survey":
            return []
        if self.pending:  # another question is open by now
            return self._next(now)
        payload = m.Payload(layout="survey", dtype="float64", length=len(event.body))
        return self._answer(now, event.body, fields=dict(event.fields), payload=payload)

    def _trained(self, event: ev.Trained, now: float) -> list[e.Effect]:
        if not self.current or (event.round, event.attempt) != self.current.key:
            return []
        # A pending task means that this round is over: nobody would count the answer.
        if self._void or self.pending:
            return self._next(now)
        if event.cancelled:
            if not self.current.partial:
                return self._next(now)
            return self._decline(f"nothing was done within {now - self._since:.1f} s that could be sent", now)
        self.completed = event.round
        fields = {"round": event.round, "examples": event.examples, "duration_s": now - self._since, **event.metrics}
        rounds = {"rounds": self.current.task.rounds} if self.current.task.rounds else {}
        effects: list[e.Effect] = [e.Completed(event.round, fields, of_sent_model(event.metrics))]
        if now - self._published_at >= PUBLISH_EVERY_S:
            self._published_at = now
            effects.append(e.Publish("metric.local", fields | rounds))
        if self.model is None:
            return []
        # The answer goes out before it is published: the round waits for the one, nobody for the other.
        told = {"examples": event.examples, "metrics": dict(event.metrics), "clock": event.clock}
        answer, *others = self._answer(now, event.body, payload=event.payload or self.model.payload, **told)
        return [answer, *effects, *others]

    def _evaluated(self, event: ev.Evaluated, now: float) -> list[e.Effect]:
        if not self.current or self.current.task.work not in ("evaluate", "judge"):
            return []
        metrics = {f"{HOLDOUT}{key}": float(value) for key, value in event.metrics.items()}
        return self._answer(now, metrics=metrics, fields={"counts": dict(event.counts)} if event.counts else None)

    def _trained_alone(self, event: ev.TrainedAlone, now: float) -> list[e.Effect]:
        if not self.current or (event.round, event.attempt) != self.current.key:
            return []
        if event.body is None or self.model is None:
            return self._decline("its own model was not done in time", now)
        return self._answer(now, event.body, payload=self.model.payload)

    def _answer(self, now: float, body: ev.Body = None, **fields: Any) -> list[e.Effect]:
        if self.current is None or self._void:
            return self._next(now)
        number, attempt = self.current.key
        self._answered = True
        update = m.Update(number, attempt, **{"examples": self.config.examples, "metrics": {}, **fields})
        return [e.Send((self.config.coordinator,), update, body), *self._next(now)]

    def _decline(self, reason: str, now: float, key: str = "") -> list[e.Effect]:
        if self.current is None:
            return [e.Publish("warning", {"reason": reason})]
        if self._void:
            return self._next(now)
        return [self.current.decline(self.config.coordinator, reason, key), *self._next(now)]

    def _next(self, now: float) -> list[e.Effect]:
        effects = self.current.cancel_timers() if self.current else []
        waiting, self.pending, self.current, self._overdue, self._void = self.pending, None, None, False, False
        return effects + (self._begin(waiting, now) if waiting else [])

    def _dismissed(self, number: int) -> list[e.Effect]:
        """Go on with nothing that nobody waits for: the round has closed without this client."""
        current = self.current
        if current is None or current.task.round != number or current.task.work != "train":
            return []
        self._void = True
        return [e.CancelTraining()]

    def _timer(self, key: ev.Key, due: float, now: float) -> list[e.Effect]:
        match key:
            case ("join",) if not self._known:
                there = self._incarnation is not None and self.config.coordinator not in self.liveness.lost
                return without_task(self.config, now, there=there)
            case ("pulse",):
                return self._pulse(due, now)
            case ("task", number, attempt) if self.current and (number, attempt) == self.current.key:
                return self._too_late(self.current, now)
            case ("partial", number, attempt) if self.current and (number, attempt) == self.current.key:
                return [] if self._void or self.pending else [e.CancelTraining(keep=True)]
            case _:
                return []

    def _pulse(self, due: float, now: float) -> list[e.Effect]:
        coordinator, timing, current = self.config.coordinator, self.config.timing, self.current
        self.liveness.extend_deadlines(max(0.0, now - due), now)
        doing = f"{current.task.work} for {now - self._since:.1f} s" if current else "idle"
        effects: list[e.Effect] = [
            e.SetTimer(("pulse",), now + timing.heartbeat_s),
            e.SendHeartbeat((coordinator,), current.task.round if current else self.completed, doing),
        ]
        if not self._known and self.liveness.living(coordinator):
            effects.append(self._ready())
        return effects + silences(self.liveness.review(now), timing)

    def _too_late(self, current: Assignment, now: float) -> list[e.Effect]:
        """Abandon at the deadline; if the work does not stop, what waits is declined by name."""
        effects: list[e.Effect] = []
        if not self._overdue:
            self._overdue = True
            keep = current.partial and not self._void and not self.pending
            warning = {"reason": current.busy(self._since, now), "round": current.task.round}
            effects = [e.CancelTraining(keep=keep), e.Publish("warning", warning)]
        if self.pending:
            effects.append(self.pending.decline(self.config.coordinator, current.busy(self._since, now)))
            self.pending = None
        return effects

    def _ready(self) -> e.Effect:
        config = self.config
        return e.Send((config.coordinator,), m.Ready(config.examples, config.pid, config.codecs))


def without_task(config: ClientConfig, now: float, *, there: bool) -> list[e.Effect]:
    """Wait on for a coordinator that has been `there`, or end without one that has given no task in time.

    It may still be gathering others; while it beats, it is only waiting as its client is. One that was there, and has
    died, may come back until it is given up, which the pulse sees to.
    """
    limit_s = config.timing.join_deadline_s
    if there:
        return [e.SetTimer(("join",), now + limit_s)]
    return [e.Finish("failed", f"{config.coordinator} gave no task within {limit_s:g} s (network.join_deadline_s)")]


def silences(found: Verdicts, timing: Timing) -> list[e.Effect]:
    """Say of which coordinator nothing is heard, and end without one that is given up."""
    effects: list[e.Effect] = []
    for name, silent in found.suspected.items():
        effects.append(e.Publish("node.suspect", {"subject": name, "reason": f"silent for {silent:.1f} s"}))
    for name, silent in found.lost.items():
        effects.append(e.Publish("node.lost", {"subject": name, "reason": f"silent for {silent:.1f} s"}))
        limit = f"network.rejoin_deadline_s is {timing.rejoin_deadline_s:g} s"
        effects.append(
            e.Finish("failed", f"{name} has been silent for {silent:.0f} s; {limit}{see('coordinator-lost')}")
        )
    return effects


def of_sent_model(metrics: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Return what was found of the model that was sent, on this site's hold-out; empty where it was not asked for."""
    found = {key.removeprefix(HOLDOUT): value for key, value in metrics.items() if key.startswith(HOLDOUT)}
    return {"holdout": found} if found else {}


def nothing_done(declined: Declined) -> str:
    return f"this site took part in nothing: {declined}{see('site-declines')}"


def said_once(said: set[str], asker: str, task: m.Task, declined: Declined) -> list[e.Effect]:
    """Publish that the site does not take part, the first time for each key of its policy."""
    if declined.key in said:
        return []
    said.add(declined.key)
    what = {"subject": asker, "round": task.round, "work": task.work, "key": declined.key, "reason": str(declined)}
    return [e.Publish("site.declined", what)]


def overruled(told: Mapping[str, Any], settings: Mapping[str, Any]) -> list[e.Effect]:
    """Say which settings, of those that a client's owner has chosen, the coordinator's are in place of."""
    theirs = {key: settings[key] for key, own in told.items() if settings.get(key, own) != own}
    if not theirs:
        return []
    lines = ", ".join(f"training.{key} = {told[key]!r} (the coordinator's: {value!r})" for key, value in theirs.items())
    reason = f"this client's {lines} has no effect, since federated.site_settings does not leave it to sites"
    return [e.Publish("warning", {"reason": reason})]
