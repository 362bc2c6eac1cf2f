"""Rounds with a barrier: ask, admit, close on quorum or deadline, fold.

McMahan et al. 2017, Algorithm 1, with the closing rule of docs/protocol.md. Round 0, which asks for surveys, and the
last evaluation at the sites are such rounds in every run; training is, unless the strategy is asynchronous.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from nervenet.broker import messages as m
from nervenet.broker.errors import see

from ..runtime import effects as e
from ..runtime import events as ev
from ..runtime.payload_checks import brief
from .admission import admit, misplaced, refuse, unfit
from .quorum import floor_of, least, least_for_strategy
from .round import Round, closing_fields
from .run_state import RunState
from .site_matrix import Asked
from .task_dispatch import capped_claims, choose, deadline_s

LAST = ("evaluate", "alone", "judge")
"""Kinds of work that are asked for when the rounds are over: of all who are there, and any answers will do."""

EXTENSIONS = 10  # a round never lasts longer than this many deadlines, whatever its transfers say

Proceed: TypeAlias = Callable[[int, int, float, str], list[e.Effect]]
"""Opens (round, attempt), or ends the run if it is over or, by the reason given, has failed too often."""


class SyncRounds:
    """Decides about one round after another, each of which waits for its clients."""

    def __init__(self, run: RunState, proceed: Proceed) -> None:
        self.run = run
        self._proceed = proceed

    def open(
        self, number: int, attempt: int, now: float, work: m.TaskKind | None = None, ask: Asked | None = None
    ) -> list[e.Effect]:
        """Ask the clients of a round: for surveys in round 0, else to train, unless `work` says otherwise.

        `ask` says which of the clients, and about which model, where that is not the run's.
        """
        run, config = self.run, self.run.config
        work = work or ("survey" if number == 0 else "train")
        pool = run.registry.living() if ask is None else list(ask.names)
        if work == "survey":
            pool = run.zero.pool(pool, least(config, run.registry))
        if work not in LAST and len(pool) < least(config, run.registry):
            return run.wait(number, attempt, now)
        wanted, asked = len(pool), tuple(pool)
        floor = 0 if work in LAST else floor_of(config, run.registry, work=work)
        if work == "train":
            asked, wanted = choose(number, attempt, config, run.registry, least(config, run.registry), floor)
        quorum = config.federated.quorum if work == "train" else 1.0
        enough = least_for_strategy(floor, wanted, config) if quorum < 1 else 0
        effects = self._ask(Round(number, attempt, work, asked, wanted, quorum, floor, now, enough), now)
        if work not in LAST:
            effects.append(e.Publish("round.started", {"round": number, "attempt": attempt, "asked": list(asked)}))
            effects += capped_claims(config, run.registry)
        return effects + run.tasks(asked, work, number, attempt, None if ask is None else ask.body)

    def _ask(self, current: Round, now: float) -> list[e.Effect]:
        run = self.run
        run.round, run.status = current, "asking"
        run.registry.outgoing.clear()
        run.registry.ask(current.awaited(), current.key)
        return [e.SetTimer(("deadline", *current.key), now + deadline_s(run.config, current.work))]

    def ask_next(self, event: ev.NextQuestion, now: float) -> list[e.Effect]:
        """Ask the sites that have answered all questions of round 0 so far the next one, as an attempt of its own."""
        run, before = self.run, self.run.round
        if before is None or before.work != "survey" or event.step != before.step + 1:
            return []
        current = run.zero.next(event, run.registry, before.attempt + 1, now)
        effects = [e.CancelTimer(("work", "agreement", 0)), *self._ask(current, now)]
        return [*effects, *run.tasks(current.awaited(), "survey", *current.key), *self.close_if_ready(now)]

    def returned(self, name: str, now: float) -> list[e.Effect]:
        """Ask a site again that was silent while a question of round 0 is open; of the question before nothing is lost.

        A new process answers as well as the old one: a question is complete in itself.
        """
        run, current = self.run, self.run.round
        if current is None or not run.inquiring or name not in current.asked or name in current.admitted:
            return []
        changed = run.zero.changed(name, run.registry[name].examples) if name in run.registry else None
        if changed:
            return self.excuse(name, changed, 0, now)
        if name not in current.silent:
            return []
        current.silent.discard(name)
        del current.excused[name]
        run.registry.ask((name,), current.key)
        return run.tasks((name,), "survey", *current.key)

    def admit(self, sender: str, update: m.Update, event: ev.Arrived, now: float) -> list[e.Effect]:
        """Admit an update, or refuse it by name; the round goes on either way."""
        run, current, number = self.run, self.run.round, update.round
        owed = run.registry.answered(sender, (number, update.attempt))
        fault = misplaced(sender, update, current)
        if fault or current is None:
            # Late is not wrong: the round has named its sender when it closed without it, or was abandoned.
            late = (owed or run.stopped) and fault and fault[0] == "stale"
            return [] if late or not fault else refuse(sender, number, fault)
        fault = unfit(event, update, current.work, run.model, run.config, run.registry)
        if fault:
            rejected = run.reject(sender, number, current.key, fault)
            return rejected + self.excuse(sender, f"rejected: {fault[1]}", number, now)
        # A client that was given up and answers in time after all counts.
        current.excused.pop(sender, None)
        most = run.registry.cap(run.config.federated.max_examples_ratio)
        current.admitted[sender] = admit(event, update, current.work, run.weights, most)
        if sender in run.registry and current.work == "train":
            run.registry[sender].ready = True
        return self.close_if_ready(now)

    def declined(self, sender: str, number: int, attempt: int, reason: str, now: float) -> list[e.Effect]:
        if self.run.round is None or (number, attempt) != self.run.round.key:
            return []
        return self.excuse(sender, f"declined: {brief(reason)}", number, now)

    def malformed(self, sender: str, reason: str, now: float) -> list[e.Effect]:
        """Something unreadable came; from a client that is waited for, it was as good as its answer."""
        current = self.run.round
        if current is None or current.closing or sender not in current.awaited():
            return []
        strikes = self.run.strike(sender, current.key, reason)
        return strikes + self.excuse(sender, f"rejected: {reason}", current.number, now)

    def excuse(self, name: str, reason: str, number: int, now: float, *, silent: bool = False) -> list[e.Effect]:
        """Wait no longer for a client in round `number`."""
        current = self.run.round
        if current is None or number != current.number or not current.excuse(name, reason, silent=silent):
            return []
        return self.close_if_ready(now)

    def close_if_ready(self, now: float) -> list[e.Effect]:
        """Close the round if enough have answered, or fail it if nobody is left to."""
        current = self.run.round
        if current is None or current.closing:
            return []
        verdict = current.verdict()
        if verdict:
            return self._close(verdict, now)
        if current.step and self._cannot_go_on(current):
            return self.fail(f"{len(current.admitted)} of {len(current.asked)} sites answered, and all must", now)
        if current.asked and not current.waiting and not self._could_recover():
            reason = f"{len(current.admitted)} of at least {current.floor} clients answered, and nobody is left to ask"
            return self.fail(reason, now)
        return []

    def _cannot_go_on(self, current: Round) -> bool:
        """Whether one of those who must answer a further question of round 0 never will."""
        return bool(current.given_up()) or any(self.run.registry.is_lost(name) for name in current.missing(""))

    def _could_recover(self) -> bool:
        """Whether somebody is only silent so far, or was and is heard again: then the deadline ends the round."""
        silent, registry = self.run.round.silent if self.run.round else set(), self.run.registry
        return any(name in registry and not registry.is_lost(name) for name in silent)

    def _close(self, by: str, now: float) -> list[e.Effect]:
        run, current = self.run, self.run.round
        if current is None:
            return []
        current.closing, current.closed_at = by, now
        run.status = "folding"
        effects: list[e.Effect] = [e.CancelTimer(("deadline", current.number, current.attempt))]
        if current.work == "survey":
            surveys = {survey.client: survey.body for survey in current.contributions()}
            rows: dict[str, int] = {}
            if not current.step:
                run.zero.begin(current, run.registry)
                rows = {survey.client: int(survey.examples) for survey in current.contributions()}
            agree = e.ApplyAgreement(surveys=surveys, rows=rows, step=current.step)
            return [*effects, run.work_timer("agreement", 0, now), agree]
        if current.work in ("alone", "judge"):
            run.matrix.take(current)
            return [*effects, *self._proceed(*current.key, now, "")]
        if current.work == "evaluate":
            return [*effects, *self._judged_by_sites(current), *self._proceed(*current.key, now, "")]
        effects += [*self._dismiss(current), *self._weigh(current)]
        current.held = run.evaluation.holds
        return effects if current.held else [*effects, *self._fold(current, now)]

    def compare(self, now: float) -> list[e.Effect]:
        """Ask the sites for models of their own, and then about each; nothing where none is left to ask about."""
        asked = self.run.matrix.next(self.run.registry.living())
        if asked is None:
            return []
        number, attempt = self.run.newest_key
        return self.open(number, attempt + 1, now, asked.work, asked)

    def _judged_by_sites(self, current: Round) -> list[e.Effect]:
        """Take what the sites think of the last model, unless so few have answered that it is but theirs."""
        run, answers = self.run, len(current.admitted)
        floor = floor_of(run.config, run.registry, work="evaluate")
        if answers >= floor or not current.asked:
            classes = run.model.agreement.get("classes") if run.model else None
            known = None if classes is None else len(classes)
            effects = run.evaluation.take_counts(run.completed, current.admitted, known)
            if run.evaluation.sited == run.completed:  # they had judged it before the run ended early
                return effects
            return effects + run.evaluation.of_sites(run.completed, run.weights, run.clock, current.admitted)[0]
        reason = f"{answers} of at least {floor} sites have judged the last model: their figures are left out"
        reason += "".join(f"; {name}: {why}" for name, why in current.missing("no answer").items())
        return [e.Publish("warning", {"round": run.completed, "reason": reason})]

    def _dismiss(self, current: Round) -> list[e.Effect]:
        late = self.run.registry.owing(current.missing(""), current.key)
        reason = f"round {current.number} has closed by {current.closing}"
        return [e.Send(late, m.Refused("task", current.number, "stale", reason))] if late else []

    def _weigh(self, current: Round) -> list[e.Effect]:
        """Let the updates count by their weights, where rows have some."""
        updates, warnings = self.run.by_weight(current.contributions())
        current.admitted = {update.client: update for update in updates}
        return warnings

    def _fold(self, current: Round, now: float) -> list[e.Effect]:
        current.folding_at = now
        fold = e.Fold(current.number, current.attempt, self.run.weights, current.contributions())
        return [self.run.work_timer("fold", current.number, now), fold]

    def evaluated(self, now: float) -> list[e.Effect]:
        """Fold what has waited for the evaluation of the round before."""
        current = self.run.round
        if current is None or not current.held or self.run.evaluation.holds:
            return []
        current.held = False
        return self._fold(current, now)

    def folded(self, event: ev.Folded, now: float) -> list[e.Effect]:
        """Take over the next model, and go on to the next round."""
        run, current = self.run, self.run.round
        if current is None or (event.round, event.attempt) != current.key:
            return []
        effects: list[e.Effect] = [e.CancelTimer(("work", "fold", current.number))]
        for name, reason in sorted(event.rejected.items()):
            if current.admitted.pop(name, None) is None:
                continue
            current.excused[name] = f"rejected: {reason}"
            effects += run.reject(name, current.number, current.key, ("values", reason))
        for name, reason in event.missing.items():
            if current.admitted.pop(name, None) is not None:
                current.excused[name] = reason
        left, floor = len(current.admitted), max(1, current.floor)
        if (event.rejected or event.missing) and left < floor:
            return effects + self.fail(f"{left} of at least {floor} updates are left", now)
        run.registry.count((name, current.number) for name in current.admitted)
        # With their updates the sites say what they think of the model that was sent, the last round's.
        found, stop = run.evaluation.of_sites(run.completed, run.weights, run.clock, current.admitted)
        if stop:
            run.stop_due = stop
            return effects + found + self._proceed(*current.key, now, "")
        run.update_model(event, current.number, current.admitted.values())
        fields = {**closing_fields(current, now), **event.metrics}
        effects.append(e.Publish("round.completed", fields))
        effects += run.save(now) + found + run.evaluate(fields, now)
        return effects + self._proceed(current.number + 1, 0, now, "")

    def fail(self, reason: str, now: float) -> list[e.Effect]:
        """Try the round again, unless it has failed too often."""
        run, current = self.run, self.run.round
        if current is None:
            return []
        current.closing = "failed"
        missing = current.missing("no answer")
        if current.step:  # others may still be at work, and are not to blame
            missing = {name: why for name, why in missing.items() if name in current.excused}
            reason = f"question {current.step}: {reason}"
            run.zero.restart(current)
        reason += "".join(f"; {name}: {why}" for name, why in missing.items())
        current.failure = reason
        run.failures += 1
        effects: list[e.Effect] = [
            e.CancelTimer(("deadline", current.number, current.attempt)),
            e.Publish("round.failed", {"round": current.number, "attempt": current.attempt, "reason": reason}),
        ]
        failure = f"round {current.number} failed {run.failures} times in a row: {reason}{see('rounds-failed')}"
        return effects + self._proceed(current.number, current.attempt + 1, now, failure)

    def timer(self, key: ev.Key, now: float) -> list[e.Effect]:
        run, current, timing = self.run, self.run.round, self.run.config.timing
        if current is None or key != ("deadline", *current.key) or current.closing:
            return []
        within = f"within {deadline_s(run.config, current.work):g} s"
        moving = [name for name in current.awaited() if run.registry.moving(name, current.number)]
        if moving and now < current.opened_at + EXTENSIONS * timing.deadline_s:
            return [e.SetTimer(("deadline", *current.key), now + 2 * timing.heartbeat_s)]
        effects: list[e.Effect] = []
        for name in current.awaited():
            heard = run.registry.doing(name)
            reason = current.excused[name] = f"no answer {within} (last heard: {heard})"
            if current.work == "train":  # whoever lives and never answers makes every round last its deadline
                effects += run.strike(name, current.key, reason)
        if current.work in LAST or len(current.admitted) >= max(1, current.floor):
            return effects + self._close("deadline", now)
        there = f"{len(current.admitted)} of at least {current.floor} clients"
        return effects + self.fail(f"{there} answered {within}", now)
