"""The coordinator's machine where nobody waits for anybody: asynchronous federated learning.

Round 0 is the ordinary one. After it every client has a task, and who has answered gets the next one at once. Answers
gather in a buffer; as soon as `demands.buffer` are there, the strategy makes a step of them, each with its staleness:
the steps that the model made while the client worked (FedAsync, Xie et al. 2019, arXiv 1903.03934, Algorithm 1, with a
buffer of one; FedBuff, Nguyen et al. 2022, arXiv 2106.06639, Algorithm 1). A step is what others call a round: it is
counted, told, evaluated and kept like one. docs/protocol.md, section 6.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import groupby
from typing import Any, Self

from nervenet.broker import messages as m

from ..runtime import effects as e
from ..runtime import events as ev
from ..runtime.payload_checks import Fault, brief
from .admission import admitted, refuse, unfit
from .async_buffer import Errands
from .closing import closing_fields, weighted_loss
from .early_stopping import Stop
from .ending import patience
from .gathering import least
from .inflow import Inflow, Waiting, newest
from .round import Round
from .round_machine import EXTENSIONS, FAILURES_IN_A_ROW, CoordinatorMachine
from .rules import RoundRules
from .sampling import sample, share_of
from .task_dispatch import doubts, tasks

SILENT_DEADLINES = 3  # without a single answer for that many deadlines the run has failed
EVALUATING = 0.25  # share of the worker's time; where steps are faster than that, some are not evaluated


class FlowState(CoordinatorMachine):
    """Decides what an asynchronous coordinator does next; never waits, never touches a vector.

    Attributes
    ----------
    flowing
        Whether clients train: after round 0, and until the last step.
    errands
        Who works on what.
    inflow
        What has come in since the last step.
    """

    def __init__(self, rules: RoundRules) -> None:
        super().__init__(rules)
        self.flowing = False
        self.errands = Errands()
        self.inflow = Inflow(max(1, rules.strategy.demands.buffer))
        self.draws = 0
        self._last_answer = 0.0
        self._waiting_since = 0.0
        self._waited = 0.0  # for clients to come back, since the last answer
        self._evaluating_since = 0.0
        self._no_evaluation_before = float("-inf")

    @classmethod
    def restored(
        cls,
        rules: RoundRules,
        memory: Mapping[str, Any],
        weights: ev.Body,
        outgoing: ev.Body = None,
        best: ev.Body = None,
    ) -> Self:
        """Go on where `memory` was given, with the step of then.

        What was waiting for a step, or being worked on, is asked for anew, by the numbers that it had: clients start
        from what they carried after their last task that is in the model.
        """
        state = super().restored(rules, memory, weights, outgoing, best)
        state.errands.remember(memory["errands"])
        state.draws = int(memory["draws"])
        return state

    def memory(self, now: float = float("-inf")) -> dict[str, Any]:
        """Give all that the machine's future depends on beside the vectors, as JSON can say it."""
        return {**super().memory(now), "errands": self.errands.to_dict(), "draws": self.draws}

    def handle(self, event: ev.Event, now: float) -> list[e.Effect]:
        """Take one event and say what to do."""
        if isinstance(event, ev.Evaluated | ev.WorkFailed):
            took = now - self._evaluating_since
            self._no_evaluation_before = now + took * (1 / EVALUATING - 1)
        effects = super().handle(event, now)
        if self.flowing and self.status != "finished":
            effects += [*self._step_if_full(now), *self._ask(now)]
        return effects

    # ---------------------------------------------------------------------------------------------------------- asking

    def _open(self, number: int, attempt: int, now: float, work: m.TaskKind | None = None) -> list[e.Effect]:
        if number == 0 or work == "evaluate":
            return super()._open(number, attempt, now, work)
        self.status = "asking"
        if self.flowing and self.open and self.open.key == (number, attempt):
            # Nobody could answer while clients were waited for; but those who come and go buy no more time than that.
            waited = self._waited + now - self._waiting_since
            self._waited = min(waited, self.rules.wait_deadline_s)
            return []
        effects: list[e.Effect] = []
        if not self.flowing:
            self.flowing, self._last_answer = True, now
            effects.append(e.SetTimer(("silence",), now + SILENT_DEADLINES * self.rules.deadline_s))
        self.open = Round(number, attempt, "train", (), 0, 1.0, 0, now)
        told = {"round": number, "attempt": attempt, "asked": sorted(self.errands.out)}
        return [*effects, e.Publish("round.started", told), *doubts(self.rules, self.roll)]

    def _ask(self, now: float) -> list[e.Effect]:
        """Give everybody a task who has none, as far as there may be more at work: with the present model."""
        errands = self.errands
        if self.status != "asking" or self.open is None:
            return []
        if len(self.roll.living()) < least(self.rules):
            return self._wait(*self.open.key, now)
        there = self.roll.trusted(self.completed + 1)
        last = self.inflow.step.last if self.inflow.step else ""
        idle = [name for name in errands.idle(there, now) if name != last]
        at_work = sum(name in errands.out for name in there)
        chosen = self._draw(idle, share_of(len(there), self.rules.participation) - at_work)
        for name in chosen:
            errands.give(name, self.completed, self.weights, now)
        effects: list[e.Effect] = []
        for (number, durable, began), names in groupby(sorted(chosen, key=self._address), self._address):
            group = tuple(names)
            self.roll.ask(group, (number, errands.life))
            effects += tasks(
                *(group, "train", number, errands.life, self.outgoing),
                rules=self.rules,
                roll=self.roll,
                settled=self.settled,
                durable=durable,
                began=began,
            )
        return effects + [self._alarm(name, now + self.rules.deadline_s + self._grace_s) for name in chosen]

    def _address(self, name: str) -> tuple[int, int, int]:
        return self.errands.out[name].number, self.errands.durable(name), self.errands.began(name)

    def _draw(self, idle: list[str], free: int) -> list[str]:
        if free >= len(idle) or free <= 0:
            return idle if free > 0 else []
        self.draws += 1
        cap = self.roll.cap(self.rules.max_examples_ratio)
        sizes = {name: min(cap, self.roll[name].examples) for name in idle}
        drawn = sample(self.rules.sampling, sizes, free, seed=self.rules.seed, round=self.draws, attempt=0)
        return list(drawn)

    @property
    def _grace_s(self) -> float:
        """How long an answer that a client gives at its deadline may take until it is here, or is said to be coming."""
        return 2 * self.rules.heartbeat_s

    def _alarm(self, name: str, at: float) -> e.Effect:
        return e.SetTimer(("task", name, self.errands.out[name].number), at)

    # --------------------------------------------------------------------------------------------------------- answers

    def _arrived(self, event: ev.Arrived, now: float) -> list[e.Effect]:
        effects = super()._arrived(event, now)
        match event.message:
            case m.Declined(round=number, attempt=attempt, reason=reason):
                if self.flowing and attempt == self.errands.life:
                    effects += self._give_up(event.sender, number, f"declined: {brief(reason)}", now)
        return effects

    def _judge(self, sender: str, update: m.Update, event: ev.Arrived, now: float) -> list[e.Effect]:
        """Admit an update to the buffer, or refuse it by name; its client gets the next task either way."""
        if self.ending.begun and self.errands.known(sender) and update.payload is not None:
            return []  # it was on its way when the last step was made
        if not self.flowing:
            return super()._judge(sender, update, event, now)
        number, current = update.round, self.open
        owed = self.roll.answered(sender, (number, update.attempt))
        if current is None or update.attempt != self.errands.life or not self.errands.holds(sender, number):
            # Late is not wrong: its sender was named when the task was taken back.
            return [] if owed else refuse(sender, number, self._misplaced(sender, number, update.attempt))
        fault = unfit(event, update, "train", self.settled, self.rules, self.roll)
        if fault:
            told = [*refuse(sender, number, fault), *self._distrust(sender, number, fault[1])]
            return told + self._give_up(sender, number, f"rejected: {fault[1]}", now)
        out = self.errands.answered(sender)
        effects: list[e.Effect] = [e.CancelTimer(("task", sender, number))]
        current.excused.pop(sender, None)
        if sender in self.roll:
            self.roll[sender].settled = True
        staleness = self.inflow.version_at_arrival(self.completed) - out.version
        allowed = self.rules.strategy.demands.max_staleness
        if allowed is not None and staleness > allowed:
            reason = f"the model has made {staleness} steps meanwhile; at most {allowed} are allowed"
            return effects + refuse(sender, number, ("stale", reason))
        self._last_answer, self._waited = now, 0.0
        self.inflow.waiting.append(Waiting(sender, out, admitted(event, update)))
        return effects

    def _misplaced(self, sender: str, number: int, attempt: int) -> Fault:
        """Say why an update answers no task that its sender has."""
        errands = self.errands
        if not errands.known(sender):
            return "uninvited", f"{sender} was not asked yet"
        if attempt == errands.life and errands.has_answered(sender, number):
            return "duplicate", f"{sender} has answered task {number} already"
        out = errands.out.get(sender)
        stands = f"task {out.number}, attempt {errands.life} is with it" if out else "no task is with it"
        return "stale", f"task {number}, attempt {attempt} is over; {stands}"

    def _distrust(self, name: str, number: int, reason: str) -> list[e.Effect]:
        """Count the rejection of a task's answer: three in a row cost its client the trust, for as many steps."""
        return self._strike(name, replace(self.open, attempt=number), reason) if self.open else []

    def _spoiled(self, sender: str, reason: str, now: float) -> list[e.Effect]:
        effects = super()._spoiled(sender, reason, now)
        out = self.errands.out.get(sender)
        if not self.flowing or out is None:
            return effects
        distrust = self._distrust(sender, out.number, reason)
        return effects + distrust + self._give_up(sender, out.number, f"rejected: {reason}", now)

    # ----------------------------------------------------------------------------------------------------------- steps

    def _step_if_full(self, now: float) -> list[e.Effect]:
        current = self.open
        if current is None or self.settled is None or self.judging.holds:
            return []
        step = self.inflow.take(self.completed, current.attempt)
        if step is None:
            return []
        current.closing = "buffer"
        fold = e.Fold(step.number, step.attempt, "mean", self.weights, step.contributions())
        return [patience("fold", step.number, now, self.rules), fold]

    def _folded(self, event: ev.Folded, now: float) -> list[e.Effect]:
        step, current = self.inflow.step, self.open
        if step is None or current is None or (event.round, event.attempt) != (step.number, step.attempt):
            return []
        self.inflow.step = None
        effects: list[e.Effect] = [e.CancelTimer(("work", "fold", step.number))]
        for name, reason in sorted(event.rejected.items()):
            for number in step.numbers_of(name):
                effects += [*refuse(name, number, ("values", reason)), *self._distrust(name, number, reason)]
        current.admitted = newest(step.taken, event.rejected)
        told, stop = self._of_sites(step.number)
        effects += told
        if stop:
            return effects + self._end_early(stop, now)
        self.weights = event.body
        self.outgoing = event.body if event.outgoing is None else event.outgoing
        self.completed, self.failures = step.number, 0
        self.keeper.completed(self.completed)
        taken = [(waiting.client, waiting.out.number) for waiting in step.taken]
        self.errands.count(taken)
        self.roll.count((name, number) for name, number in taken if name in current.admitted)
        stale = step.staleness()
        fields = {
            **closing_fields(current, now),
            "staleness": stale,
            "staleness_mean": sum(stale) / len(stale),
            "staleness_max": max(stale),
            **event.metrics,
        }
        if current.excused:
            fields["missing"] = dict(sorted(current.excused.items()))
        loss = weighted_loss(step.counted(event.rejected))
        if loss is not None:
            fields["loss"] = loss
        effects.append(e.Publish("round.completed", fields))
        effects += [*self._keep(now), *self._measure(fields, now)]
        if self.completed >= self.rules.rounds:
            return effects + self._end(now)
        if self.ending.due:
            return effects + self._end_early(self.ending.due, now)
        return effects + self._open(self.completed + 1, 0, now)

    def _of_sites(self, number: int) -> tuple[list[e.Effect], Stop | None]:
        """Tell what the sites think of the models that they were sent: of the present one, and of some before it."""
        if number % self.rules.evaluate_every or self.open is None:
            return [], None
        return self.judging.of_sites(self.completed, self.weights, self.open.admitted)

    def _measure(self, fields: Mapping[str, Any], now: float) -> list[e.Effect]:
        """Have the model evaluated if it is its turn, unless that would hold up the next steps."""
        last = self.completed >= self.rules.rounds or self.ending.due is not None
        if not last and (self.judging.pending or now < self._no_evaluation_before):
            return [e.Completed(self.completed, fields)]
        self._evaluating_since = now
        return super()._measure(fields, now)

    def _keep(self, now: float) -> list[e.Effect]:
        effects = super()._keep(now)
        if any(isinstance(effect, e.Checkpoint) for effect in effects):
            self.errands.writing()
        return effects

    def _kept(self, number: int, now: float, failure: str = "") -> list[e.Effect]:
        if not failure:
            self.errands.written()
        return super()._kept(number, now, failure)

    # --------------------------------------------------------------------------------------------------------- the end

    def _end(self, now: float) -> list[e.Effect]:
        """Stop asking: what is still being worked on is abandoned for the tasks that come now."""
        self.flowing = False
        effects: list[e.Effect] = [e.CancelTimer(("silence",))]
        for name in sorted(self.errands.out):
            effects += self._take_back(name)
        if self.inflow.step is not None:
            effects.append(e.CancelTimer(("work", "fold", self.inflow.step.number)))
        self.inflow = Inflow(self.inflow.size)
        self.judging.sited = 0  # what they have told was of older models, too
        return effects + super()._end(now)

    def _last_key(self) -> tuple[int, int]:
        """Number and attempt from which no client knows a newer task."""
        number, attempt = super()._last_key()
        return max(number, self.errands.newest()), max(attempt, self.errands.life)

    # ----------------------------------------------------------------------------------------------- time and failures

    def _take_back(self, name: str) -> list[e.Effect]:
        """Forget the task that `name` has; its answer does not count any more."""
        out = self.errands.take_back(name)
        return [e.CancelTimer(("task", name, out.number))] if out else []

    def _give_up(self, name: str, number: int, reason: str, now: float) -> list[e.Effect]:
        """Take a task back that failed, and give its client a rest that doubles each time it fails in a row."""
        if not self.errands.holds(name, number):
            return []
        self.errands.failed(name, now, self.rules.heartbeat_s, self.rules.deadline_s)
        if self.open is not None:
            self.open.excused[name] = reason
        told = e.Publish("warning", {"subject": name, "reason": f"task {number}: {reason}"})
        return [e.CancelTimer(("task", name, number)), told]

    def _linked(self, peer: str, incarnation: int, now: float) -> list[e.Effect]:
        """(Re)connected: what it was doing may be lost, and nobody can tell; it is given a new task."""
        self.errands.awaken(peer)
        return self._take_back(peer) + super()._linked(peer, incarnation, now)

    def _gone(self, name: str, reason: str, now: float) -> list[e.Effect]:
        return self._take_back(name) + super()._gone(name, reason, now)

    def _excuse(self, name: str, reason: str, number: int, now: float, *, silent: bool = False) -> list[e.Effect]:
        if not self.flowing:
            return super()._excuse(name, reason, number, now, silent=silent)
        return [] if silent else self._give_up(name, number, reason, now)  # who is only silent may still answer

    def _close_if_ready(self, now: float) -> list[e.Effect]:
        return [] if self.flowing else super()._close_if_ready(now)

    def _timer(self, key: ev.Key, due: float, now: float) -> list[e.Effect]:
        match key:
            case ("task", str(name), int(number)) if self.flowing:
                return self._overdue(name, number, now)
            case ("silence",) if self.flowing:
                return self._silence(now)
            case _:
                return super()._timer(key, due, now)

    def _wait(self, number: int, attempt: int, now: float) -> list[e.Effect]:
        self._waiting_since = now
        return super()._wait(number, attempt, now)

    def _overdue(self, name: str, number: int, now: float) -> list[e.Effect]:
        out = self.errands.out.get(name)
        if out is None or out.number != number:
            return []
        if self.roll.moving(name, number) and now < out.since + EXTENSIONS * self.rules.deadline_s:
            return [self._alarm(name, now + self._grace_s)]
        reason = f"no answer within {self.rules.deadline_s:g} s (last heard: {self.roll.doing(name)})"
        return self._give_up(name, number, reason, now)

    def _silence(self, now: float) -> list[e.Effect]:
        limit = SILENT_DEADLINES * self.rules.deadline_s
        if self.status == "waiting":  # for clients, which has an end of its own
            return [e.SetTimer(("silence",), now + self._grace_s)]
        due = self._last_answer + self._waited + limit
        if now < due:
            return [e.SetTimer(("silence",), due)]
        moving = any(self.roll.moving(name, out.number) for name, out in self.errands.out.items())
        if moving and now < self._last_answer + EXTENSIONS * self.rules.deadline_s:
            return [e.SetTimer(("silence",), now + self._grace_s)]
        doing = "".join(f"; {name}: {self.roll.doing(name)}" for name in self.roll.living())
        return self._fail_run(f"no update that could be used has come for {limit:g} s{doing}")

    def _fail_round(self, reason: str, now: float) -> list[e.Effect]:
        """A step that failed takes its updates with it; the next one is made of those that come after them."""
        step = self.inflow.step
        if not self.flowing or step is None:
            return super()._fail_round(reason, now)
        self.inflow.step = None
        self.failures += 1
        told = {"round": step.number, "attempt": step.attempt, "reason": reason}
        effects: list[e.Effect] = [e.Publish("round.failed", told)]
        if self.ending.due and self.completed:
            return effects + self._end_early(self.ending.due, now)
        if self.failures >= FAILURES_IN_A_ROW:
            return effects + self._fail_run(f"step {step.number} failed {self.failures} times in a row: {reason}")
        return effects + self._open(step.number, step.attempt + 1, now)
