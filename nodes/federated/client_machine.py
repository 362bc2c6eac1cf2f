"""The client's machine: one task at a time, each finished or abandoned by its deadline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nervenet.broker import messages as m

from ..runtime import effects as e
from ..runtime import events as ev
from ..runtime.failure_detector import FailureDetector

PARTIAL = 0.8  # share of a task's deadline after which a client answers with the work it has done, where it may
OWN_DEADLINES = 10  # of the last task: how long a client works on a model of its own, for which nobody waits
FINE_TUNE = "fine_tune"  # of the last task's settings: epochs of training alone, once the final model is there
TELL_EVERY_S = 0.1  # a client tells its local metrics no more often: the coordinator has them all


@dataclass(frozen=True)
class ClientRules:
    """What a client needs to know before its first task.

    It gives the coordinator up after `lost_after_s`: ``network.rejoin_deadline_s`` of the experiment.
    """

    coordinator: str
    examples: int
    pid: int = 0
    join_deadline_s: float = 30.0
    heartbeat_s: float = 0.5
    suspect_after_s: float = 2.0
    lost_after_s: float = 60.0
    codecs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Assignment:
    """A task with the handle of its weights."""

    task: m.Task
    body: ev.Body


class ClientMachine:
    """Decides what a client does next: answer the coordinator's tasks, one at a time.

    A task that comes while an older one is still being worked on abandons the older: its round is over. Work that
    cannot be interrupted and outlives its deadline makes the client decline by name what comes meanwhile; it never
    trains two at once.

    A coordinator that was started again gets no answer to what its former life has asked: it cannot know of it, and
    might count it twice.
    """

    def __init__(self, rules: ClientRules) -> None:
        self.rules = rules
        self.liveness = FailureDetector(rules.suspect_after_s, rules.lost_after_s)
        self.current: Assignment | None = None
        self.pending: Assignment | None = None
        self.settled: ev.ModelReady | None = None
        self.completed = 0
        self.known = False  # the coordinator has spoken to us
        self.finished = False
        self._newest = (-1, -1)  # (round, attempt) of the last task taken: they never run backwards
        self._since = 0.0
        self._overdue = False
        self._void = False  # nobody waits for what is being worked on: its round is over, or its coordinator dead
        self._life: int | None = None  # the coordinator's incarnation
        self._ending: Assignment | None = None  # the last task, while this client makes the final model its own
        self._told_at = float("-inf")

    def handle(self, event: ev.Event, now: float) -> list[e.Effect]:
        """Take one event and say what to do."""
        if self.finished:
            return []
        if self._ending is not None:
            return self._ended(event, self._ending, now)
        match event:
            case ev.Started():
                return [
                    e.SetTimer(("join",), now + self.rules.join_deadline_s),
                    e.SetTimer(("pulse",), now + self.rules.heartbeat_s),
                ]
            case ev.LinkUp(peer, _, incarnation) if peer == self.rules.coordinator:
                return self._linked(peer, incarnation, now)
            case ev.LinkLost(peer, reason) if self.liveness.suspect(peer):
                return [e.Publish("node.suspect", {"subject": peer, "reason": reason})]
            case ev.Arrived(sender=sender) if sender == self.rules.coordinator:
                return self._arrived(event, now)
            case ev.TimerFired(key, due):
                return self._timer(key, due, now)
            case ev.Surveyed(fields, body):
                return self._surveyed(fields, body, now)
            case ev.ModelReady():
                self.settled = event
                if self.pending or self._void:
                    return self._next(now)
                return self._start(self.current, now) if self.current else []
            case ev.Trained():
                return self._trained(event, now)
            case ev.Evaluated(_, _, metrics):
                return self._evaluated(metrics, now)
            case ev.WorkFailed("apply agreement", _, _, reason):
                # Its rows will not fit any better next time: it would decline each round, and nobody here would know.
                declined = self._decline(f"apply agreement failed: {reason}", now)
                return [*declined, *self._finish("failed", f"what was agreed does not fit this site: {reason}")]
            case ev.WorkFailed(kind, _, _, reason):
                return self._decline(f"{kind} failed: {reason}", now)
            case ev.MalformedMessage(_, reason):
                return [
                    e.Publish(
                        "update.rejected",
                        {"subject": self.rules.coordinator, "round": self.completed, "reason": reason},
                    )
                ]
            case _:
                return []

    def _linked(self, coordinator: str, life: int, now: float) -> list[e.Effect]:
        """(Re)connected: with the same life of the coordinator, or with a new one, which counts from where it likes."""
        self.liveness.watch(coordinator, now)
        effects: list[e.Effect] = []
        if life != self._life:
            self._newest, self.known, self.pending = (-1, -1), False, None
            if self.current is not None and self._life is not None:
                self._void = True
                effects.append(e.CancelTraining())
            self._life = life
        return [*effects, self._ready()]

    def _arrived(self, event: ev.Arrived, now: float) -> list[e.Effect]:
        back: list[e.Effect] = []
        if self.liveness.heard(event.sender, now):
            back.append(e.Publish("node.ready", {"subject": event.sender, "reason": "heard again"}))
        match event.message:
            case m.Task() as task:
                self.known = True
                return back + self._task(Assignment(task, event.body), event.flaw, now)
            case m.Refused(about="task", round=number):
                return back + self._dismissed(number)
            case m.Refused(about=about, round=number, reason=reason):
                told = f"{about} of round {number} was refused: {reason}"
                return [*back, e.Publish("warning", {"reason": told, "subject": event.sender})]
            case m.Goodbye(reason=reason):
                return back + self._finish("failed", f"{event.sender} ended the run: {reason}")
            case _:
                return back

    # ----------------------------------------------------------------------------------------------------------- tasks

    def _task(self, new: Assignment, flaw: str | None, now: float) -> list[e.Effect]:
        if flaw:
            return [
                e.Send(
                    (self.rules.coordinator,), m.Declined(round=new.task.round, attempt=new.task.attempt, reason=flaw)
                )
            ]
        if (new.task.round, new.task.attempt) <= self._newest:
            return []  # said twice, or held up on its way until it was over
        self._newest = (new.task.round, new.task.attempt)
        if self.current is None:
            return self._begin(new, now)
        if self._overdue:
            return [self._declined(new, self._excuse(now))]
        self.pending = new
        return [e.CancelTraining()]

    def _begin(self, new: Assignment, now: float) -> list[e.Effect]:
        self.current, self._since, self._overdue = new, now, False
        task = new.task
        timers: list[e.Effect] = [e.SetTimer(("task", task.round, task.attempt), now + task.deadline_s)]
        if _partial(task):
            timers.append(e.SetTimer(("partial", task.round, task.attempt), now + PARTIAL * task.deadline_s))
        if task.agreement is not None and (self.settled is None or dict(self.settled.agreement) != task.agreement):
            return [*timers, e.ApplyAgreement(agreement=task.agreement)]
        return [*timers, *self._start(new, now)]

    def _start(self, assignment: Assignment, now: float) -> list[e.Effect]:
        task, body = assignment.task, assignment.body
        if task.work == "survey":
            return [e.Survey()]
        if self.settled is None:
            return self._decline("no agreement has reached this client", now)
        if task.payload is None or task.payload.layout != self.settled.payload.layout:
            found = task.payload.layout if task.payload else "no payload"
            return self._decline(f"layout must be {self.settled.payload.layout}, found {found}", now)
        match task.work:
            case "train":
                incarnation = self._life or 0
                wanted = (task.round, task.attempt, body, task.settings, task.evaluate)
                return [e.Train(*wanted, task.durable, incarnation, task.counted)]
            case "evaluate":
                return [e.Evaluate(task.round, "holdout", body)]
            case "finish":
                self.completed = task.round
                farewell = e.Send((self.rules.coordinator,), m.Goodbye(round=task.round, reason="done"))
                if not _personal(task.settings):
                    return [farewell, e.LoadWeights(body), *self._finish("completed")]
                self._ending = assignment
                return [farewell, *self._own_deadline(task, now), e.Personalize(task.round, body, task.settings)]
            case _:
                return self._decline(f"work must be survey, train, evaluate or finish, found {task.work}", now)

    def _surveyed(self, fields: Any, body: ev.Body, now: float) -> list[e.Effect]:
        if not self.current or self.current.task.work != "survey":
            return []
        payload = m.Payload(layout="survey", dtype="float64", length=len(body))
        return self._answer(self.rules.examples, {}, now, payload=payload, body=body, fields=dict(fields))

    def _trained(self, event: ev.Trained, now: float) -> list[e.Effect]:
        if not self.current or (event.round, event.attempt) != (self.current.task.round, self.current.task.attempt):
            return []
        # What waits tells that this round is over: nobody would count the answer.
        if self._void or self.pending:
            return self._next(now)
        if event.cancelled:
            if not _partial(self.current.task):
                return self._next(now)
            return self._decline(f"nothing was done within {now - self._since:.1f} s that could be sent", now)
        self.completed = event.round
        told = {"round": event.round, "examples": event.examples, "duration_s": now - self._since, **event.metrics}
        publish: list[e.Effect] = [e.Completed(event.round, told)]
        if now - self._told_at >= TELL_EVERY_S:
            self._told_at = now
            publish.append(e.Publish("metric.local", told))
        settled = self.settled
        if settled is None:
            return []
        # The answer goes out before it is told about: the round waits for the one, nobody for the other.
        return self._answer(
            event.examples,
            dict(event.metrics),
            now,
            payload=event.payload or settled.payload,
            body=event.body,
            extra=publish,
        )

    def _evaluated(self, metrics: Any, now: float) -> list[e.Effect]:
        if not self.current or self.current.task.work != "evaluate":
            return []
        return self._answer(self.rules.examples, {f"holdout_{k}": float(v) for k, v in metrics.items()}, now)

    def _answer(
        self,
        examples: int,
        metrics: dict[str, float],
        now: float,
        *,
        payload: m.Payload | None = None,
        body: ev.Body = None,
        fields: dict[str, Any] | None = None,
        extra: list[e.Effect] | None = None,
    ) -> list[e.Effect]:
        if self.current is None or self._void:
            return self._next(now)
        task = self.current.task
        update = m.Update(
            round=task.round, attempt=task.attempt, examples=examples, metrics=metrics, fields=fields, payload=payload
        )
        return [e.Send((self.rules.coordinator,), update, body), *(extra or []), *self._next(now)]

    def _decline(self, reason: str, now: float) -> list[e.Effect]:
        if self.current is None:
            return [e.Publish("warning", {"reason": reason})]
        if self._void:
            return self._next(now)
        return [self._declined(self.current, reason), *self._next(now)]

    def _declined(self, assignment: Assignment, reason: str) -> e.Effect:
        task = assignment.task
        return e.Send((self.rules.coordinator,), m.Declined(round=task.round, attempt=task.attempt, reason=reason))

    def _next(self, now: float) -> list[e.Effect]:
        """The worker is free: go on with what waited."""
        effects: list[e.Effect] = []
        if self.current:
            task = self.current.task
            effects.append(e.CancelTimer(("task", task.round, task.attempt)))
            if _partial(task):
                effects.append(e.CancelTimer(("partial", task.round, task.attempt)))
        waiting, self.pending, self.current, self._overdue, self._void = self.pending, None, None, False, False
        return effects + (self._begin(waiting, now) if waiting else [])

    def _dismissed(self, number: int) -> list[e.Effect]:
        """The round has closed without this client: go on with nothing that nobody waits for."""
        current = self.current
        if current is None or current.task.round != number or current.task.work != "train":
            return []
        self._void = True
        return [e.CancelTraining()]

    # ------------------------------------------------------------------------------------------------------------ time

    def _timer(self, key: ev.Key, due: float, now: float) -> list[e.Effect]:
        match key:
            case ("join",) if not self.known:
                reason = f"{self.rules.coordinator} gave no task within {self.rules.join_deadline_s:g} s"
                # The coordinator may still be gathering others; while it beats, it is only waiting as we are. One that
                # was there, and has died, may come back until it is given up, which the pulse sees to.
                if self._life is not None and self.rules.coordinator not in self.liveness.lost:
                    return [e.SetTimer(("join",), now + self.rules.join_deadline_s)]
                return self._finish("failed", reason)
            case ("pulse",):
                return self._pulse(due, now)
            case ("task", number, attempt) if self.current and (number, attempt) == (
                self.current.task.round,
                self.current.task.attempt,
            ):
                return self._too_late(now)
            case ("partial", number, attempt) if self.current and (number, attempt) == (
                self.current.task.round,
                self.current.task.attempt,
            ):
                return [] if self._void or self.pending else [e.CancelTraining(keep=True)]
            case _:
                return []

    def _pulse(self, due: float, now: float) -> list[e.Effect]:
        coordinator = self.rules.coordinator
        self.liveness.extend_deadlines(max(0.0, now - due), now)
        effects: list[e.Effect] = [
            e.SetTimer(("pulse",), now + self.rules.heartbeat_s),
            e.SendHeartbeat((coordinator,), self._round(), self._state(now)),
        ]
        if not self.known and self.liveness.living(coordinator):
            effects.append(self._ready())
        verdicts = self.liveness.review(now)
        for name, silent in verdicts.suspected.items():
            effects.append(e.Publish("node.suspect", {"subject": name, "reason": f"silent for {silent:.1f} s"}))
        for name, silent in verdicts.lost.items():
            effects.append(e.Publish("node.lost", {"subject": name, "reason": f"silent for {silent:.1f} s"}))
            limit = f"network.rejoin_deadline_s is {self.rules.lost_after_s:g} s"
            effects += self._finish("failed", f"{name} has been silent for {silent:.0f} s; {limit}")
        return effects

    def _too_late(self, now: float) -> list[e.Effect]:
        """Abandon at the deadline; if the work does not stop, what waits is declined by name."""
        first, self._overdue = not self._overdue, True
        effects: list[e.Effect] = []
        if first:
            keeps = self.current is not None and _partial(self.current.task) and not self._void and not self.pending
            effects.append(e.CancelTraining(keep=keeps))
            effects.append(e.Publish("warning", {"reason": self._excuse(now)}))
        if self.pending:
            effects.append(self._declined(self.pending, self._excuse(now)))
            self.pending = None
        return effects

    def _excuse(self, now: float) -> str:
        task = self.current.task if self.current else None
        doing = f"{task.work} of round {task.round}" if task else "work"
        return f"still busy with {doing}, for {now - self._since:.1f} s"

    def _state(self, now: float) -> str:
        return f"{self.current.task.work} for {now - self._since:.1f} s" if self.current else "idle"

    def _round(self) -> int:
        return self.current.task.round if self.current else self.completed

    def _ready(self) -> e.Effect:
        ready = m.Ready(examples=self.rules.examples, pid=self.rules.pid, codecs=self.rules.codecs)
        return e.Send((self.rules.coordinator,), ready)

    def _own_deadline(self, task: m.Task, now: float) -> list[e.Effect]:
        """The work on a model of its own may take longer than a round, but not for ever."""
        at = now + OWN_DEADLINES * task.deadline_s
        return [e.CancelTimer(("task", task.round, task.attempt)), e.SetTimer(("own", task.round, task.attempt), at)]

    def _ended(self, event: ev.Event, last: Assignment, now: float) -> list[e.Effect]:
        """Only the work on a model of this client's own is still to come; whatever others do is no news any more."""
        match event:
            case ev.TimerFired(("own", _, _)) if not self._overdue:
                self._overdue = True  # whatever the work has come to by now is this client's own model
                limit = f"{OWN_DEADLINES * last.task.deadline_s:g} s"
                warning = {"reason": f"a model of its own was not made within {limit}: it ends here"}
                return [e.Publish("warning", warning), e.CancelTraining(), *self._own_deadline(last.task, now)]
            case ev.TimerFired(("own", _, _)):
                return self._finish("failed", "the work on a model of its own does not stop")
            case ev.Personalized(number, metrics):
                told = {"round": number, **metrics}
                return [e.Publish("metric.personal", told), *self._finish("completed")]
            case ev.WorkFailed(kind, _, _, reason) if kind == "personalize":
                said = {"reason": f"no model of its own was made of the final one, which stays: {reason}"}
                return [e.Publish("warning", said), e.LoadWeights(last.body), *self._finish("completed")]
            case _:
                return []

    def _finish(self, status: str, reason: str = "") -> list[e.Effect]:
        self.finished = True
        return [e.Finish(status, reason)]


def _partial(task: m.Task) -> bool:
    """Whether a client that has no time left may answer with the work it has done."""
    return task.work == "train" and task.settings.get("partial") is True


def _personal(settings: Mapping[str, Any]) -> bool:
    """Whether the last task asks for a model of the client's own."""
    return any(settings.get(name) for name in ("personal", "ditto", FINE_TUNE))
