"""The coordinator's machine: what happens next in federated averaging.

One round: ask the sampled clients, admit their updates, close on quorum or deadline, fold, publish, open the next
(McMahan et al. 2017, Algorithm 1, with the closing rule of docs/protocol.md). Round 0 asks for surveys in place of
updates and settles what everybody must share before training. Pure: events and `now` in, effects out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

import msgspec
from nervenet.broker import messages as m

from ..runtime import effects as e
from ..runtime import events as ev
from ..runtime.payload_checks import Fault, brief
from .admission import admitted, misplaced, refuse, unfit
from .checkpointing import AGAIN, CheckpointPolicy
from .client_registry import STRIKES, ClientRegistry
from .closing import closing_fields
from .early_stopping import Stop
from .ending import Ending, patience
from .evaluation import Judging
from .gathering import bearable, complete, floor_of, least, left_behind, too_few, why_not
from .round import Round
from .rules import RoundRules
from .task_dispatch import doubts, lacking, tasks, whom

FAILURES_IN_A_ROW = 3
EXTENSIONS = 10  # a round never lasts longer than this many deadlines, whatever its transfers say


class CoordinatorMachine:
    """Decides what a coordinator does next; never waits, never touches a vector.

    Attributes
    ----------
    completed
        The last round that was folded.
    status
        ``gathering``, ``waiting`` (for clients to come back), ``asking``, ``folding``, ``ending`` or ``finished``.
    judging
        What the evaluations have said; keeps the best model.
    ending
        What the run ends by, and what is still to come before it is over.
    """

    def __init__(self, rules: RoundRules) -> None:
        self.rules = rules
        self.roll = ClientRegistry(rules.suspect_after_s, rules.lost_after_s)
        self.status = "gathering"
        self.completed = 0
        self.began = 0  # the round after which this life of the coordinator goes on
        self.failures = 0
        self.open: Round | None = None
        self.settled: ev.ModelReady | None = None
        self.weights: ev.Body = None
        self.outgoing: ev.Body = None  # the weights with whatever else goes to those who train
        self.keeper = CheckpointPolicy(rules.work_deadline_s, wanted=rules.checkpoint)
        self._waiting = (0, 0)  # the round and attempt for which there are too few clients
        self.judging = Judging(rules)
        self.ending = Ending(rules, self.judging, self.keeper)

    @classmethod
    def restored(
        cls,
        rules: RoundRules,
        memory: Mapping[str, Any],
        weights: ev.Body,
        outgoing: ev.Body = None,
        best: ev.Body = None,
    ) -> Self:
        """Go on where `memory` was given: gather those who are still there, and open the next round.

        Parameters
        ----------
        memory
            What `memory` gave in an earlier life, for a checkpoint.
        weights, outgoing, best
            Handles of the weights after the last round of then, of what goes out with them if that is more, and of the
            best weights if those are others.
        """
        state = cls(rules)
        payload = msgspec.convert(memory["payload"], m.Payload)
        state.settled = ev.ModelReady(memory["agreement"], payload, weights, outgoing)
        state.weights, state.outgoing = weights, weights if outgoing is None else outgoing
        state.completed, state.failures = memory["completed"], memory["failures"]
        state.began = state.completed
        state.keeper = CheckpointPolicy(rules.work_deadline_s, wanted=rules.checkpoint, durable=state.completed)
        state.ending = Ending(rules, state.judging, state.keeper)
        state.roll.remember(memory["clients"])
        state.judging.restore(memory["judging"], state.completed, weights, best)
        return state

    def memory(self, now: float = float("-inf")) -> dict[str, Any]:
        """Give all that the machine's future depends on beside the vectors, as JSON can say it."""
        settled = self.settled
        return {
            "completed": self.completed,
            "failures": self.failures,
            "clients": self.roll.to_dict(),
            "agreement": dict(settled.agreement) if settled else {},
            "payload": msgspec.to_builtins(settled.payload) if settled else {},
            "judging": self.judging.memory(now),
        }

    # ---------------------------------------------------------------------------------------------------- the one door

    def handle(self, event: ev.Event, now: float) -> list[e.Effect]:
        """Take one event and say what to do."""
        if self.status == "finished":
            return []
        match event:
            case ev.Started():
                return self._started(now)
            case ev.LinkUp(peer, "client", incarnation):
                return self._linked(peer, incarnation, now)
            case ev.LinkLost(peer, reason):
                return self._cut_off(peer, reason, now)
            case ev.Arrived():
                return self._arrived(event, now)
            case ev.TimerFired(key, due):
                return self._timer(key, due, now)
            case ev.ModelReady():
                return self._settled(event, now)
            case ev.Folded():
                return self._folded(event, now)
            case ev.Evaluated(number, _, metrics):
                return self._evaluated(number, metrics, now)
            case ev.Saved(number):
                return self._kept(number, now)
            case ev.WorkFailed():
                return self._work_failed(event, now)
            case ev.SendFailed(peer, "task", number, reason, cause):
                return self._excuse(peer, f"{cause}: {reason}", number, now)
            case ev.StillSending(peer, rounds):
                self.roll.leaving(peer, rounds)
                return []
            case ev.MalformedMessage(sender, reason):
                return self._spoiled(sender, reason, now)
            case _:
                return []

    def _started(self, now: float) -> list[e.Effect]:
        effects: list[e.Effect] = [
            e.SetTimer(("join",), now + self.rules.join_deadline_s),
            e.SetTimer(("pulse",), now + self.rules.heartbeat_s),
        ]
        spent_at = self.judging.stopping.begin(now)
        if spent_at is not None:
            effects.append(e.SetTimer(("budget",), spent_at))
        if self.settled is not None and self.judging.due(self.completed):
            # A former life may not have had the time to.
            effects += self._measure({"round": self.completed}, now)
        if self.completed >= self.rules.rounds and not self.rules.clients:
            effects += self._begin_if_gathered(now)  # nobody is there whose coming would be the moment
        return effects

    # -------------------------------------------------------------------------------------------------------- messages

    def _arrived(self, event: ev.Arrived, now: float) -> list[e.Effect]:
        sender = event.sender
        effects: list[e.Effect] = []
        if self.roll.liveness.heard(sender, now):
            effects.append(e.Publish("node.ready", {"subject": sender, "reason": "heard again"}))
            effects += self._begin_if_gathered(now)
        match event.message:
            case m.Ready(examples=examples, codecs=codecs):
                effects += self._enrol(sender, examples, codecs, now)
            case m.Update() as update:
                effects += self._judge(sender, update, event, now)
            case m.Declined(round=number, attempt=attempt, reason=reason):
                self.roll.answered(sender, (number, attempt))
                if self.open and (number, attempt) == self.open.key:
                    effects += self._excuse(sender, f"declined: {brief(reason)}", number, now)
            case m.Heartbeat(state=state, sending=sending):
                self.roll.beat(sender, brief(state), sending)
            case m.Goodbye(reason=reason):
                effects += self._gone(sender, brief(reason), now)
            case _:
                pass
        return effects

    def _linked(self, peer: str, incarnation: int, now: float) -> list[e.Effect]:
        effects: list[e.Effect] = []
        if self.roll.linked(peer, incarnation, now):
            # Its former life took with it what it had been asked: nobody waits for that until the deadline.
            effects += self._excuse(peer, "was started again", self._number(), now)
        return effects + self._begin_if_gathered(now)

    def _cut_off(self, peer: str, reason: str, now: float) -> list[e.Effect]:
        if not self.roll.liveness.suspect(peer):
            return []
        told = e.Publish("node.suspect", {"subject": peer, "reason": reason})
        return [told, *self._excuse(peer, reason, self._number(), now, silent=True)]

    def _enrol(self, name: str, examples: int, codecs: tuple[str, ...], now: float) -> list[e.Effect]:
        effects: list[e.Effect] = []
        lacks = lacking(self.rules.compression, codecs)
        if self.roll.enroll(name, examples, now, codecs) and lacks:
            reason = f"{name} cannot encode {', '.join(lacks)}: its updates come as they are, without compression"
            effects.append(e.Publish("warning", {"reason": reason, "subject": name}))
        return effects + self._begin_if_gathered(now)

    def _begin_if_gathered(self, now: float, *, at_deadline: bool = False) -> list[e.Effect]:
        if self.status == "waiting" and len(self.roll.living()) >= least(self.rules):
            return [e.CancelTimer(("wait",)), *self._open(*self._waiting, now)]
        if self.status != "gathering":
            return []
        if complete(self.rules, self.roll, at_deadline=at_deadline, over=self._over):
            lost = left_behind(self.rules, self.roll) if at_deadline else []
            return [e.CancelTimer(("join",)), *lost, *self._go_on(now)]
        return self._fail_run(why_not(self.rules, self.roll)) if at_deadline else []

    def _go_on(self, now: float) -> list[e.Effect]:
        """Open the round after the last one that is complete, if any is left."""
        if self.settled is None:
            return self._open(0, 0, now)
        if self.completed >= self.rules.rounds:
            return self._end(now)
        if self.ending.due and self.completed:
            return self._end_early(self.ending.due, now)
        return self._open(self.completed + 1, 0, now)

    @property
    def _over(self) -> bool:
        return self.completed >= self.rules.rounds or bool(self.ending.due and self.completed)

    def _wait(self, number: int, attempt: int, now: float) -> list[e.Effect]:
        """Too few are there to open a round: wait for them, but not for ever."""
        self.status, self._waiting = "waiting", (number, attempt)
        reason = f"waits for clients: {too_few(self.rules, self.roll)}"
        return [
            e.SetTimer(("wait",), now + self.rules.wait_deadline_s),
            e.Publish("warning", {"round": number, "reason": f"round {number} {reason}"}),
        ]

    def _gone(self, name: str, reason: str, now: float) -> list[e.Effect]:
        self.roll.leave(name)
        if self.ending.final:
            return []  # it holds the final model, and there is nothing left to do
        gone: list[e.Effect] = [e.Publish("node.lost", {"subject": name, "reason": f"left: {reason}"})]
        return gone + self._excuse(name, f"left: {reason}", self._number(), now)

    def _judge(self, sender: str, update: m.Update, event: ev.Arrived, now: float) -> list[e.Effect]:
        """Admit an update, or refuse it by name; the round goes on either way."""
        current, number = self.open, update.round
        owed = self.roll.answered(sender, (number, update.attempt))
        fault = misplaced(sender, update, current)
        if fault or current is None:
            # Late is not wrong: the round has named its sender when it closed without it, or was abandoned.
            late = (owed or self.ending.stopped) and fault and fault[0] == "stale"
            return [] if late or not fault else refuse(sender, number, fault)
        fault = unfit(event, update, current.work, self.settled, self.rules, self.roll)
        if fault:
            told = self._reject(sender, current, fault)
            return told + self._excuse(sender, f"rejected: {fault[1]}", number, now)
        # A client that was given up and answers in time after all counts.
        current.excused.pop(sender, None)
        current.admitted[sender] = admitted(event, update)
        if sender in self.roll and current.work == "train":
            self.roll[sender].settled = True
        return self._close_if_ready(now)

    def _reject(self, name: str, current: Round, fault: Fault) -> list[e.Effect]:
        """Refuse an update for what it holds; three in a row cost its client the trust."""
        return [*refuse(name, current.number, fault), *self._strike(name, current, fault[1])]

    def _strike(self, name: str, current: Round, reason: str) -> list[e.Effect]:
        until = self.roll.strike(name, current.key, self.rules.probation_rounds)
        if until is None:
            return []
        told = f"is on probation, and not asked before round {until + 1}: {STRIKES} updates in a row were rejected"
        return [e.Publish("warning", {"subject": name, "reason": f"{name} {told}, the last because {reason}"})]

    def _spoiled(self, sender: str, reason: str, now: float) -> list[e.Effect]:
        """Something unreadable came; of a client that is waited for, it was as good as its answer."""
        told = e.Publish("update.rejected", {"subject": sender, "round": self._number(), "reason": reason})
        current = self.open
        if current is None or current.closing or sender not in current.awaited():
            return [told]
        struck = self._strike(sender, current, reason)
        return [told, *struck, *self._excuse(sender, f"rejected: {reason}", current.number, now)]

    # ---------------------------------------------------------------------------------------------------------- rounds

    def _open(self, number: int, attempt: int, now: float, work: m.TaskKind | None = None) -> list[e.Effect]:
        work = work or ("survey" if number == 0 else "train")
        pool = self.roll.living()
        if work != "evaluate" and len(pool) < least(self.rules):
            return self._wait(number, attempt, now)
        wanted = len(pool)
        asked = tuple(pool)
        if work == "train":
            asked, wanted = whom(number, attempt, self.rules, self.roll, least(self.rules))
        floor = floor_of(wanted, self.rules) if work != "evaluate" else 0
        quorum = self.rules.quorum if work == "train" else 1.0
        enough = bearable(wanted, self.rules) if quorum < 1 else 0
        self.open = Round(number, attempt, work, asked, wanted, quorum, floor, now, enough)
        self.status = "asking"
        self.roll.all_left()
        self.roll.ask(asked, (number, attempt))
        effects: list[e.Effect] = [e.SetTimer(("deadline", number, attempt), now + self.rules.deadline_s)]
        if work != "evaluate":
            effects.append(e.Publish("round.started", {"round": number, "attempt": attempt, "asked": list(asked)}))
            effects += doubts(self.rules, self.roll)
        return effects + self._tasks(asked, work, number, attempt)

    def _tasks(self, names: Iterable[str], work: m.TaskKind, number: int, attempt: int) -> list[e.Effect]:
        body = self.outgoing if work == "train" else self.weights
        return tasks(
            *(names, work, number, attempt, body),
            rules=self.rules,
            roll=self.roll,
            settled=self.settled,
            durable=self.keeper.durable,
            began=self.began,
        )

    def _close_if_ready(self, now: float) -> list[e.Effect]:
        current = self.open
        if current is None or current.closing:
            return []
        verdict = current.verdict()
        if verdict:
            return self._close(verdict, now)
        if current.asked and not current.awaited() and not self._could_recover():
            return self._fail_round(
                f"{len(current.admitted)} of at least {current.floor} clients answered, and nobody is left to ask", now
            )
        return []

    def _could_recover(self) -> bool:
        """Whether somebody is only silent so far, or was and is heard again: then the deadline, not impatience, ends
        the round.
        """
        silent = self.open.silent if self.open else set()
        return any(name in self.roll and not self.roll.is_lost(name) for name in silent)

    def _close(self, by: str, now: float) -> list[e.Effect]:
        current = self.open
        if current is None:
            return []
        current.closing = by
        self.status = "folding"
        effects: list[e.Effect] = [e.CancelTimer(("deadline", current.number, current.attempt))]
        if current.work == "survey":
            surveys = {name: (a.fields or {}, a.body) for name, a in sorted(current.admitted.items())}
            return [*effects, patience("settle", 0, now, self.rules), e.ApplyAgreement(surveys=surveys)]
        if current.work == "evaluate":
            told, _ = self.judging.of_sites(self.completed, self.weights, current.admitted)
            return [*effects, *told, *self._conclude(now)]
        effects += self._dismiss(current)
        self.ending.held = self.judging.holds
        return effects if self.ending.held else [*effects, *self._fold(current, now)]

    def _fold(self, current: Round, now: float) -> list[e.Effect]:
        fold = e.Fold(current.number, current.attempt, "mean", self.weights, current.contributions(self.weights))
        return [patience("fold", current.number, now, self.rules), fold]

    def _dismiss(self, current: Round) -> list[e.Effect]:
        """Tell those who are still at work that the round can do without them."""
        late = self.roll.owing(current.missing(""), current.key)
        reason = f"round {current.number} has closed by {current.closing}"
        return [e.Send(late, m.Refused("task", current.number, "stale", reason))] if late else []

    def _settled(self, event: ev.ModelReady, now: float) -> list[e.Effect]:
        self.settled, self.weights, self.failures = event, event.body, 0
        self.outgoing = event.body if event.outgoing is None else event.outgoing
        flaw = self.judging.cannot_stop(event.agreement.get("task"))
        if flaw:
            return self._fail_run(flaw)
        self.keeper.completed(0)
        done: list[e.Effect] = [e.CancelTimer(("work", "settle", 0))]
        done.append(e.Publish("round.completed", closing_fields(self.open, now)))
        return done + self._keep(now) + self._open(1, 0, now)

    def _folded(self, event: ev.Folded, now: float) -> list[e.Effect]:
        current = self.open
        if current is None or (event.round, event.attempt) != current.key:
            return []
        effects: list[e.Effect] = [e.CancelTimer(("work", "fold", current.number))]
        for name, reason in sorted(event.rejected.items()):
            if current.admitted.pop(name, None) is None:
                continue
            current.excused[name] = f"rejected: {reason}"
            effects += self._reject(name, current, ("values", reason))
        left, floor = len(current.admitted), max(1, current.floor)
        if event.rejected and left < floor:
            return effects + self._fail_round(f"{left} of at least {floor} updates are left", now)
        self.roll.count((name, current.number) for name in current.admitted)
        # With their updates the sites tell what they think of the model that was sent, the last round's.
        told, stop = self.judging.of_sites(self.completed, self.weights, current.admitted)
        if stop:
            return effects + told + self._end_early(stop, now)
        self.weights = event.body
        self.outgoing = event.body if event.outgoing is None else event.outgoing
        self.completed, self.failures = current.number, 0
        self.keeper.completed(self.completed)
        fields = {**closing_fields(self.open, now), **event.metrics}
        effects.append(e.Publish("round.completed", fields))
        effects += self._keep(now) + told + self._measure(fields, now)
        if self.completed >= self.rules.rounds:
            return effects + self._end(now)
        if self.ending.due:
            return effects + self._end_early(self.ending.due, now)
        return effects + self._open(current.number + 1, 0, now)

    # ------------------------------------------------------------------------------------------- evaluation and the end

    def _measure(self, fields: Mapping[str, Any], now: float) -> list[e.Effect]:
        """Have the model of the last complete round evaluated, if it is its turn; of the round `fields` tell."""
        return self.ending.measure(self.completed, self.weights, fields, now)

    def _evaluated(self, number: int, metrics: Mapping[str, Any], now: float) -> list[e.Effect]:
        told, stop = self.judging.answered(number, metrics)
        effects: list[e.Effect] = [e.CancelTimer(("work", "evaluate", number)), *told]
        if stop and not self.ending.begun:
            if self.status != "gathering":
                return effects + self._end_early(stop, now)
            self.ending.due = stop  # there is nobody yet to tell
        if self.ending.held and self.open and not self.judging.holds:
            self.ending.held = False
            effects += self._fold(self.open, now)
        return effects + self._finish_if_ready()

    def _end_early(self, stop: Stop, now: float) -> list[e.Effect]:
        """End the run with the last completed round, and abandon the one that is open.

        Where an evaluation says so, that is the very round it judged: the next one is not folded before it is in.
        """
        return [*self.ending.early(stop, self.completed, self.open), *self._end(now)]

    def _end(self, now: float) -> list[e.Effect]:
        """No round is to come: ask the sites what they think of the last model, if they have not told it; conclude."""
        if not self.ending.begin(self.completed):
            return self._conclude(now)
        # An attempt of its own: a late answer to the training must not pass for one to this.
        number, attempt = self._last_key()
        return self._open(number, attempt + 1, now, work="evaluate") + self._close_if_ready(now)

    def _last_key(self) -> tuple[int, int]:
        """Round and attempt that the newest tasks have; the round may have been abandoned."""
        return self.open.key if self.open else (self.completed, 0)

    def _conclude(self, now: float) -> list[e.Effect]:
        """Take over the final model, hand it to everybody, and finish when the last evaluation is in."""
        self.status = "ending"
        self.ending.conclude()
        return [*self._keep(now), *self._part(), e.LoadWeights(self.weights), *self._finish_if_ready()]

    def _part(self) -> list[e.Effect]:
        """Let the clients go, once the last checkpoint is written: they would not be there to train again."""
        if not self.ending.hand_over():
            return []
        number, attempt = self._last_key()
        return self._tasks(self.roll.living(), "finish", number, attempt + 1)

    def _finish_if_ready(self) -> list[e.Effect]:
        if not self.ending.over:
            return []
        self.status = "finished"
        return [e.Finish("completed")]

    def _keep(self, now: float) -> list[e.Effect]:
        """Ask for a checkpoint of the last complete round, if one is due."""
        best = self.judging.best
        return self.keeper.write(now, self.weights, lambda: self.memory(now), best.weights if best else None)

    def _kept(self, number: int, now: float, failure: str = "") -> list[e.Effect]:
        effects = self.keeper.ended(number, saved=not failure)
        if failure and effects:
            told = f"the checkpoint of round {number} was not written: {failure}; the run goes on"
            effects.append(e.Publish("warning", {"round": number, "reason": told}))
        return effects + self._keep(now) + self._part() + self._finish_if_ready()

    # ----------------------------------------------------------------------------------------------- time and failures

    def _timer(self, key: ev.Key, due: float, now: float) -> list[e.Effect]:
        match key:
            case ("budget",):
                self.ending.due = self.judging.stopping.out_of_time()
                return self._end_early(self.ending.due, now) if self.status == "waiting" and self.completed else []
            case ("join",):
                return self._begin_if_gathered(now, at_deadline=True)
            case ("wait",) if self.status == "waiting":
                limit = f"{self.rules.wait_deadline_s:g} s"
                return self._fail_run(
                    f"round {self._waiting[0]} waited {limit} for clients: {too_few(self.rules, self.roll)}"
                )
            case ("pulse",):
                self.roll.all_left()
                beat = e.SendHeartbeat(tuple(self.roll.reachable()), self._number(), self.status)
                again = e.SetTimer(("pulse",), now + self.rules.heartbeat_s)
                return [again, beat, *self._review(now, now - due)]
            case ("review",):
                return self._review(now, now - due)
            case ("deadline", number, attempt) if self.open and (number, attempt) == self.open.key:
                return self._deadline(self.open, now)
            case ("work", "checkpoint", int(number)):
                return self._kept(number, now, f"it took more than {self.rules.work_deadline_s:g} s")
            case ("work", kind, number):
                return self._fail_run(
                    f"the {kind} of round {number} did not end within {self.rules.work_deadline_s:g} s"
                )
            case key if key == AGAIN:
                return self._keep(now)
            case _:
                return []

    def _review(self, now: float, late_by_s: float) -> list[e.Effect]:
        verdicts = self.roll.review(now, late_by_s)
        effects: list[e.Effect] = []
        for name, silent in verdicts.suspected.items():
            effects.append(e.Publish("node.suspect", {"subject": name, "reason": f"silent for {silent:.1f} s"}))
            effects += self._excuse(name, f"silent for {silent:.1f} s", self._number(), now, silent=True)
        for name, silent in verdicts.lost.items():
            effects.append(e.Publish("node.lost", {"subject": name, "reason": f"silent for {silent:.1f} s"}))
        if verdicts.lost:
            effects += self._begin_if_gathered(now) + self._close_if_ready(now)
        due = self.roll.liveness.next_review()
        if due is not None and due < now + self.rules.heartbeat_s:
            effects.append(e.SetTimer(("review",), due))
        return effects

    def _deadline(self, current: Round, now: float) -> list[e.Effect]:
        if current.closing:
            return []
        moving = [name for name in current.awaited() if self.roll.moving(name, current.number)]
        if moving and now < current.opened_at + EXTENSIONS * self.rules.deadline_s:
            return [e.SetTimer(("deadline", current.number, current.attempt), now + 2 * self.rules.heartbeat_s)]
        for name in current.awaited():
            heard = self.roll.doing(name)
            current.excused[name] = f"no answer within {self.rules.deadline_s:g} s (last heard: {heard})"
        if current.work == "evaluate" or len(current.admitted) >= max(1, current.floor):
            return self._close("deadline", now)
        return self._fail_round(
            f"{len(current.admitted)} of at least {current.floor} clients answered within {self.rules.deadline_s:g} s",
            now,
        )

    def _excuse(self, name: str, reason: str, number: int, now: float, *, silent: bool = False) -> list[e.Effect]:
        current = self.open
        if current is None or number != current.number or not current.excuse(name, reason, silent=silent):
            return []
        return self._close_if_ready(now)

    def _fail_round(self, reason: str, now: float) -> list[e.Effect]:
        current = self.open
        if current is None:
            return []
        current.closing = "failed"
        missing = current.missing("no answer")
        told = reason + "".join(f"; {name}: {why}" for name, why in missing.items())
        self.failures += 1
        effects: list[e.Effect] = [
            e.CancelTimer(("deadline", current.number, current.attempt)),
            e.Publish("round.failed", {"round": current.number, "attempt": current.attempt, "reason": told}),
        ]
        if self.ending.due and self.completed:
            return effects + self._end_early(self.ending.due, now)
        if self.failures >= FAILURES_IN_A_ROW:
            return effects + self._fail_run(f"round {current.number} failed {self.failures} times in a row: {told}")
        return effects + self._open(current.number, current.attempt + 1, now)

    def _work_failed(self, event: ev.WorkFailed, now: float) -> list[e.Effect]:
        if event.kind == "evaluate":
            reason = f"evaluation of round {event.round} failed: {event.reason}"
            return [e.Publish("warning", {"reason": reason}), *self._evaluated(event.round, {}, now)]
        if event.kind == "checkpoint":
            return self._kept(event.round, now, event.reason)
        if event.kind == "fold":
            done = e.CancelTimer(("work", "fold", event.round))
            return [done, *self._fail_round(event.reason, now)]
        return self._fail_run(event.reason)

    def _fail_run(self, reason: str) -> list[e.Effect]:
        self.status = "finished"
        parting = m.Goodbye(round=self.completed, reason=reason)
        return [
            e.Send(tuple(self.roll.reachable()), parting),
            e.Publish("run.failed", {"reason": reason}),
            e.Finish("failed", reason),
        ]

    # --------------------------------------------------------------------------------------------------------- helpers

    def _number(self) -> int:
        return self.open.number if self.open else 0
