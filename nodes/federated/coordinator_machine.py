"""The coordinator's machine: what happens next in a federated run.

It gathers clients, settles in round 0 what everybody must share before training, trains in rounds (`SyncRounds`) or
without them (`AsyncBuffer`), has the model evaluated and saved, and hands the last one to everybody. Pure: events and
`now` in, effects out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from nervenet.broker import messages as m
from nervenet.broker.errors import see

from ..runtime import effects as e
from ..runtime import events as ev
from ..runtime.payload_checks import brief
from .async_buffer import AsyncBuffer
from .checkpointing import RETRY
from .coordinator_config import CoordinatorConfig
from .early_stopping import Stop
from .quorum import complete, least, left_behind, too_few_living, too_few_ready, waiting_for
from .region import Region
from .run_state import RunState
from .sync_rounds import SyncRounds
from .task_dispatch import uncompressed

FAILURES_IN_A_ROW = 3


class CoordinatorMachine:
    """Decides what a coordinator does next; never waits, never touches a vector."""

    def __init__(self, config: CoordinatorConfig) -> None:
        self.run = RunState(config)  # which all parts share
        self.rounds = SyncRounds(self.run, self._proceed)
        self._awaited = ""  # whom a run that is resumed was last said to wait for
        ledger = self.run.ledger
        # Asynchronous training; None where the strategy has rounds.
        self.buffer = None if ledger is None else AsyncBuffer(self.run, ledger, self._proceed)
        self.region = Region(self.run, self.rounds, self._conclude) if config.ordered else None

    @classmethod
    def restored(
        cls,
        config: CoordinatorConfig,
        record: Mapping[str, Any],
        weights: ev.Body,
        outgoing: ev.Body = None,
        best: ev.Body = None,
    ) -> Self:
        """Return a machine that resumes from a checkpoint: gathers those who are still there, opens the next round.

        The arguments are those of `RunState.restore`.
        """
        machine = cls(config)
        machine.run.restore(record, weights, outgoing, best)
        return machine

    @property
    def _training(self) -> SyncRounds | AsyncBuffer:
        return self.buffer or self.rounds

    @property
    def _phase(self) -> SyncRounds | AsyncBuffer:
        return self.buffer if self.buffer and self.buffer.active else self.rounds

    def handle(self, event: ev.Event, now: float) -> list[e.Effect]:
        if self.run.status == "finished":
            return []
        effects = self._handle(event, now)
        if self.buffer and self.run.status != "finished":
            effects += self.buffer.advance(now)
        return effects

    def _handle(self, event: ev.Event, now: float) -> list[e.Effect]:
        match event:
            case ev.Started():
                return self._started(now)
            case ev.LinkUp(peer, "client" | "aggregator" as role, incarnation):
                return self._connected(peer, incarnation, role, now)
            case ev.LinkLost(peer, reason):
                return self._disconnected(peer, reason, now)
            case ev.Arrived():
                return self._arrived(event, now)
            case ev.TimerFired(key, due):
                return self._timer(key, due, now)
            case ev.ModelReady():
                return self._model_ready(event, now)
            case ev.NextQuestion():
                return self.rounds.ask_next(event, now)
            case ev.Agreed():
                return self.run.finish_untrained(now)
            case ev.Ordered() | ev.Surveyed() if self.region:
                return self.region.handle(event, now)
            case ev.Folded():
                return self._training.folded(event, now)
            case ev.Evaluated(number, _, metrics):
                return self._evaluated(number, metrics, now)
            case ev.Saved(number):
                return self._saved(number, now)
            case ev.WorkFailed():
                return self._work_failed(event, now)
            case ev.SendFailed(peer, "task", number, reason, cause):
                return self._phase.excuse(peer, f"{cause}: {reason}", number, now)
            case ev.StillSending(peer, rounds):
                self.run.registry.outgoing[peer] = rounds
                return []
            case ev.MalformedMessage(sender, reason):
                fields = {"subject": sender, "round": self.run.number, "reason": reason}
                return [e.Publish("update.rejected", fields), *self._phase.malformed(sender, reason, now)]
            case _:
                return []

    def _started(self, now: float) -> list[e.Effect]:
        run, timing = self.run, self.run.config.timing
        effects: list[e.Effect] = [e.SetTimer(("join",), now + timing.join_deadline_s)]
        effects.append(e.SetTimer(("pulse",), now + timing.heartbeat_s))
        spent_at = run.evaluation.stopping.begin(now)
        if spent_at is not None:
            effects.append(e.SetTimer(("budget",), spent_at))
        if run.model is not None and run.evaluation.due(run.completed):
            # The previous incarnation may not have had the time to.
            effects += run.evaluate({"round": run.completed}, now)
        if run.model is not None:  # nobody may be there whose coming would be the moment
            effects += self._begin_if_gathered(now)
        return effects

    def _arrived(self, event: ev.Arrived, now: float) -> list[e.Effect]:
        sender, registry = event.sender, self.run.registry
        effects: list[e.Effect] = []
        if registry.liveness.heard(sender, now):
            effects.append(e.Publish("node.ready", {"subject": sender, "reason": "heard again"}))
            effects += self.rounds.returned(sender, now) + self._begin_if_gathered(now)
        match event.message:
            case m.Ready() as ready:
                effects += [] if registry.held(sender, ready) else self._enroll(sender, ready, now)
            case m.Update() as update:
                if not self.run.overtaken(sender, update):
                    effects += self._phase.admit(sender, update, event, now)
            case m.Declined(round=number, attempt=attempt, reason=reason) as declined:
                registry.answered(sender, (number, attempt))
                effects += registry.declined(sender, declined)
                effects += self._phase.declined(sender, number, attempt, reason, now)
            case m.Heartbeat(state=state, sending=sending):
                registry.heartbeat(sender, brief(state), sending)
            case m.Goodbye(reason=reason):
                effects += self._left(sender, brief(reason), now)
            case _:
                pass
        return effects

    def _connected(self, name: str, incarnation: int, role: str, now: float) -> list[e.Effect]:
        effects = self.buffer.connected(name) if self.buffer else []
        if self.run.registry.linked(name, incarnation, now, role):
            # Its previous incarnation took with it what it had been asked: nobody waits for that until the deadline.
            # A question of round 0 it is asked again when it is ready.
            again = (name, "was started again", self.run.number, now)
            effects += self._phase.excuse(*again, silent=self.run.inquiring)
        early = self.run.registry.ready_before(name)
        begun = self._enroll(name, early, now) if early else self._begin_if_gathered(now)
        return effects + begun + self.run.returned(name)

    def _disconnected(self, name: str, reason: str, now: float) -> list[e.Effect]:
        self.run.registry.cut(name, now)
        if not self.run.registry.liveness.suspect(name):
            return []
        suspect = e.Publish("node.suspect", {"subject": name, "reason": reason})
        return [suspect, *self._phase.excuse(name, reason, self.run.number, now, silent=True)]

    def _enroll(self, name: str, ready: m.Ready, now: float) -> list[e.Effect]:
        taken = self.run.registry.taken_over(name, ready.examples, ready.pid)
        effects: list[e.Effect] = [e.Publish("warning", {"subject": name, "reason": taken})] if taken else []
        if self.run.registry.enroll(name, ready.examples, now, ready.codecs, ready.pid):
            effects += uncompressed(name, ready.codecs, self.run.config)
        return effects + self.rounds.returned(name, now) + self._begin_if_gathered(now)

    def _left(self, name: str, reason: str, now: float) -> list[e.Effect]:
        effects = self.buffer.take_back(name) if self.buffer else []
        self.run.registry.leave(name)
        if self.run.final:  # it holds the final model, or wants none: there is nothing left to do
            return effects + self.run.gone(name)
        effects.append(e.Publish("node.lost", {"subject": name, "reason": f"left: {reason}"}))
        return effects + self._phase.excuse(name, f"left: {reason}", self.run.number, now)

    def _review(self, now: float, late_by_s: float) -> list[e.Effect]:
        """Look at the clock: who has been silent for too long."""
        registry = self.run.registry
        verdicts = registry.review(now, late_by_s)
        effects: list[e.Effect] = []
        for name, silent in verdicts.suspected.items():
            reason = f"silent for {silent:.1f} s"
            effects.append(e.Publish("node.suspect", {"subject": name, "reason": reason}))
            effects += self._phase.excuse(name, reason, self.run.number, now, silent=True)
        lost = {name: f"silent for {silent:.1f} s" for name, silent in verdicts.lost.items()}
        effects += [e.Publish("node.lost", {"subject": name, "reason": reason}) for name, reason in lost.items()]
        if lost:
            effects += self._begin_if_gathered(now) + self._phase.close_if_ready(now)
        due = registry.liveness.next_review()
        if due is not None and due < now + self.run.config.timing.heartbeat_s:
            effects.append(e.SetTimer(("review",), due))
        return effects

    def _begin_if_gathered(self, now: float, *, at_deadline: bool = False) -> list[e.Effect]:
        run = self.run
        config, registry = run.config, run.registry
        if run.status == "waiting" and len(registry.living()) >= least(config, registry):
            return [e.CancelTimer(("wait",)), *self._open(*run.waiting_for, now)]
        if run.status != "gathering":
            return []
        if complete(config, registry, at_deadline=at_deadline, over=run.last):
            lost = left_behind(config, registry) if at_deadline else []
            number = 0 if run.model is None else run.completed + 1
            return [e.CancelTimer(("join",)), *lost, *self._proceed(number, 0, now, "")]
        if at_deadline:
            return run.fail(too_few_ready(config, registry))
        awaited, self._awaited = self._awaited, waiting_for(config, registry) if run.model is not None else ""
        return [e.Publish("node.waiting", {"reason": self._awaited})] if self._awaited != awaited else []

    def _open(self, number: int, attempt: int, now: float) -> list[e.Effect]:
        return (self._training if number else self.rounds).open(number, attempt, now)

    def _proceed(self, number: int, attempt: int, now: float, failure: str) -> list[e.Effect]:
        run = self.run
        if self.region:
            return self.region.proceed(now)
        if run.closing:
            return self.rounds.compare(now) or self._conclude(now)
        if run.completed >= run.config.rounds:
            return self._end(now)
        if run.stop_due and run.completed:
            return self._end_early(run.stop_due, now)
        if run.failures >= FAILURES_IN_A_ROW:
            return run.fail(failure)
        return self._open(number, attempt, now)

    def _model_ready(self, event: ev.ModelReady, now: float) -> list[e.Effect]:
        """Go on to the first training, now that round 0 has settled what everybody must share."""
        run = self.run
        if self.region:
            return self.region.model_ready(event, now)
        run.model = event
        run.update_model(event, 0)
        flaw = run.evaluation.unreachable_goal(event.decided.get("task"))
        if flaw:
            return run.fail(flaw)
        cautions = [e.Publish("warning", {"reason": reason}) for reason in event.cautions]
        return [*run.zero.close(event.decided, now), *cautions, *run.save(now), *self._open(1, 0, now)]

    def _evaluated(self, number: int, metrics: Mapping[str, Any], now: float) -> list[e.Effect]:
        run = self.run
        found, stop = run.evaluation.answered(number, metrics, now)
        effects: list[e.Effect] = [e.CancelTimer(("work", "evaluate", number)), *found]
        if stop and not run.closing:
            if run.status != "gathering":
                return effects + self._end_early(stop, now)
            run.stop_due = stop  # there is nobody yet to tell
        return effects + self.rounds.evaluated(now) + run.finish_if_ready()

    def _saved(self, number: int, now: float, failure: str = "") -> list[e.Effect]:
        return [*self.run.saved(number, now, failure), *self.run.release(now), *self.run.finish_if_ready()]

    def _work_failed(self, event: ev.WorkFailed, now: float) -> list[e.Effect]:
        match event.kind:
            case "evaluate":
                reason = f"evaluation of round {event.round} failed: {event.reason}"
                return [e.Publish("warning", {"reason": reason}), *self._evaluated(event.round, {}, now)]
            case "checkpoint":
                return self._saved(event.round, now, event.reason)
            case "fold":
                done = e.CancelTimer(("work", "fold", event.round))
                return [done, *self._training.fail(event.reason, now)]
            case _ if self.region:
                return self.region.failed(event)
            case _:
                return self.run.fail(event.reason)

    def _end_early(self, stop: Stop, now: float) -> list[e.Effect]:
        """End the run with the last completed round, the one an evaluation judged, and abandon the one that is open."""
        return [*self.run.stop_early(stop), *self._end(now)]

    def _end(self, now: float) -> list[e.Effect]:
        """Ask the sites what they think of the last model, unless they have said so; no round is to come."""
        run = self.run
        effects = self.buffer.stop() if self.buffer else []
        run.closing = True
        if not run.config.evaluate_sites or run.evaluation.sited == run.evaluation.counted == run.completed:
            return effects + (self.rounds.compare(now) or self._conclude(now))
        # An attempt of its own: a late answer to the training must not pass for one to this.
        number, attempt = run.newest_key
        effects += self.rounds.open(number, attempt + 1, now, "evaluate")
        return effects + self.rounds.close_if_ready(now)

    def _conclude(self, now: float) -> list[e.Effect]:
        """Take over the final model, hand it to everybody, and finish when the last evaluation is in."""
        run = self.run
        run.status, run.final = "ending", True
        run.checkpoints.urgent = True
        if run.config.evaluate_sites or run.stopped:
            run.checkpoints.grown = True  # whoever resumes from this need not ask those who have left
        return [*run.save(now), *run.release(now), e.LoadWeights(run.weights), *run.finish_if_ready()]

    def _timer(self, key: ev.Key, due: float, now: float) -> list[e.Effect]:
        run, timing = self.run, self.run.config.timing
        match key:
            case ("budget",):
                run.stop_due = run.evaluation.stopping.out_of_time()
                return self._end_early(run.stop_due, now) if run.status == "waiting" and run.completed else []
            case ("join",):
                return self._begin_if_gathered(now, at_deadline=True)
            case ("wait",) if run.status == "waiting":
                waited = f"round {run.waiting_for[0]} waited {run.config.wait_deadline_s:g} s for clients"
                end = self.region.gave_up if self.region else run.fail
                return end(f"{waited}: {too_few_living(run.config, run.registry)}{see('too-few-nodes')}")
            case ("pulse",):
                run.registry.outgoing.clear()
                heartbeat = e.SendHeartbeat(tuple(run.registry.reachable()), run.number, run.status)
                again = e.SetTimer(("pulse",), now + timing.heartbeat_s)
                shown = run.zero.progress(run.round) if run.round and run.round.work == "survey" else []
                return [again, heartbeat, *shown, *self._review(now, now - due), *run.without_absent(now)]
            case ("review",):
                return self._review(now, now - due)
            case ("work", "checkpoint", int(number)):
                return self._saved(number, now, f"it took more than {timing.work_deadline_s:g} s")
            case ("work", kind, number):
                return run.fail(f"the {kind} of round {number} did not end within {timing.work_deadline_s:g} s")
            case key if key == RETRY:
                return run.save(now)
            case _:
                return self._phase.timer(key, now)
