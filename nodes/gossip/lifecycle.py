"""What every peer does around its trainings, with rounds or without: round 0, evaluations, refusals, and its end."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any, Literal

from nervenet.broker import messages as m

from ..runtime import effects as e
from ..runtime import events as ev
from ..runtime.payload_checks import survey_fault
from ..runtime.printable import listed
from ..runtime.site_answer import SiteAnswer
from .catching_up import CatchingUp
from .exchange_stats import ExchangeStats, pause_s
from .rules import PeerRules
from .survey_batches import answers_of, origins_of
from .survey_flood import SurveyFlood

SPREAD: ev.Key = ("spread",)
SPREAD_S = 0.05  # in which answers gather that go to all neighbors
PATIENCE = 10  # deadlines after which nothing is waited for any longer: neither a transfer nor one's own training


class PeerLifecycle:
    """Round 0, the evaluations and the end of a peer's machine.

    `status` is ``meeting``, ``joining``, ``training``, ``waiting``, ``mixing``, ``resting``, ``short`` (of
    peers) or ``finished``; `settled` the agreement and the first model, None before round 0 is complete. The open round
    or cycle began at `opened_at`;
    `pending` has those whose evaluation is still to come, with what is to be reported of them.
    """

    def __init__(self, rules: PeerRules, flood: SurveyFlood, *, unit: Literal["round", "cycle"]) -> None:
        self.flood = flood
        self.catching_up = CatchingUp(flood)
        self.stats = ExchangeStats(pause_s(rules.hosted))
        self.status = "meeting"
        self.settled: ev.ModelReady | None = None
        self.opened_at = 0.0
        self.pending: dict[int, dict[str, Any]] = {}
        self._gone: dict[str, str] = {}  # who has failed after it had answered the open question of round 0, and why
        self._timing = rules.timing
        self._policy = rules.policy
        self._spreading = False  # whether answers are to be spread soon
        self._patience_s = PATIENCE * rules.timing.deadline_s
        self._unit = unit

    def start(self, now: float, *, announced: bool = True) -> list[e.Effect]:
        self.opened_at = now
        started: list[e.Effect] = [e.Publish("round.started", {"round": 0, "attempt": 0})] if announced else []
        return [*started, *self.start_timers(now), e.Survey()]

    def consented(self, effects: list[e.Effect]) -> list[e.Effect]:
        """Return the effects; or this peer's end, where they ask what its site does not tell."""
        if self._policy.allow.everything or self.settled is not None:
            return effects
        for effect in effects:
            if isinstance(effect, e.Survey):
                declined = self.declined(effect.question, effect.asker)
                if declined:
                    return declined
        return effects

    def declined(self, question: Mapping[str, Any] | None = None, asker: str = "") -> list[e.Effect]:
        """Return how this peer ends where its site does not take part, or not tell what is asked; nothing if it does.

        The neighbors are told, and pass it on: without a member round 0 has no end.
        """
        declined = self._policy.among_peers(question, len(self.flood.members))
        if declined is None:
            return []
        name = self.flood.name
        fields = {"subject": asker or name, "round": 0, "key": declined.key, "reason": str(declined)}
        failed = self.fail(f"declined: {declined}", passed_on=f"{name} declined: {declined}")
        return [e.Publish("site.declined", fields), *failed]

    def start_timers(self, now: float) -> list[e.Effect]:
        return [
            self._deadline(now),
            e.SetTimer(("pulse",), now + self._timing.heartbeat_s),
        ]

    def greet(self, peer: str, *, restarted: bool) -> list[e.Effect]:
        """Tell a neighbor that is linked anew where round 0 is, if it forgot, and all answers that it may lack.

        One that had left is there again, and can answer the next question.
        """
        self._gone.pop(peer, None)
        told = self.catching_up.tell(peer) if restarted or peer in self.catching_up.followers else []
        return [*told, *self.flood.greet(peer, restarted=restarted)]

    def greet_in_tree(self, peer: str, *, restarted: bool) -> list[e.Effect]:
        """Do the same with one that is no neighbor, if it is one in the tree of round 0."""
        return self.greet(peer, restarted=restarted) if self.flood.in_tree(peer) else []

    def arrived_in_tree(self, event: ev.Arrived, number: int, now: float) -> list[e.Effect]:
        """Take what is said by one that is no neighbor, if it is one in the tree of round 0."""
        if self.settled is not None or not self.flood.in_tree(event.sender):
            return []
        match event.message:
            case m.PeerSurvey() | m.PeerSurveys() as survey:
                return self.survey_arrived(event, survey, number, now)
            case m.Goodbye(reason=reason):
                return self.left_early(event.sender, reason)
            case _:
                return []

    def cut(self, peer: str, neighbors: Container[str]) -> bool:
        """Take note that a link has ended, and return whether it was a neighbor's.

        Those of the tree alone may end any time once all is agreed.
        """
        if self.settled is None or peer in neighbors:
            self.flood.cut(peer)
        return peer in neighbors

    def asked(
        self,
        event: ev.NextQuestion | ev.Surveyed | ev.QuestionRefused,
        now: float,
        held: Mapping[str, Any] = {},
    ) -> list[e.Effect]:
        """Go on with the next question, or with this site's answer, if it has one; `held` goes with its statistics."""
        if self.settled is not None:
            return []
        if isinstance(event, ev.QuestionRefused):
            return self._refused(event)
        if isinstance(event, ev.NextQuestion):
            return self._next_question(event, now)
        fields = event.fields if event.step else {**event.fields, **held}
        return self._surveyed([SiteAnswer.of(self.flood.name, fields, event.body)], now, step=event.step)

    def _refused(self, event: ev.QuestionRefused) -> list[e.Effect]:
        """Go back to where this peer was before a neighbor told it a question that nobody asks; or fail at its own."""
        if event.step != self.flood.step:
            return []
        if not event.asker:
            return self.fail(f"question {event.step} of round 0 cannot be answered: {event.reason}")
        return [*self.reject(event.asker, 0, event.reason), *self.catching_up.unfollow()]

    def unsent(self, peer: str, tag: str) -> bool:
        """Whether that was an answer of round 0: it is sent again until all hold it, and no news."""
        answer = tag in ("peer_survey", "peer_surveys")
        if answer:
            self.flood.unsent(peer)
        return answer

    def survey_arrived(
        self, event: ev.Arrived, survey: m.PeerSurvey | m.PeerSurveys, number: int, now: float
    ) -> list[e.Effect]:
        """Take answers that a neighbor has given or passed on; `number` is the round that is open."""
        step, sender, origins = survey.step, event.sender, origins_of(survey)
        for origin in origins:
            if not self.flood.expects(origin):
                return self.reject(sender, number, f"a survey of {origin}, who is not a member")
        of = listed(origins)
        fault = event.flaw or (survey_fault(survey.payload) or ("", ""))[1]
        if fault:
            return self.reject(sender, number, f"the survey of {of}: {fault}")
        if self.settled is None and step > self.flood.step + 1:
            reason = f"an answer of {of} to question {step}, while question {self.flood.step} is open"
            return self.reject(sender, number, reason)
        try:
            answers = answers_of(survey, event.body)
        except ValueError as error:
            return self.reject(sender, number, f"the survey of {of}: {error}")
        return self._surveyed(answers, now, source=sender, step=step)

    def _surveyed(
        self, answers: Sequence[SiteAnswer], now: float, *, source: str = "", step: int = 0
    ) -> list[e.Effect]:
        held = len(self.flood.surveys)
        effects = self.flood.add_all(answers, source, step)
        if self.flood.fault is not None:
            return [*effects, *self.fail(self.flood.fault)]
        if self.flood.spreading and not self._spreading:
            self._spreading = True
            effects.append(e.SetTimer(SPREAD, now + SPREAD_S))
        if self.flood.step and len(self.flood.surveys) > held and not self.flood.complete:
            effects.append(self._deadline(now))  # answers may be large: it counts from the last that came
        return effects

    def spread(self) -> list[e.Effect]:
        self._spreading = False
        return self.flood.spread()

    def _next_question(self, event: ev.NextQuestion, now: float) -> list[e.Effect]:
        """Ask this site, and wait for the others' answers; fail if one of them has left since the question before."""
        if event.step != self.flood.step + 1:
            return []
        effects = [*self.flood.ask(event), *self.catching_up.tell_all()]
        for sender, reason in self._gone.items():
            if sender not in self.flood.surveys:
                return [*effects, *self.fail(reason, passed_on=reason)]
        return [*effects, self._deadline(now)]

    def caught_up(self, event: ev.Arrived, told: m.CatchUp, now: float) -> list[e.Effect]:
        """Take up round 0 where the others are; while they say that it goes on, this peer need not give up."""
        if self.settled is not None:
            return []
        late, effects = self.status == "joining", list[e.Effect]()
        if late and event.sender not in self.flood.neighbors:  # this peer may have no place in the graph yet
            self.flood.neighbors += (event.sender,)
            effects += self.flood.greet(event.sender)
        effects += self.catching_up.take(event.sender, told, late=late)
        return [*effects, self._deadline(now)] if late or self.catching_up.waiting else effects

    def remind(self, behind: tuple[str, ...]) -> list[e.Effect]:
        """Say how far round 0 is, and repeat to neighbors that are still in it what they may have missed."""
        shown = self.flood.progress() if self.status == "meeting" else []
        return [*shown, *self.catching_up.remind(behind), *self.flood.remind(behind)]

    def _deadline(self, now: float) -> e.Effect:
        return e.SetTimer(("join",), now + self._timing.join_deadline_s)

    def agreed(self, event: ev.ModelReady, now: float) -> list[e.Effect]:
        """Close round 0; what all peers have found in their surveys the first of them says."""
        self.settled, self.status = event, "resting"
        fields = {
            "round": 0,
            "closed_by": "all",
            "duration_s": now - self.opened_at,
            "participants": sorted(self.flood.members),
            **event.decided,
        }
        told = self.catching_up.agreed(event.agreement)
        spoken = event.cautions if self.flood.name == min(self.flood.members) else ()
        warnings = [e.Publish("warning", {"reason": each}) for each in spoken]
        return [e.Publish("round.completed", fields), *warnings, *told]

    def join_expired(self) -> list[e.Effect]:
        missing = listed(self.flood.missing)
        within = f"within {self._timing.join_deadline_s:g} s (network.join_deadline_s)"
        if self.flood.step:
            nothing = f"no answer to its question {self.flood.step} was heard of {missing}"
            nothing = nothing if missing else f"nothing was heard after its question {self.flood.step}"
            return self.fail(f"round 0 was not complete: {nothing} {within}")
        return self.fail(f"round 0 was not complete {within}: nothing was heard of {missing}")

    def training_timer(self, key: ev.Key, now: float) -> e.Effect:
        return e.SetTimer(key, now + self._patience_s)

    def training_expired(self, number: int) -> list[e.Effect]:
        limit = f"{self._patience_s:g} s"
        return [e.CancelTraining(), *self.fail(f"the training of {self._unit} {number} did not end within {limit}")]

    def evaluated(self, number: int, which: str, metrics: Mapping[str, Any]) -> list[e.Effect]:
        effects: list[e.Effect] = []
        if number in self.pending:
            effects.append(e.Completed(number, self.pending.pop(number), {which: metrics} if metrics else {}))
        if metrics:
            kind = "metric.test" if which == "test" else "metric.local"
            effects.append(e.Publish(kind, {"round": number, **metrics}))
        return effects

    def work_failed(self, event: ev.WorkFailed) -> list[e.Effect]:
        """Go on without an evaluation; fail where anything else has failed."""
        if event.kind == "evaluate":
            reason = f"evaluation of {self._unit} {event.round} failed: {event.reason}"
            return [e.Publish("warning", {"reason": reason}), *self.evaluated(event.round, "test", {})]
        return self.fail(f"{event.kind} failed: {event.reason}")

    def reject(self, subject: str, number: int, reason: str) -> list[e.Effect]:
        self.stats.rejected[reason] = self.stats.rejected.get(reason, 0) + 1
        return [e.Publish("update.rejected", {"subject": subject, "round": number, "reason": reason})]

    def fail(self, reason: str, passed_on: str = "") -> list[e.Effect]:
        """End in failure; in round 0, which nobody can complete now, tell the neighbors why, or pass it on."""
        effects: list[e.Effect] = [e.Publish("run.failed", {"reason": reason})]
        if self.settled is None and self.flood.linked:
            why = passed_on or f"{self.flood.name} failed in round 0: {reason}"
            effects.append(e.Send(self.flood.linked, m.Goodbye(round=0, reason=why)))
        self.status = "finished"
        return [*effects, e.Finish("failed", reason)]

    def left_early(self, sender: str, reason: str) -> list[e.Effect]:
        """Fail at once where a member has failed before its answer came: round 0 can never be complete.

        One that has answered is missed only by a further question. A reason that names no member, as of one that is
        interrupted, is of the sender itself.
        """
        if self.settled is not None or self.status == "finished" or reason == "done":
            return []
        if not any(reason.startswith(f"{member} ") for member in self.flood.members):
            reason = f"{sender} left before round 0 was complete: {reason}"
        if sender in self.flood.surveys:
            self._gone[sender] = reason
            self.flood.cut(sender)
            return []
        return self.fail(reason, passed_on=reason) if sender in self.flood.members else []
