"""What the parts of a coordinator share: its clients, the model, how far the run has come, and what is still to come.

Nothing here opens or closes a round.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
from nervenet.broker import messages as m
from nervenet.models.schedule import median_clock

from ..runtime import effects as e
from ..runtime import events as ev
from ..runtime.payload_checks import Fault
from .admission import refuse
from .async_tasks import TaskLedger
from .by_weight import WEIGHT, by_weight
from .checkpointing import CheckpointPolicy
from .client_registry import STRIKES, ClientRegistry
from .coordinator_config import CoordinatorConfig
from .early_stopping import Stop
from .evaluation import Evaluation
from .quorum import too_few_living
from .round import Round
from .round_zero import RoundZero
from .row_cap import without_majority
from .site_matrix import SiteMatrix
from .strategies import Contribution
from .task_dispatch import tasks


class RunState:
    def __init__(self, config: CoordinatorConfig) -> None:
        timing = config.timing
        self.config = config
        self.registry = ClientRegistry(timing.suspect_after_s, timing.lost_after_s)
        self.ledger = TaskLedger() if config.strategy.demands.asynchronous else None  # where there are no rounds
        self.status = "gathering"  # waiting (for clients to come back), asking, folding, ending, finished
        self.completed = 0  # the last round whose updates are in the model
        self.failures = 0  # attempts in a row
        self.zero = RoundZero(config.first_question)
        self.round: Round | None = None  # the attempt at a round that is open, or was last
        self.waiting_for = (0, 0)  # round and attempt for which there are too few clients
        self.model: ev.ModelReady | None = None  # what round 0 has settled
        self.weights: ev.Body = None  # handle of the global weights
        self.clock = 0.0  # how far the learning-rate schedule of the global weights has come
        self.outgoing: ev.Body = None  # handle of those with whatever else goes to clients that train
        self.evaluation = Evaluation(config)
        self.matrix = SiteMatrix(wanted=config.site_matrix)
        self.checkpoints = CheckpointPolicy(timing.work_deadline_s)
        self.stop_due: Stop | None = None  # why the run is to end as soon as no round is open
        self.stopped: Stop | None = None  # why it ends before its last round
        self.closing = False  # no round is to come
        self.final = False  # the last model is there
        self.released = False  # every client has been sent it
        self.absent: set[str] = set()  # but those whose connection was cut just then, and who may come back for it
        self.absent_until = 0.0
        self._resumed_after = 0

    def restore(self, record: Mapping[str, Any], weights: ev.Body, outgoing: ev.Body, best: ev.Body) -> None:
        """Go on from what `to_dict` returned, with the handle of the weights of then.

        `outgoing` is that of what goes out with them if it is more, `best` that of the best weights if they are others.
        """
        payload = msgspec.convert(record["payload"], m.Payload)
        self.model = ev.ModelReady(record["agreement"], payload, weights, outgoing)
        self.weights, self.outgoing = weights, weights if outgoing is None else outgoing
        self.completed = self._resumed_after = record["completed"]
        self.failures = record["failures"]
        self.clock = float(record.get("clock", 0.0))
        self.checkpoints = CheckpointPolicy(self.config.timing.work_deadline_s, durable=self.completed)
        self.registry.restore(record["clients"])
        # A checkpoint of an earlier version does not say with how many rows each began.
        self.zero.rows = dict(record.get("surveyed") or {n: c["examples"] for n, c in record["clients"].items()})
        self.evaluation.restore(record["evaluation"], self.completed, weights, best)
        if self.ledger is not None:
            self.ledger.restore(record["tasks"])

    def to_dict(self, now: float = float("-inf")) -> dict[str, Any]:
        """Return all that the run's future depends on beside the vectors, as JSON can say it."""
        model = self.model
        return {
            "completed": self.completed,
            "failures": self.failures,
            "clock": self.clock,
            "clients": self.registry.to_dict(),
            "surveyed": dict(self.zero.rows),
            "agreement": dict(model.agreement) if model else {},
            "payload": msgspec.to_builtins(model.payload) if model else {},
            "evaluation": self.evaluation.to_dict(now),
            "tasks": self.ledger.to_dict() if self.ledger else {},
        }

    @property
    def number(self) -> int:
        return self.round.number if self.round else 0

    @property
    def newest_key(self) -> tuple[int, int]:
        """Round and attempt than which no client knows a newer task; the round may have been abandoned."""
        number, attempt = self.round.key if self.round else (self.completed, 0)
        if self.ledger is None:
            return number, attempt
        return max(number, self.ledger.newest()), max(attempt, self.ledger.attempt)

    @property
    def inquiring(self) -> bool:
        """Whether a further question of round 0 is open, which every site that was asked must answer."""
        return self.round is not None and self.round.step > 0 and not self.round.closing

    def overtaken(self, sender: str, update: m.Update) -> bool:
        """Whether a model was on its way when the last step was made, which is nobody's fault."""
        asked = self.round is not None and self.round.key == (update.round, update.attempt)  # since then
        return bool(self.closing and self.ledger and self.ledger.known(sender) and update.payload and not asked)

    @property
    def last(self) -> bool:
        return self.completed >= self.config.rounds or bool(self.stop_due and self.completed)

    def tasks(
        self, names: Iterable[str], work: m.TaskKind, number: int, attempt: int, body: ev.Body = None
    ) -> list[e.Effect]:
        """Return one task for each client, with the model of the run, or with another one."""
        return tasks(
            self.config,
            self.registry,
            self.model,
            names,
            work,
            (number, attempt),
            body if body is not None else self.outgoing if work == "train" else self.weights,
            durable=self.checkpoints.durable,
            resumed_after=self._resumed_after,
            clock=self.clock,
            rounds=self.completed if work in ("finish", "alone") else self.config.rounds,
            question=self.zero.question if work == "survey" else {},
            clients=self._asked_together(work),
            needed=self.config.needed and self._needs_all(work),
        )

    def _asked_together(self, work: str) -> int:
        """Return how many clients are asked for such work: those of the open round, or all who are there."""
        if self.round is None or self.round.work != work or self.ledger is not None:
            return len(self.registry.living())
        return len(self.round.asked)

    def _needs_all(self, work: str) -> bool:
        """Return whether the open round, of such work, fails as soon as one of those asked will not answer."""
        current = self.round
        return current is not None and current.work == work and len(current.asked) <= current.floor

    def update_model(
        self, event: ev.ModelReady | ev.Folded, number: int, updates: Collection[Contribution] = ()
    ) -> None:
        """Take over the model that round `number` has come to by these updates."""
        self.weights = event.body
        self.outgoing = event.body if event.outgoing is None else event.outgoing
        if isinstance(event, ev.ModelReady):  # a run may begin with a model that has been trained
            self.clock = event.clock
        if updates:
            found = median_clock([each.clock for each in updates], [each.examples for each in updates])
            self.clock = max(self.clock, found)  # an update that is stale is of an earlier clock
        self.completed, self.failures = number, 0
        self.checkpoints.completed(number)

    def by_weight(self, updates: Sequence[Contribution]) -> tuple[list[Contribution], list[e.Effect]]:
        """Return updates as they count, none for most of the round; and a warning, once, of each that is cut."""
        if self.config.alike:
            return [replace(update, examples=1) for update in updates], []
        counted, lines = by_weight(updates, self.config.federated.max_examples_ratio)
        weighted = any(WEIGHT in update.metrics for update in updates)
        counted, cut = without_majority(counted, self.zero.rows, weighted=weighted)
        said: list[e.Effect] = []
        for flag, found in (("weight_warned", lines), ("majority_warned", cut)):
            for name, line in found.items():
                if name in self.registry and not getattr(self.registry[name], flag):
                    setattr(self.registry[name], flag, True)
                    said.append(e.Publish("warning", {"subject": name, "reason": line}))
        return counted, said

    def work_timer(self, kind: str, number: int, now: float) -> e.Effect:
        """Return the deadline of the coordinator's own worker, which must not hold a run forever."""
        return e.SetTimer(("work", kind, number), now + self.config.timing.work_deadline_s)

    def evaluate(self, fields: Mapping[str, Any], now: float) -> list[e.Effect]:
        """Evaluate the model of the last complete round, if it is its turn; `fields` are of that round."""
        number = self.completed
        if not self.evaluation.due(number, last=self.stop_due is not None):
            return self.evaluation.completed(number, fields)
        return [
            self.work_timer("evaluate", number, now),
            self.evaluation.ask(number, self.weights, self.clock, fields, now),
        ]

    def save(self, now: float) -> list[e.Effect]:
        """Ask for a checkpoint of the last complete round, if one is due."""
        best = self.evaluation.best
        effects = self.checkpoints.write(now, self.weights, lambda: self.to_dict(now), best.weights if best else None)
        if self.ledger is not None and any(isinstance(effect, e.Checkpoint) for effect in effects):
            self.ledger.saving()
        return effects

    def saved(self, number: int, now: float, failure: str = "") -> list[e.Effect]:
        if self.ledger is not None and not failure:
            self.ledger.saved()
        effects = self.checkpoints.ended(number, saved=not failure)
        if failure and effects:
            reason = f"the checkpoint of round {number} was not written: {failure}; the run goes on"
            effects.append(e.Publish("warning", {"round": number, "reason": reason}))
        return effects + self.save(now)

    def wait(self, number: int, attempt: int, now: float) -> list[e.Effect]:
        """Wait for clients, of whom too few are there to open a round, but not forever."""
        self.status, self.waiting_for = "waiting", (number, attempt)
        reason = f"round {number} waits for clients: {too_few_living(self.config, self.registry)}"
        return [
            e.SetTimer(("wait",), now + self.config.wait_deadline_s),
            e.Publish("warning", {"round": number, "reason": reason}),
        ]

    def reject(self, name: str, number: int, key: tuple[int, int], fault: Fault) -> list[e.Effect]:
        return [*refuse(name, number, fault), *self.strike(name, key, fault[1])]

    def strike(self, name: str, key: tuple[int, int], reason: str) -> list[e.Effect]:
        until = self.registry.strike(name, key, self.config.federated.probation_rounds)
        if until is None:
            return []
        state = f"is on probation, and not asked before round {until + 1}: {STRIKES} updates in a row were rejected "
        state += "or did not come"
        return [e.Publish("warning", {"subject": name, "reason": f"{name} {state}, the last because {reason}"})]

    def fail(self, reason: str) -> list[e.Effect]:
        self.status = "finished"
        return [
            *self.evaluation.report_unjudged(0, {}),
            e.Send(tuple(self.registry.reachable()), m.Goodbye(round=self.completed, reason=reason)),
            e.Publish("run.failed", {"reason": reason}),
            e.Finish("failed", reason),
        ]

    def stop_early(self, stop: Stop) -> list[e.Effect]:
        """Stop with the last completed round, and take no more answers to the one that is open."""
        self.stopped = stop
        fields = {"round": self.completed, "stopped_by": stop.by, "reason": stop.reason}
        effects: list[e.Effect] = [e.Publish("run.stopping", fields), e.CancelTimer(("wait",))]
        if self.round:
            self.round.held = False
            if not self.round.closing:
                # The end may have to wait for a checkpoint: until then answers come in that would close this round.
                self.round.closing = "stopping"
                effects.append(e.CancelTimer(("deadline", *self.round.key)))
        return effects

    def release(self, now: float) -> list[e.Effect]:
        """Send the last tasks, once the last checkpoint is written: clients would not be there to train again.

        Whose connection was cut just before has `suspect_after_s` to come back: nobody would tell it later.
        """
        if not self.final or self.released or self.checkpoints.busy:
            return []
        self.released = True
        patience_s = self.config.timing.suspect_after_s
        self.absent, self.absent_until = self.registry.cut_since(now - patience_s), now + patience_s
        return self._last_tasks(self.registry.connected())

    def returned(self, name: str) -> list[e.Effect]:
        """Send the last task to one that is connected again, with which its first copy may have been lost."""
        if not self.released or not self.registry.here(name):
            return []
        self.absent.discard(name)
        return [*self._last_tasks([name]), *self.finish_if_ready()]

    def gone(self, name: str) -> list[e.Effect]:
        """Wait no longer for one that has left."""
        self.absent.discard(name)
        return self.finish_if_ready()

    def without_absent(self, now: float) -> list[e.Effect]:
        """Wait no longer for those who were not connected when the run ended, if it is time, and say who they are."""
        effects: list[e.Effect] = []
        if not self.absent or now < self.absent_until:
            return effects
        for name in sorted(self.absent):
            reason = f"{name} was not connected when the run ended, and has not been sent the final model"
            effects.append(e.Publish("warning", {"subject": name, "reason": reason}))
        self.absent.clear()
        return effects + self.finish_if_ready()

    def _last_tasks(self, names: Iterable[str]) -> list[e.Effect]:
        number, attempt = self.newest_key
        return self.tasks(names, "finish", number, attempt + 1)

    def finish_untrained(self, now: float) -> list[e.Effect]:
        """End a run that consists of round 0: there is nothing to train."""
        self.status = "finished"
        return [*self.zero.close({}, now), *self._last_tasks(self.registry.connected()), e.Finish("completed")]

    def finish_if_ready(self) -> list[e.Effect]:
        """Finish, once, when the clients may go, and the last evaluation is in."""
        if not self.released or self.absent or self.evaluation.pending or self.status == "finished":
            return []
        self.status = "finished"
        return [*self.evaluation.report_unjudged(0, {}), e.Finish("completed")]
