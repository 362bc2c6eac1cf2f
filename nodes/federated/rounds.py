"""The coordinator's machine: what happens next in federated averaging.

One round: ask the sampled clients, admit their updates, close on quorum or deadline, fold, publish, open the next
(McMahan et al. 2017, Algorithm 1, with the closing rule of docs/protocol.md). Round 0 asks for surveys in place of
updates and settles what everybody must share before training. Pure: events and `now` in, effects out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nervenet.broker import messages as m

from .. import effects as e
from ..screening import update_fault
from .asking import expected, lacking, tasks
from .attempt import Admitted, OpenRound, default_floor
from .closing import closing_fields, site_metrics
from .roll import Roll
from .rules import RoundRules
from .sampling import uniform
from .strategies import Contribution

FAILURES_IN_A_ROW = 3
EXTENSIONS = 10  # a round never lasts longer than this many deadlines, whatever its transfers say


class RoundState:
    """Decides what a coordinator does next; never waits, never touches a vector.

    Attributes
    ----------
    completed
        The last round that was folded.
    status
        ``gathering``, ``asking``, ``folding``, ``closing`` or ``finished``.
    """

    def __init__(self, rules: RoundRules) -> None:
        self.rules = rules
        self.roll = Roll(rules.suspect_after_s, rules.lost_after_s)
        self.status = "gathering"
        self.completed = 0
        self.durable = 0  # the last round on disk
        self.began = 0  # the round after which this life of the coordinator goes on
        self.failures = 0
        self.open: OpenRound | None = None
        self.settled: e.Settled | None = None
        self.weights: e.Body = None
        self.outgoing: e.Body = None  # the weights with whatever else goes to those who train
        self._evaluating: dict[int, dict[str, Any]] = {}  # rounds done whose evaluation is still to come
        self._final = False

    # ---------------------------------------------------------------------------------------------------- the one door

    def handle(self, event: e.Event, now: float) -> list[e.Effect]:
        """Take one event and say what to do."""
        if self.status == "finished":
            return []
        match event:
            case e.Started():
                return [
                    e.SetTimer(("join",), now + self.rules.join_deadline_s),
                    e.SetTimer(("pulse",), now + self.rules.heartbeat_s),
                ]
            case e.LinkUp(peer, role) if role == "client":
                return self._linked(peer, now)
            case e.LinkLost(peer, reason):
                return self._cut_off(peer, reason, now)
            case e.Arrived():
                return self._arrived(event, now)
            case e.TimerFired(key, due):
                return self._timer(key, due, now)
            case e.Settled():
                return self._settled(event, now)
            case e.Folded():
                return self._folded(event, now)
            case e.Evaluated(number, _, metrics):
                return self._evaluated(number, metrics)
            case e.WorkFailed():
                return self._work_failed(event, now)
            case e.Undeliverable(peer, "task", number, reason):
                return self._excuse(peer, f"unreachable: {reason}", number, now)
            case e.StillSending(peer, rounds):
                self.roll.leaving(peer, rounds)
                return []
            case e.Spoiled(sender, reason):
                return [e.Publish("update.rejected", {"subject": sender, "round": self._number(), "reason": reason})]
            case _:
                return []

    # -------------------------------------------------------------------------------------------------------- messages

    def _arrived(self, event: e.Arrived, now: float) -> list[e.Effect]:
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
                if self.open and (number, attempt) == self.open.key:
                    effects += self._excuse(sender, f"declined: {reason}", number, now)
            case m.Heartbeat(state=state, sending=sending):
                self.roll.beat(sender, state, sending)
            case m.Goodbye(reason=reason):
                effects += self._gone(sender, reason, now)
            case _:
                pass
        return effects

    def _linked(self, peer: str, now: float) -> list[e.Effect]:
        self.roll.linked(peer, now)
        return self._begin_if_gathered(now)

    def _cut_off(self, peer: str, reason: str, now: float) -> list[e.Effect]:
        if not self.roll.liveness.blame(peer):
            return []
        told = e.Publish("node.suspect", {"subject": peer, "reason": reason})
        return [told, *self._excuse(peer, reason, self._number(), now, silent=True)]

    def _enrol(self, name: str, examples: int, codecs: tuple[str, ...], now: float) -> list[e.Effect]:
        effects: list[e.Effect] = []
        lacks = lacking(self.rules.compression, codecs)
        if self.roll.enrol(name, examples, now, codecs) and lacks:
            reason = f"{name} cannot encode {', '.join(lacks)}: its updates come as they are, without compression"
            effects.append(e.Publish("warning", {"reason": reason, "subject": name}))
        return effects + self._begin_if_gathered(now)

    def _begin_if_gathered(self, now: float, *, at_deadline: bool = False) -> list[e.Effect]:
        if self.status != "gathering":
            return []
        there = self.roll.living()
        floor = self._floor(len(self.rules.clients))
        absent = any(n not in self.roll and not self.roll.is_lost(n) for n in self.rules.clients)
        if len(there) >= floor and (at_deadline or not absent):
            return [e.CancelTimer(("join",)), *self._open(0, 0, now)]
        if not at_deadline:
            return []
        limit = f"{self.rules.join_deadline_s:g} s"
        names = ", ".join(sorted(self.rules.clients - set(there)))
        return self._fail_run(
            f"{len(there)} of at least {floor} clients were ready within {limit}; still missing: {names}"
        )

    def _gone(self, name: str, reason: str, now: float) -> list[e.Effect]:
        self.roll.leave(name)
        if self._final:
            return []  # it holds the final model, and there is nothing left to do
        gone: list[e.Effect] = [e.Publish("node.lost", {"subject": name, "reason": f"left: {reason}"})]
        return gone + self._excuse(name, f"left: {reason}", self._number(), now)

    def _judge(self, sender: str, update: m.Update, event: e.Arrived, now: float) -> list[e.Effect]:
        """Admit an update, or refuse it by name; the round goes on either way."""
        current = self.open
        if current is None or current.closing or (update.round, update.attempt) != current.key:
            stands = f"round {self._number()} is open" if current and not current.closing else "no round is open"
            return self._refuse(
                sender, update.round, "stale", f"round {update.round}, attempt {update.attempt} is closed; {stands}"
            )
        if sender not in current.asked:
            return self._refuse(sender, update.round, "uninvited", f"{sender} was not asked in round {update.round}")
        if sender in current.admitted:
            return self._refuse(
                sender, update.round, "duplicate", f"{sender} has answered round {update.round} already"
            )
        # Who has left in the meantime is no longer on the list; what it sent before counts as it stands.
        enrolled = self.roll[sender].examples if sender in self.roll else update.examples
        fault = update_fault(update, event, current.work, expected(current.work, self.settled, self.rules), enrolled)
        if fault:
            code, reason = fault
            return [
                *self._refuse(sender, update.round, code, reason),
                *self._excuse(sender, f"rejected: {reason}", update.round, now),
            ]
        # A client that was given up and answers in time after all counts.
        current.excused.pop(sender, None)
        relative = update.payload is not None and update.payload.encoding.startswith("delta")
        current.admitted[sender] = Admitted(event.body, update.examples, dict(update.metrics), update.facts, relative)
        if sender in self.roll and current.work == "train":
            self.roll[sender].settled = True
        return self._close_if_ready(now)

    def _refuse(self, to: str, number: int, code: str, reason: str) -> list[e.Effect]:
        return [
            e.Send((to,), m.Refused(about="update", round=number, code=code, reason=reason)),
            e.Publish("update.rejected", {"subject": to, "round": number, "reason": reason}),
        ]

    # ---------------------------------------------------------------------------------------------------------- rounds

    def _open(self, number: int, attempt: int, now: float, work: m.Errand | None = None) -> list[e.Effect]:
        work = work or ("survey" if number == 0 else "train")
        share = self.rules.participation if work == "train" else 1.0
        there = self.roll.living()
        asked = uniform(there, share, seed=self.rules.seed, round=number, attempt=attempt) if there else ()
        floor = self._floor(max(1, len(asked))) if work != "evaluate" else 0
        quorum = self.rules.quorum if work == "train" else 1.0
        self.open = OpenRound(number, attempt, work, asked, quorum, floor, now)
        self.status = "asking"
        self.roll.all_left()
        effects: list[e.Effect] = [e.SetTimer(("deadline", number, attempt), now + self.rules.deadline_s)]
        if work != "evaluate":
            effects.append(e.Publish("round.started", {"round": number, "attempt": attempt, "asked": list(asked)}))
        return effects + self._tasks(asked, work, number, attempt)

    def _tasks(self, names: Iterable[str], work: m.Errand, number: int, attempt: int) -> list[e.Effect]:
        body = self.outgoing if work == "train" else self.weights
        return tasks(
            *(names, work, number, attempt, body),
            rules=self.rules,
            roll=self.roll,
            settled=self.settled,
            durable=self.durable,
            began=self.began,
        )

    def _close_if_ready(self, now: float) -> list[e.Effect]:
        current = self.open
        if current is None or current.closing:
            return []
        verdict = current.verdict()
        if verdict:
            return self._close(verdict)
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

    def _close(self, by: str) -> list[e.Effect]:
        current = self.open
        if current is None:
            return []
        current.closing = by
        self.status = "folding"
        order = sorted(current.admitted)
        effects: list[e.Effect] = [e.CancelTimer(("deadline", current.number, current.attempt))]
        if current.work == "survey":
            surveys = {name: (current.admitted[name].facts or {}, current.admitted[name].body) for name in order}
            return [*effects, e.Settle(surveys=surveys)]
        if current.work == "evaluate":
            return [*effects, *self._sites(current.number), *self._conclude()]
        rule = self.settled.payload.rule if self.settled else "mean"
        contributions = tuple(
            Contribution(name, a.body, self.weights, a.examples, a.metrics, a.relative)
            for name, a in ((name, current.admitted[name]) for name in order)
        )
        return [*effects, e.Fold(current.number, current.attempt, rule, self.weights, contributions)]

    def _settled(self, event: e.Settled, now: float) -> list[e.Effect]:
        self.settled, self.weights, self.failures = event, event.body, 0
        self.outgoing = event.body if event.outgoing is None else event.outgoing
        return [e.Publish("round.completed", closing_fields(self.open, now)), *self._open(1, 0, now)]

    def _evaluated(self, number: int, metrics: Mapping[str, Any]) -> list[e.Effect]:
        effects: list[e.Effect] = [e.Completed(number, {**self._evaluating.pop(number, {}), **metrics})]
        if metrics:
            effects.append(e.Publish("metric.test", {"round": number, **metrics}))
        return effects + self._finish_if_ready()

    def _folded(self, event: e.Folded, now: float) -> list[e.Effect]:
        current = self.open
        if current is None or (event.round, event.attempt) != current.key:
            return []
        self.weights = event.body
        self.outgoing = event.body if event.outgoing is None else event.outgoing
        self.completed, self.failures = current.number, 0
        effects: list[e.Effect] = []
        for name, reason in sorted(event.rejected.items()):
            current.excused[name] = f"rejected: {reason}"
            del current.admitted[name]
            effects += self._refuse(name, current.number, "values", reason)
        fields = {**closing_fields(self.open, now), **event.metrics}
        effects.append(e.Publish("round.completed", fields))
        if self.rules.evaluate_sites and current.number > 1:
            effects += self._sites(current.number - 1)
        last = current.number >= self.rules.rounds
        if self.rules.evaluate_test and (last or current.number % self.rules.evaluate_every == 0):
            self._evaluating[current.number] = fields
            effects.append(e.Evaluate(current.number, "test", event.body))
        else:
            effects.append(e.Completed(current.number, fields))
        if not last:
            return effects + self._open(current.number + 1, 0, now)
        if self.rules.evaluate_sites:
            # An attempt of its own: a late answer to the training must not pass for one to this.
            attempt = current.attempt + 1
            return effects + self._open(current.number, attempt, now, work="evaluate") + self._close_if_ready(now)
        return effects + self._conclude()

    def _sites(self, number: int) -> list[e.Effect]:
        """Federated evaluation: the sites' own hold-outs, weighted by size, the worst site named."""
        found = site_metrics(self.open.admitted) if self.open else {}
        return [e.Publish("metric.test", {"round": number, **found})] if found else []

    def _conclude(self) -> list[e.Effect]:
        """Hand everybody the final model, the coordinator's own included; finish when the last evaluation is in."""
        self._final = True
        attempt = self.open.attempt + 1 if self.open else 0
        effects = self._tasks(self.roll.living(), "finish", self.completed, attempt)
        return [*effects, e.Adopt(self.weights), *self._finish_if_ready()]

    def _finish_if_ready(self) -> list[e.Effect]:
        if not self._final or self._evaluating:
            return []
        self.status = "finished"
        return [e.Finish("completed")]

    # ----------------------------------------------------------------------------------------------- time and failures

    def _timer(self, key: e.Key, due: float, now: float) -> list[e.Effect]:
        match key:
            case ("join",):
                return self._begin_if_gathered(now, at_deadline=True)
            case ("pulse",):
                self.roll.all_left()
                beat = e.Beat(tuple(self.roll.reachable()), self._number(), self.status)
                again = e.SetTimer(("pulse",), now + self.rules.heartbeat_s)
                return [again, beat, *self._review(now, now - due)]
            case ("review",):
                return self._review(now, now - due)
            case ("deadline", number, attempt) if self.open and (number, attempt) == self.open.key:
                return self._deadline(self.open, now)
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

    def _deadline(self, current: OpenRound, now: float) -> list[e.Effect]:
        if current.closing:
            return []
        moving = [name for name in current.awaited() if self.roll.moving(name, current.number)]
        if moving and now < current.opened_at + EXTENSIONS * self.rules.deadline_s:
            return [e.SetTimer(("deadline", current.number, current.attempt), now + 2 * self.rules.heartbeat_s)]
        for name in current.awaited():
            heard = self.roll.doing(name)
            current.excused[name] = f"no answer within {self.rules.deadline_s:g} s (last heard: {heard})"
        if current.work == "evaluate" or len(current.admitted) >= max(1, current.floor):
            return self._close("deadline")
        return self._fail_round(
            f"{len(current.admitted)} of at least {current.floor} clients answered within {self.rules.deadline_s:g} s",
            now,
        )

    def _excuse(self, name: str, reason: str, number: int, now: float, *, silent: bool = False) -> list[e.Effect]:
        current = self.open
        if current is None or current.closing or number != current.number or name not in current.awaited():
            return []
        current.excused[name] = reason
        if silent:
            current.silent.add(name)
        return self._close_if_ready(now)

    def _fail_round(self, reason: str, now: float) -> list[e.Effect]:
        current = self.open
        if current is None:
            return []
        missing = current.missing("no answer")
        told = reason + "".join(f"; {name}: {why}" for name, why in missing.items())
        self.failures += 1
        effects: list[e.Effect] = [
            e.CancelTimer(("deadline", current.number, current.attempt)),
            e.Publish("round.failed", {"round": current.number, "attempt": current.attempt, "reason": told}),
        ]
        if self.failures >= FAILURES_IN_A_ROW:
            return effects + self._fail_run(f"round {current.number} failed {self.failures} times in a row: {told}")
        return effects + self._open(current.number, current.attempt + 1, now)

    def _work_failed(self, event: e.WorkFailed, now: float) -> list[e.Effect]:
        if event.kind == "evaluate":
            reason = f"evaluation of round {event.round} failed: {event.reason}"
            return [e.Publish("warning", {"reason": reason}), *self._evaluated(event.round, {})]
        if event.kind == "fold":
            return self._fail_round(event.reason, now)
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

    def _floor(self, asked: int) -> int:
        return min(asked, self.rules.min_clients) if self.rules.min_clients else default_floor(asked)
