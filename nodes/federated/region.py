"""What a coordinator does next that has another one above it: what that has ordered, and no more.

The rounds are the upper one's: of each of its tasks to train the region makes `region_rounds` rounds, each from the
model of the one before, and what the region's clients have come to by the last goes up as one client's answer (Liu et
al. 2020, Algorithm 1, with kappa_2 such rounds). They are numbered on, so that with one the numbers are those above. A
round that fails here is declined there, by its reason, and is not tried again before it is asked for again. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from nervenet.broker import messages as m

from ..runtime import effects as e
from ..runtime import events as ev
from ..runtime.event_types import HOLDOUT
from .by_weight import WEIGHT
from .quorum import least, too_few_living
from .round import Round, site_metrics, weighted_loss
from .run_state import RunState
from .sync_rounds import SyncRounds

SHARE = 0.8  # of a task's deadline, that the clients of a region have for theirs

Conclude: TypeAlias = Callable[[float], list[e.Effect]]
"""Hands the last model to all clients, and ends the region's run."""


@dataclass(frozen=True)
class Part:
    """One of the rounds that a region makes of one above: its number, from 0, and the model that it begins with."""

    key: tuple[int, int]  # of the round above: whose it is, and its number
    number: int
    body: ev.Body
    clock: float
    until: float  # by when the last of them must be over


class Region:
    """The part of a `CoordinatorMachine` that takes orders, in place of that which opens round after round.

    Its rounds last `region_deadline_s` of its configuration, or `SHARE` of what the task from above allows.
    """

    def __init__(self, run: RunState, rounds: SyncRounds, conclude: Conclude) -> None:
        self.run = run
        self.rounds = rounds
        self._conclude = conclude
        self._order: ev.Ordered | None = None  # whose round is open, or is being folded
        self._part: Part | None = None  # of the task above: the round that was opened last
        self._unwanted = False  # whether nobody waits any more for what is being folded
        self._figures_before: dict[str, float] = {}  # what the sites found of the model from above
        self._newest = (-1, -1)  # the latest round that was opened, and the largest attempt
        self._rows = 0  # with which the region has enrolled: its answers count for no more
        self._capped = False
        self._final: ev.Body = None

    def handle(self, event: ev.Ordered | ev.Surveyed, now: float) -> list[e.Effect]:
        return self._take(event, now) if isinstance(event, ev.Ordered) else self._surveyed(event)

    # ------------------------------------------------------------------------------------------------------- orders in

    def _take(self, event: ev.Ordered, now: float) -> list[e.Effect]:
        run, task = self.run, event.task
        match event.order:
            case e.Finish("completed"):
                return self._end(task, now)
            case e.Finish(_, reason):
                return run.fail(f"the part of this region in the run above has ended: {reason}")
            case e.LoadWeights(body):
                self._final = body
                return []
            case e.CancelTraining(keep=False):
                return self._abandon()
            case e.CancelTraining():  # the region's own deadline is no later
                return []
            case e.ApplyAgreement() as order:
                return [run.work_timer("agreement", 0, now), order]
            case e.Survey(question, step, asker) if question:
                reason = f"a region sums the statistics of its sites; it asks them nothing else ({brief_of(question)})"
                return [e.Pass(ev.QuestionRefused(step, asker, reason))]
            case e.Survey() | e.Train() | e.Evaluate(plain=False) if task is not None:
                return self._open(event, task, now)
            case _:
                return [_failed(task, "no region does that")]

    def _open(self, event: ev.Ordered, task: m.Task, now: float) -> list[e.Effect]:
        """Open the first of a task's rounds; or the last that was opened, where the same task comes again."""
        self._unwanted = False
        lasts_s = self.run.config.region_deadline_s or SHARE * task.deadline_s
        part, key = self._part, (event.origin, task.round)
        if part is None or part.key != key or task.work != "train":
            part = Part(key, 0, getattr(event.order, "body", None), task.clock, 0.0)
        return self._open_part(event, task, replace(part, until=now + lasts_s), now, lasts_s)

    def _open_part(self, event: ev.Ordered, task: m.Task, part: Part, now: float, left_s: float) -> list[e.Effect]:
        run, each = self.run, self.run.config.region_rounds
        deadline_s = left_s / (each - part.number if task.work == "train" else 1)
        run.config = replace(
            run.config,
            rounds=max(task.rounds, task.round, 1) * each,
            settings=dict(task.settings),
            federated=replace(
                run.config.federated,
                strategy=task.strategy or run.config.federated.strategy,
                wait_deadline_s=deadline_s,
            ),
            timing=replace(run.config.timing, deadline_s=deadline_s),
            evaluate_sites=(task.evaluate and not part.number) or task.work == "evaluate",
            origin=event.origin,
            needed=self._needed(task),
        )
        # Who is merely silent may be heard again in time, and is waited for; who is lost is not.
        there = [n for n in run.registry.clients if run.registry.here(n) and not run.registry.is_lost(n)]
        if task.work != "evaluate" and len(there) < least(run.config, run.registry) and not self._needed(task):
            return [_failed(task, f"too few clients in the region: {too_few_living(run.config, run.registry)}")]
        if task.work != "survey":
            run.weights = run.outgoing = part.body
            run.clock = part.clock
            run.completed = task.round * each if task.work == "evaluate" else (task.round - 1) * each + part.number
        self._order = event
        if task.work == "train":
            self._part = part
        number, attempt = self._key(task, part.number)
        effects = self.rounds.open(number, attempt, now, task.work)
        return effects + self.rounds.close_if_ready(now)

    def _needed(self, task: m.Task) -> bool:
        """Whether the run above cannot do without this region, as it says or asks again: the lost may yet come back.

        Declined at once that would cost it an attempt, and each time the round, before anybody could.
        """
        return task.needed is True or task.attempt > 0

    def _key(self, task: m.Task, part: int) -> tuple[int, int]:
        """Return under which number and attempt a round is opened: no client is to take it for one that is over."""
        each, (newest, most) = self.run.config.region_rounds, self._newest
        number = (task.round - 1) * each + part + 1 if task.work == "train" else task.round * each
        attempt = task.attempt if number > newest else max(most + 1, task.attempt)
        self._newest = number, max(most, attempt)
        return number, attempt

    def _abandon(self) -> list[e.Effect]:
        """Give up the round that is open: nobody above waits for it any more."""
        run, current, event = self.run, self.run.round, self._order
        if event is not None and run.status == "waiting":
            return [e.CancelTimer(("wait",)), *self.gave_up("the coordinator above waits for it no longer")]
        if current is None or event is None:
            return []
        if current.closing:
            self._unwanted = isinstance(event.order, e.Train)
            return []
        current.closing = "abandoned"
        self._order, run.status = None, "idle"
        reason = "the coordinator above waits for it no longer"
        late = run.registry.owing(current.missing(""), current.key)
        dismissed = [e.Send(late, m.Refused("task", current.number, "stale", reason))] if late else []
        failed = {"round": current.number, "attempt": current.attempt, "reason": reason}
        answer = _failed(event.task, reason)
        if isinstance(event.order, e.Train):
            answer = _cancelled(event.order)
        return [
            e.CancelTimer(("deadline", *current.key)),
            *dismissed,
            e.Publish("round.failed", failed),
            answer,
        ]

    def _end(self, task: m.Task | None, now: float) -> list[e.Effect]:
        run = self.run
        effects = self._abandon()
        if run.model is None or self._final is None:
            return effects + run.fail("the run above was over before this region was told of a model")
        run.weights = run.outgoing = self._final
        run.completed = run.completed if task is None else task.round * run.config.region_rounds
        run.closing = True
        return effects + self._conclude(now)

    # ------------------------------------------------------------------------------------------------------ answers out

    def _gathered(self) -> list[e.Effect]:
        """Say that the region's clients are there: with their rows it enrolls above."""
        run = self.run
        living = run.registry.living()
        run.status, self._rows = "idle", sum(run.registry[name].examples for name in living)
        return [e.Pass(ev.Gathered(len(living), self._rows))]

    def _surveyed(self, event: ev.Surveyed) -> list[e.Effect]:
        """Hand on what the statistics of the region's sites add up to."""
        self.run.status, self._order = "idle", None
        return [e.CancelTimer(("work", "agreement", 0)), e.Pass(event)]

    def model_ready(self, event: ev.ModelReady, now: float) -> list[e.Effect]:
        """Take over what all regions have agreed on, which each client is told with its next task."""
        run = self.run
        run.model = event
        for record in run.registry.clients.values():
            record.ready = False
        closed = run.zero.close(event.decided, now) if run.zero.opened else [e.CancelTimer(("work", "agreement", 0))]
        return [*closed, e.Pass(event)]

    def proceed(self, now: float) -> list[e.Effect]:
        """Open the next of a task's rounds, or hand on what has become of them."""
        run, current = self.run, self.run.round
        if run.status == "gathering":
            return self._gathered()
        event, self._order = self._order, None
        run.status, run.failures = "idle", 0
        if event is None or current is None:
            return []
        match event.order:
            case _ if current.failure:
                return self._wait_for_clients(event, now) or [_failed(event.task, current.failure)]
            case e.Train() as order:
                part = self._part
                if part is None or event.task is None:
                    return []
                if not part.number:
                    self._figures_before = self._figures(current) if order.evaluate else {}
                if part.number + 1 < run.config.region_rounds:
                    if self._unwanted:
                        return [_cancelled(order)]
                    following = replace(part, number=part.number + 1, body=run.weights, clock=run.clock)
                    return self._open_part(event, event.task, following, now, max(part.until - now, 0.0))
                return self._trained(order, current)
            case e.Evaluate(number, which):
                return [e.Pass(ev.Evaluated(number, which, self._figures(current)))]
            case _:
                return []

    def _wait_for_clients(self, event: ev.Ordered, now: float) -> list[e.Effect]:
        """Open a round that its clients were lost in once more, where the run above cannot do without it."""
        run, part, task = self.run, self._part, event.task
        if task is None or task.work != "train" or part is None or not run.config.needed or now >= part.until:
            return []
        if self._unwanted:
            return []  # the region is to be free for the next task
        if len(run.registry.living()) >= least(run.config, run.registry):
            return []  # it has not failed for want of clients
        return self._open_part(event, task, part, now, part.until - now)

    def gave_up(self, reason: str) -> list[e.Effect]:
        """Decline a round for which the region has waited for clients in vain, or that nobody waits for any more."""
        event, self._order = self._order, None
        self.run.status = "idle"
        return [] if event is None else [_failed(event.task, reason)]

    def failed(self, event: ev.WorkFailed) -> list[e.Effect]:
        """Decline what the worker could not do, by its reason; whoever is above decides what that means."""
        run, order = self.run, self._order
        run.status, self._order = "idle", None
        cancelled = e.CancelTimer(("work", "agreement", 0))
        if order is None:  # an agreement made elsewhere, which does not fit: as at a client, that ends it
            return [cancelled, e.Pass(event)]
        return [cancelled, _failed(order.task, event.reason)]

    def _trained(self, order: e.Train, current: Round) -> list[e.Effect]:
        run, updates = self.run, list(current.admitted.values())
        counted = math.fsum(update.examples for update in updates)
        metrics: dict[str, float] = {}
        rows = int(counted)
        if any(WEIGHT in update.metrics for update in updates):
            metrics[WEIGHT] = counted
            rows = sum(run.registry[n].examples if n in run.registry else 1 for n in current.admitted)
        loss = weighted_loss(current.admitted)
        if loss is not None:
            metrics["loss"] = loss
        if order.evaluate:
            metrics |= {f"{HOLDOUT}{key}": value for key, value in self._figures_before.items()}
        said = list(self._cap(rows, current.number))
        examples = max(1, min(rows, self._rows))
        return [
            *said,
            e.Pass(ev.Trained(order.round, order.attempt, run.weights, examples, metrics, clock=run.clock)),
        ]

    def _cap(self, rows: int, number: int) -> Iterator[e.Effect]:
        if rows <= self._rows or self._capped:
            return
        self._capped = True
        reason = (
            f"the region has {rows} rows, and had {self._rows} when it enrolled above: it counts for these until its "
            "aggregator is started again"
        )
        yield e.Publish("warning", {"round": number, "reason": reason})

    def _figures(self, current: Round) -> dict[str, float]:
        """Return what the region's sites found on their hold-outs, as one site would say it."""
        found = site_metrics(current.admitted, self.run.config.federated.max_examples_ratio)
        apart = ("sites", "source", "spread", "worst")
        return {key: float(value) for key, value in found.items() if key not in apart}


def brief_of(question: Any) -> str:
    return str(question.get("ask", "statistics"))[:40]


def _cancelled(order: e.Train) -> e.Pass:
    return e.Pass(ev.Trained(order.round, order.attempt, None, 0, {}, cancelled=True))


def _failed(task: m.Task | None, reason: str) -> e.Pass:
    number, attempt = (0, 0) if task is None else (task.round, task.attempt)
    work = "work" if task is None else task.work
    return e.Pass(ev.WorkFailed(work, number, attempt, reason))
