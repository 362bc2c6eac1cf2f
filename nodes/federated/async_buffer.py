"""Training without a barrier: asynchronous federated learning.

Every client has a task, and who has answered gets the next one at once. Answers gather in a buffer; as soon as
`demands.buffer` are there, the strategy makes a step of them, each with its staleness: the steps that the model made
while the client worked (FedAsync, Xie et al. 2019, arXiv 1903.03934, Algorithm 1, with a buffer of one; FedBuff, Nguyen
et al. 2022, arXiv 2106.06639, Algorithm 1). A step is what others call a round: it is counted, published, evaluated and
kept like one. docs/protocol.md, section 6.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from nervenet.broker import messages as m
from nervenet.broker.errors import see

from ..runtime import effects as e
from ..runtime import events as ev
from ..runtime.payload_checks import Fault, brief
from .admission import admit, refuse, unfit
from .async_tasks import TaskLedger, UpdateBuffer, WaitingUpdate
from .quorum import least, least_in_step
from .round import Round, closing_fields, weighted_loss
from .run_state import RunState
from .sampling import share_of
from .sync_rounds import EXTENSIONS, Proceed
from .task_dispatch import capped_claims, draw, tasks

SILENT_DEADLINES = 3  # without a single answer for that many deadlines the run has failed


class AsyncBuffer:
    """Decides about one step after another, while no client waits for another."""

    def __init__(self, run: RunState, ledger: TaskLedger, proceed: Proceed) -> None:
        self.run = run
        self.ledger = ledger
        self.active = False  # clients train: after round 0, and until the last step
        self.buffer = UpdateBuffer(max(1, run.config.strategy.demands.buffer))  # what has come in since the last step
        self._proceed = proceed
        self._last_answer = 0.0
        self._waiting_since = 0.0
        self._waited = 0.0  # for clients to come back, since the last answer

    @property
    def _grace_s(self) -> float:
        """How long an answer that a client gives at its deadline may take until it is here, or is said to be coming."""
        return 2 * self.run.config.timing.heartbeat_s

    def open(self, number: int, attempt: int, now: float) -> list[e.Effect]:
        run, config = self.run, self.run.config
        run.status = "asking"
        if self.active and run.round and run.round.key == (number, attempt):
            # Nobody could answer while clients were waited for; but those who come and go buy no more time than that.
            self._waited = min(self._waited + now - self._waiting_since, config.wait_deadline_s)
            return []
        effects: list[e.Effect] = []
        if not self.active:
            self.active, self._last_answer = True, now
            effects.append(e.SetTimer(("silence",), now + SILENT_DEADLINES * config.timing.deadline_s))
        run.round = Round(number, attempt, "train", (), 0, 1.0, 0, now)
        fields = {"round": number, "attempt": attempt, "asked": sorted(self.ledger.out)}
        return [*effects, e.Publish("round.started", fields), *capped_claims(config, run.registry)]

    def advance(self, now: float) -> list[e.Effect]:
        return [*self._step_if_full(now), *self._ask(now)] if self.active else []

    def _ask(self, now: float) -> list[e.Effect]:
        run, ledger, config = self.run, self.ledger, self.run.config
        if run.status != "asking" or run.round is None:
            return []
        if len(run.registry.living()) < least(config, run.registry):
            self._waiting_since = now
            return run.wait(*run.round.key, now)
        trusted = run.registry.trusted(run.completed + 1, least_in_step(self.buffer.size, config))
        last = self.buffer.step.last if self.buffer.step else ""
        idle = [name for name in ledger.idle(trusted, now) if name != last and not self._alone(name)]
        at_work = sum(name in ledger.out for name in trusted)
        chosen = self._draw(idle, share_of(len(trusted), config.federated.participation) - at_work)
        for name in chosen:
            ledger.give(name, run.completed, run.weights, now)
        effects: list[e.Effect] = []
        for (number, durable, resumed_after), names in groupby(sorted(chosen, key=ledger.address), ledger.address):
            group, key, known = tuple(names), (number, ledger.attempt), (config, run.registry, run.model)
            run.registry.ask(group, key)
            effects += tasks(
                *known,
                group,
                "train",
                key,
                run.outgoing,
                durable=durable,
                resumed_after=resumed_after,
                clock=run.clock,
                rounds=config.rounds,
            )
        due = now + config.timing.deadline_s + self._grace_s
        return effects + [self._alarm(name, due) for name in chosen]

    def _alone(self, name: str) -> bool:
        """Whether a client has to wait for another, because the next step would be its own."""
        return least_in_step(self.buffer.size, self.run.config) > 1 and self.buffer.would_fill_alone(name)

    def _draw(self, idle: list[str], free: int) -> list[str]:
        if free >= len(idle) or free <= 0:
            return idle if free > 0 else []
        self.ledger.draws += 1
        drawn = draw(idle, free, self.run.config, self.run.registry, round=self.ledger.draws, attempt=0)
        return list(drawn)

    def _alarm(self, name: str, at: float) -> e.Effect:
        return e.SetTimer(("task", name, self.ledger.out[name].number), at)

    def admit(self, sender: str, update: m.Update, event: ev.Arrived, now: float) -> list[e.Effect]:
        """Admit an update to the buffer, or refuse it by name; its client gets the next task either way."""
        run, ledger, number = self.run, self.ledger, update.round
        owed = run.registry.answered(sender, (number, update.attempt))
        if run.round is None or update.attempt != ledger.attempt or not ledger.holds(sender, number):
            # Late is not wrong: its sender was named when the task was taken back.
            return [] if owed else refuse(sender, number, self._misplaced(sender, number, update.attempt))
        fault = unfit(event, update, "train", run.model, run.config, run.registry)
        if fault:
            rejected = run.reject(sender, number, (run.number, number), fault)
            return rejected + self._give_up(sender, number, f"rejected: {fault[1]}", now)
        task = ledger.done(sender)
        effects: list[e.Effect] = [e.CancelTimer(("task", sender, number))]
        run.round.excused.pop(sender, None)
        if sender in run.registry:
            run.registry[sender].ready = True
        staleness = self.buffer.version_at_arrival(run.completed) - task.version
        allowed = run.config.strategy.demands.max_staleness
        if allowed is not None and staleness > allowed:
            reason = f"the model has made {staleness} steps meanwhile; at most {allowed} are allowed"
            return effects + refuse(sender, number, ("stale", reason))
        self._last_answer, self._waited = now, 0.0
        most = run.registry.cap(run.config.federated.max_examples_ratio)
        self.buffer.waiting.append(WaitingUpdate(task, admit(event, update, "train", task.base, most)))
        return effects

    def _misplaced(self, sender: str, number: int, attempt: int) -> Fault:
        ledger = self.ledger
        if not ledger.known(sender):
            return "uninvited", f"{sender} was not asked yet"
        if attempt == ledger.attempt and ledger.answered.get(sender) == number:
            return "duplicate", f"{sender} has answered task {number} already"
        out = ledger.out.get(sender)
        status = f"task {out.number}, attempt {ledger.attempt} is with it" if out else "no task is with it"
        return "stale", f"task {number}, attempt {attempt} is over; {status}"

    def declined(self, sender: str, number: int, attempt: int, reason: str, now: float) -> list[e.Effect]:
        if attempt != self.ledger.attempt:
            return []
        return self._give_up(sender, number, f"declined: {brief(reason)}", now)

    def malformed(self, sender: str, reason: str, now: float) -> list[e.Effect]:
        """Something unreadable came; from a client that has a task, it was as good as its answer."""
        task = self.ledger.out.get(sender)
        if task is None:
            return []
        strikes = self.run.strike(sender, (self.run.number, task.number), reason)
        return strikes + self._give_up(sender, task.number, f"rejected: {reason}", now)

    def excuse(self, name: str, reason: str, number: int, now: float, *, silent: bool = False) -> list[e.Effect]:
        """Take task `number` of a client back, unless it is only silent and may still answer."""
        return [] if silent else self._give_up(name, number, reason, now)

    def connected(self, name: str) -> list[e.Effect]:
        """Take back what a client was doing: it may be lost, and nobody knows; it is given a new task, and at once."""
        self.ledger.resting.pop(name, None)
        return self.take_back(name)

    def take_back(self, name: str) -> list[e.Effect]:
        task = self.ledger.out.pop(name, None)
        return [e.CancelTimer(("task", name, task.number))] if task else []

    def _give_up(self, name: str, number: int, reason: str, now: float) -> list[e.Effect]:
        if not self.ledger.holds(name, number):
            return []
        timing = self.run.config.timing
        self.ledger.failed(name, now, timing.heartbeat_s, timing.deadline_s)
        if self.run.round is not None:
            self.run.round.excused[name] = reason
        warning = e.Publish("warning", {"subject": name, "reason": f"task {number}: {reason}"})
        return [e.CancelTimer(("task", name, number)), warning]

    def close_if_ready(self, now: float) -> list[e.Effect]:  # noqa: ARG002
        """Do nothing: a step closes when its buffer is full."""
        return []

    def _step_if_full(self, now: float) -> list[e.Effect]:
        run = self.run
        if run.round is None or run.evaluation.holds:
            return []
        step = self.buffer.take(run.completed, run.round.attempt)
        if step is None:
            return []
        run.round.closing = "buffer"
        run.round.closed_at = run.round.folding_at = now
        updates, warnings = run.by_weight([waiting.update for waiting in step.taken])
        step = self.buffer.counted_as(updates)
        fold = e.Fold(step.number, step.attempt, run.weights, step.contributions())
        return [*warnings, run.work_timer("fold", step.number, now), fold]

    def folded(self, event: ev.Folded, now: float) -> list[e.Effect]:
        run, step, current = self.run, self.buffer.step, self.run.round
        if step is None or current is None or (event.round, event.attempt) != (step.number, step.attempt):
            return []
        effects: list[e.Effect] = [e.CancelTimer(("work", "fold", step.number))]
        for name, reason in sorted(event.rejected.items()):
            for number in step.numbers_of(name):
                effects += run.reject(name, number, (current.number, number), ("values", reason))
        current.admitted = step.newest(event.rejected)
        floor = least_in_step(self.buffer.size, run.config)
        if event.rejected and len(current.admitted) < floor:
            return effects + self.fail(f"updates of {len(current.admitted)} of at least {floor} clients are left", now)
        self.buffer.step = None
        stop = None
        if step.number % run.config.evaluation.every == 0:
            # The sites judge the models that they were sent: the present one, and some before it.
            found, stop = run.evaluation.of_sites(run.completed, run.weights, run.clock, current.admitted)
            effects += found
        if stop:
            run.stop_due = stop
            return effects + self._proceed(step.number, step.attempt, now, "")
        run.update_model(event, step.number, step.counted(event.rejected).values())
        taken = [(waiting.update.client, waiting.task.number) for waiting in step.taken]
        self.ledger.counted |= dict(taken)
        run.registry.count((name, number) for name, number in taken if name in current.admitted)
        staleness = step.staleness()
        fields = {
            **closing_fields(current, now),
            "staleness": staleness,
            "staleness_mean": sum(staleness) / len(staleness),
            "staleness_max": max(staleness),
            **event.metrics,
        }
        if current.excused:
            fields["missing"] = dict(sorted(current.excused.items()))
        loss = weighted_loss(step.counted(event.rejected))
        if loss is not None:
            fields["loss"] = loss
        effects += [e.Publish("round.completed", fields), *run.save(now), *self._evaluate(fields, now)]
        return effects + self._proceed(step.number + 1, 0, now, "")

    def _evaluate(self, fields: Mapping[str, Any], now: float) -> list[e.Effect]:
        """Evaluate the model if it is its turn, unless that would hold up the next steps."""
        run = self.run
        if not run.last and (run.evaluation.pending or now < run.evaluation.pause_until):
            return run.evaluation.completed(run.completed, fields)
        return run.evaluate(fields, now)

    def fail(self, reason: str, now: float) -> list[e.Effect]:
        """Drop the updates of a step with it; the next one is made of those that come after them."""
        step, run = self.buffer.step, self.run
        if step is None:
            return []
        self.buffer.step = None
        run.failures += 1
        fields = {"round": step.number, "attempt": step.attempt, "reason": reason}
        failure = f"step {step.number} failed {run.failures} times in a row: {reason}{see('rounds-failed')}"
        failed = e.Publish("round.failed", fields)
        return [failed, *self._proceed(step.number, step.attempt + 1, now, failure)]

    def stop(self) -> list[e.Effect]:
        self.active = False
        effects: list[e.Effect] = [e.CancelTimer(("silence",))]
        for name in sorted(self.ledger.out):
            effects += self.take_back(name)
        if self.buffer.step is not None:
            effects.append(e.CancelTimer(("work", "fold", self.buffer.step.number)))
        self.buffer = UpdateBuffer(self.buffer.size)
        self.run.evaluation.sited = 0  # what the sites have found was of older models, too
        return effects

    def timer(self, key: ev.Key, now: float) -> list[e.Effect]:
        match key:
            case ("task", str(name), int(number)):
                return self._overdue(name, number, now)
            case ("silence",):
                return self._silence(now)
            case _:
                return []

    def _overdue(self, name: str, number: int, now: float) -> list[e.Effect]:
        task, deadline_s, registry = self.ledger.out.get(name), self.run.config.timing.deadline_s, self.run.registry
        if task is None or task.number != number:
            return []
        if registry.moving(name, number) and now < task.since + EXTENSIONS * deadline_s:
            return [self._alarm(name, now + self._grace_s)]
        reason = f"no answer within {deadline_s:g} s (last heard: {registry.doing(name)})"
        return self._give_up(name, number, reason, now)

    def _silence(self, now: float) -> list[e.Effect]:
        run, deadline_s = self.run, self.run.config.timing.deadline_s
        if run.status == "waiting":  # for clients, which has an end of its own
            return [e.SetTimer(("silence",), now + self._grace_s)]
        limit = SILENT_DEADLINES * deadline_s
        due = self._last_answer + self._waited + limit
        if now < due:
            return [e.SetTimer(("silence",), due)]
        moving = any(run.registry.moving(name, task.number) for name, task in self.ledger.out.items())
        if moving and now < self._last_answer + EXTENSIONS * deadline_s:
            return [e.SetTimer(("silence",), now + self._grace_s)]
        doing = "".join(f"; {name}: {run.registry.doing(name)}" for name in run.registry.living())
        return run.fail(f"no update that could be used has come for {limit:g} s{doing}")
