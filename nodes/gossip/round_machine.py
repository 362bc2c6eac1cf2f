"""The peer's machine for runs that go by rounds: train, send, and make the next model of what belongs to the round.

A round: train, send the result to those whom the graph of the round says, and step (with D-PSGD, mix; Lian et al. 2017,
Algorithm 1, in the order train, send, mix) once every awaited neighbor has answered, has been suspected, or the
deadline has come. What is sent and what is made of it is the algorithm's, in the worker. Round 0 floods the surveys
instead, until every peer holds all. Pure: events and `now` in, effects out.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

from nervenet.broker import messages as m

from ..runtime import effects as e
from ..runtime import events as ev
from .checkpointing import CheckpointPolicy
from .exchange_stats import ExchangeStats
from .inbox import Inbox, ReceivedModel, exchange_fault, mix_of, with_parts
from .late_join import LateJoin
from .membership.around import DynamicNeighborhood
from .membership.member_list import Change
from .membership.service import MembershipService
from .neighbor_tracker import NeighborTracker
from .neighborhood import Neighborhood
from .outbox import Outbox
from .rules import PeerRules
from .survey_flood import SurveyFlood

__all__ = ["PATIENCE", "PeerMachine", "PeerRules"]

UNSAID = {"heartbeat", "ping", "ack", "gossip", "shuffle", "edge", "get_model"}
"""Of these nobody is told that they could not be sent: the silence that follows tells enough."""

ALONE = 3  # rounds without anybody, after which a peer waits again: others may be running after it
BEHIND = 3  # rounds by which one may be late and still be waited for again, where members come and go
PATIENCE = 10  # deadlines after which nothing is waited for any longer: neither a transfer nor one's own training


class PeerMachine:
    """Decides what a peer does next.

    Messages carry their round. Early ones are kept for the round they belong to; late ones are counted stale. A
    neighbor that missed a round is `absent`: sent to, but not waited for, until a current message of its arrives, or
    two in a row that are late only because nobody waited for them. A peer that sees a neighbor further ahead than it
    can be with everybody's messages (two rounds, where edges go both ways; or, while it trains, one) has been left
    behind, and joins that round with the model it has.

    Attributes
    ----------
    round
        The round that this peer is in; 0 before training.
    status
        ``meeting``, ``joining`` (late: the run has begun without it), ``training``, ``waiting``, ``mixing``,
        ``resting`` (all the rounds asked for are done) or ``finished``.

    Parameters
    ----------
    rules
    fellows
        Where members come and go: who is there, and which edges count. None: the members are those of the rules.
    """

    def __init__(self, rules: PeerRules, fellows: MembershipService | None = None) -> None:
        self.rules = rules
        self.fellows = fellows
        self.around: Neighborhood | DynamicNeighborhood
        if fellows is None:
            self.around = Neighborhood(rules.name, rules.schedule, rules.mixing, doubly=rules.needs.doubly)
            links = self.around.links
            silence = (rules.suspect_after_s, rules.lost_after_s)
        else:
            self.around, links = fellows.around, None
            silence = (inf, inf)  # the probes say who is there, not the heartbeats
        self.meeting = SurveyFlood(rules.name, rules.members, self.around.ever, links)
        self.presence = NeighborTracker(self.around.spread, rules.heartbeat_s, *silence)
        self.presence.ring = self.around.ever
        self._untold = 0  # heartbeats until all neighbors know of the round that this peer is in
        self.latecomer = LateJoin(4 * rules.heartbeat_s)
        self._hung_up: set[str] = set()  # took leave, and nothing more will come of them
        self.letters = Inbox(len(rules.members))
        self.outbox = Outbox(rules)
        self.traffic = ExchangeStats()
        self.keeping = CheckpointPolicy(wanted=rules.keeps, held=rules.held)
        self.status = "meeting"
        self.round = 0
        self.completed = 0
        self.until = 0
        self.settled: ev.ModelReady | None = None
        self.resumed: int | None = None  # the round after which it goes on, with all the others
        self._unjudged = False  # that round was the last one, and what its model is worth is not known in this life
        self.absent: set[str] = set()
        self.weights: ev.Body = None  # after the last completed round
        self._expected: m.Payload | None = None
        self._lives: dict[str, int] = {}
        self._told: dict[int, dict[str, Any]] = {}  # rounds done whose evaluation is still to come
        self._mine: ev.Body = None  # what this round's training gave
        self._loss: float | None = None
        self._opened_at = 0.0
        self._now = 0.0
        self._trained_at = 0.0
        self._waited_s = 0.0  # for the neighbors, in this round
        self._missed = 0  # rounds that this peer has not trained in
        self._deadline_at = 0.0
        self._closed_by = ""
        self._mixed_with: tuple[str, ...] = ()
        self._missing: dict[str, str] = {}
        self.superseded = False  # by a newer life of its name: it must not take leave in that name
        self._alone = 0  # rounds closed without anybody's model
        self._closed = (0, 0.0)  # the last round closed, and when its deadline was

    # ---------------------------------------------------------------------------------------------------- the one door

    def handle(self, event: ev.Event, now: float) -> list[e.Effect]:
        """Take one event and say what to do."""
        if self.status == "finished":
            return []
        self._now = now
        effects = self._among_fellows(event, now)
        return effects if self.status == "finished" else effects + self._handle(event, now)

    def _handle(self, event: ev.Event, now: float) -> list[e.Effect]:
        match event:
            case ev.Started():
                return self._start(now)
            case ev.LinkUp(peer, _, incarnation) if self._known(peer):
                return self._meet(peer, incarnation, now)
            case ev.LinkLost(peer, reason) if self.fellows is None and self.presence.liveness.suspect(peer):
                return [e.Publish("node.suspect", {"subject": peer, "reason": reason}), *self._close_if_ready()]
            case ev.LinkLost(peer) if peer in self.presence.departed:
                self._hung_up.add(peer)
                return self._close_if_ready()
            case ev.Arrived(sender=sender) if self._known(sender):
                return self._arrived(event, now)
            case ev.TimerFired(key, due):
                return self._timer(key, due, now)
            case ev.Surveyed(fields, body):
                return self._testify(self.rules.name, {**fields, **self.keeping.fields}, body)
            case ev.ModelReady():
                return self._settled(event, now)
            case ev.Trained():
                return self._trained(event, now)
            case ev.Mixed():
                return self._mixed(event, now)
            case ev.Evaluated(number, which, metrics):
                return self._evaluated(number, which, metrics)
            case ev.Proceed(until):
                return self._proceed(until, now)
            case ev.WorkFailed() | ev.Saved():
                return self._work_ended(event, now)
            case ev.SendFailed(peer, tag, number, reason) if tag not in UNSAID:
                return self._undelivered(peer, tag, number, reason)
            case ev.MalformedMessage(sender, reason):
                return self._reject(sender, self.round, reason)
            case _:
                return []

    def _arrived(self, event: ev.Arrived, now: float) -> list[e.Effect]:
        sender = event.sender
        effects: list[e.Effect] = []
        if self.presence.liveness.heard(sender, now):
            effects.append(e.Publish("node.ready", {"subject": sender, "reason": "heard again"}))
        match event.message:
            case m.Exchange() as exchange:
                effects += self._exchange(exchange, event, now)
            case m.PeerSurvey(origin=origin, fields=fields) if self.status == "meeting":  # else all is agreed
                effects += self._testimony(origin, fields, event)
            case m.Heartbeat(round=number, sending=sending):
                self.presence.beaten(sender, number, tuple(sending))
                effects += self._close_if_ready()
            case m.Goodbye(round=number, reason=reason):
                if sender not in self.presence.departed:  # else its fellows have said so already
                    effects.append(e.Publish("node.left", {"subject": sender, "reason": reason}))
                self.presence.leave(sender, number)
                effects += self._close_if_ready()
            case m.GetModel():
                effects += self._offered(sender)
            case m.Model() as model:
                effects += self._taken_over(model, event)
            case m.Refused(about="exchange", code="base"):
                self.outbox.lost(sender)
            case m.Refused(about="hello", code="stale", reason=reason):
                return self._superseded(f"{sender} says: {reason}")
            case m.Refused(about=about) if about in UNSAID:
                pass  # it had not had HELLO again, and will
            case m.Refused(about=about, round=number, reason=reason):
                told = f"{about} of round {number} was refused: {reason}"
                effects.append(e.Publish("warning", {"subject": sender, "reason": told}))
            case _:
                pass
        return effects

    # ----------------------------------------------------------------------------------------- round 0: meet and agree

    @property
    def testimonies(self) -> Mapping[str, tuple[Mapping[str, Any], ev.Body]]:
        """The surveys held so far, by the peer that they are about."""
        return self.meeting.testimonies

    def _start(self, now: float) -> list[e.Effect]:
        self._opened_at = now
        if self.fellows is not None and self.fellows.rules.late:
            self.status = "joining"
            return [
                e.SetTimer(("join",), now + self.rules.join_deadline_s),
                e.SetTimer(("pulse",), now + self.rules.heartbeat_s),
            ]
        # Who goes on from a former life has done that.
        first = [] if self.keeping.held else [e.Publish("round.started", {"round": 0, "attempt": 0})]
        return [
            *first,
            e.SetTimer(("join",), now + self.rules.join_deadline_s),
            e.SetTimer(("pulse",), now + self.rules.heartbeat_s),
            e.Survey(),
        ]

    def _meet(self, peer: str, incarnation: int, now: float) -> list[e.Effect]:
        self._hung_up.discard(peer)
        self.presence.welcome(peer, now)
        effects: list[e.Effect] = []
        if self._lives.get(peer, incarnation) != incarnation:
            self.letters.forget(peer)
            self.outbox.renew(peer)
            effects.append(e.Forget(peer))
        self._lives[peer] = incarnation
        if self.status == "joining":
            return effects + self._ask_model(now)
        return effects + (self.meeting.greet(peer) if peer in self.around.ever else [])

    def _testimony(self, origin: str, fields: Mapping[str, Any], event: ev.Arrived) -> list[e.Effect]:
        if origin not in self.rules.members:
            return self._reject(event.sender, 0, f"a testimony of {origin}, who is not a member")
        if event.flaw:
            return self._reject(event.sender, 0, f"the testimony of {origin}: {event.flaw}")
        return self._testify(origin, fields, event.body, source=event.sender)

    def _testify(self, origin: str, fields: Mapping[str, Any], body: ev.Body, source: str = "") -> list[e.Effect]:
        effects = self.meeting.testify(origin, fields, body, source)
        return effects if self.meeting.fault is None else [*effects, *self._fail(self.meeting.fault)]

    def _settled(self, event: ev.ModelReady, now: float) -> list[e.Effect]:
        self.settled, self.weights = event, event.body
        self._expected = with_parts(event.payload, self.rules.needs.parts)
        if self.fellows is not None and self.latecomer.model is not None:
            return self._joined(self.fellows, event, self.latecomer.model, now)
        if self.fellows is not None:
            self.fellows.meeting = False
        self.status = "resting"
        told = {
            "round": 0,
            "closed_by": "all",
            "duration_s": now - self._opened_at,
            "participants": sorted(self.testimonies),
        }
        effects: list[e.Effect] = self._go_on(event.round) if event.round else [e.Publish("round.completed", told)]
        effects += self._read_what_came_early(now)
        self.presence.expect_all(now)
        effects += self._next_round(now)
        # All at once, for this once: they would go on telling what they know.
        if self.round and len(self.presence.here) > len(self.presence.turn()):
            effects.append(e.SendHeartbeat(self.presence.here, self.round, self.status))
        return effects

    def _read_what_came_early(self, now: float) -> list[e.Effect]:
        effects: list[e.Effect] = []
        for left in self.letters.unread():
            if isinstance(left.message, m.Exchange):
                effects += self._exchange(left.message, left, now)
        return effects

    def _go_on(self, number: int) -> list[e.Effect]:
        """Take up the run after a round of which every peer holds a state."""
        self.resumed = self.round = self.completed = number
        self._unjudged = True
        self.keeping.resumed(number)
        effects = [] if self.fellows is None else self.fellows.begin(number)
        self._look_around()
        return effects

    # ---------------------------------------------------------------------------------------------------------- rounds

    def _proceed(self, until: int, now: float) -> list[e.Effect]:
        self.until = max(self.until, until)
        if self.fellows is not None:
            self.fellows.until = self.until
        if self.latecomer.model is not None and self.settled is not None:  # it has joined before it was asked to
            fault = self.latecomer.fault(self.settled, self.until)
            if fault:
                return self._fail(fault)
        return self._next_round(now) if self.status == "resting" else []

    def _next_round(self, now: float) -> list[e.Effect]:
        if self.round >= self.until:
            self.status = "resting"
            judge, self._unjudged = self._unjudged and self.until > 0, self._unjudged and self.until == 0
            return [e.Evaluate(self.round, self.rules.evaluate_on)] if judge else []
        effects = self._open(self.round + 1)
        self.status = "training"
        self._opened_at = now
        there = tuple(p for p in self.around.to(self.round) if self.presence.living(p))
        return [
            *effects,
            e.Publish("round.started", {"round": self.round, "attempt": 0}),
            e.SetTimer(("training", self.round), now + PATIENCE * self.rules.deadline_s),
            e.Train(self.round, 0, None, self.rules.settings, to=there, whole=self.outbox.open()),
        ]

    def _open(self, number: int) -> list[e.Effect]:
        self.round = number
        self._unjudged = False
        self._untold = len(self.presence.here)
        effects: list[e.Effect] = []
        if self.fellows is not None:
            effects = self.fellows.open(number)
            self._look_around()
        self.letters.open(number)
        return effects

    def _trained(self, event: ev.Trained, now: float) -> list[e.Effect]:
        if self.status != "training" or event.round != self.round:
            return []
        self._loss = event.metrics.get("loss")
        effects: list[e.Effect] = [e.CancelTimer(("training", event.round)), *self._catch_up()]
        self._mine = event.body
        self.status = "waiting"
        self._trained_at, self._deadline_at = now, now + self.rules.deadline_s
        effects += self._send(event)
        effects.append(e.SetTimer(("deadline", self.round), self._deadline_at))
        return effects + self._close_if_ready()

    def _catch_up(self) -> list[e.Effect]:
        """While this peer trained, neighbors closed its round without it: join the round they are in."""
        ahead = [
            number
            for peer, held in self.letters.early.items()
            for number in held
            if self.around.overtaken(peer, number, self.round)
        ]
        joined = min(max(ahead, default=self.round), self.until)
        if joined <= self.round:
            return []
        missed = joined - self.round
        self._missed += missed
        reason = f"left behind by {missed} round(s); joining round {joined} with the model of round {self.round}"
        return [*self._open(joined), e.Publish("warning", {"reason": reason, "round": joined})]

    def _send(self, event: ev.Trained) -> list[e.Effect]:
        if self._expected is None:
            return []
        # Nothing is sent to the silent: it would only queue. They are sent to again as soon as they are heard.
        degree = self.around.degree if isinstance(self.around, DynamicNeighborhood) else 0
        there: list[str] = []
        for peer in self.around.to(self.round):
            if self.presence.living(peer):
                there.append(peer)
                self.traffic.sent(peer)
            else:
                self.outbox.lost(peer)
        common = ev.OutgoingModel(event.body, event.payload or self._expected, base=event.base)
        return self.outbox.send(event, common, self.round, there, degree)

    def _exchange(self, exchange: m.Exchange, event: ev.Arrived, now: float) -> list[e.Effect]:
        sender, number = event.sender, exchange.round
        if self._expected is None:
            self.letters.leave(event, exchange)
            return []
        fault = ("values", event.flaw) if event.flaw else exchange_fault(exchange, self._expected, self.rules)
        if fault:
            code, reason = fault
            refusal = m.Refused(about="exchange", round=number, code=code, reason=reason)
            return [e.Send((sender,), refusal), *self._reject(sender, number, reason)]
        before = self.letters.note(sender, number)
        self.presence.seen(sender, number)
        # In the round that is being mixed a message is as late as in one long past.
        if number < self.round or (number == self.round and self.status in ("mixing", "resting")):
            self.traffic.late(sender)
            if self.fellows is not None:
                late = number >= self._closed[0] - BEHIND
            else:
                late = number == self._closed[0] and now <= self._closed[1]
                late = late and before == self.around.before(sender, number)
            if late:
                # It keeps pace, and would be in time if it were waited for. Without this a peer that came back half a
                # round behind would stay so, and never be heard again.
                self.absent.discard(sender)
            return []
        effects: list[e.Effect] = []
        if sender not in self.around.sources(number):
            if self.fellows is not None and number == self.round:
                effects = self.fellows.missed(sender)
            if self.around.doubly and not self.rules.needs.mass:
                self.traffic.late(sender)  # it has been left behind, and sends to those of another round
                return effects
        self.traffic.received(sender, event.nbytes)
        self.absent.discard(sender)
        letter = ReceivedModel(exchange, event.body)
        if number > self.round:
            self.letters.keep(sender, letter)
            overtaken = self.status == "waiting" and self.around.overtaken(sender, number, self.round + 1)
            return self._close("overtaken") if overtaken else self._close_if_ready()
        self.letters.inbox.setdefault(sender, letter)
        return effects + self._close_if_ready()

    def _awaited(self) -> list[str]:
        """Whose model of this round may still come: not of one too far ahead, for it closed this one alone."""
        seen_in, departed = self.presence.seen_in, self.presence.departed
        return [
            p
            for p in self.around.sources(self.round)
            if p not in self.letters.inbox
            and p not in self.absent
            and departed.get(p, self.round) >= self.round
            and not self._far_ahead(p, seen_in.get(p, 0))
            and not self._passed_over(p)
            and p not in self._hung_up
            and (self.presence.living(p) or p in departed)
        ]

    def _late_for(self, peer: str) -> bool:
        """Whether it is this peer that is behind: whoever runs on alone then would leave the others behind in turn."""
        ahead = self._passed_over(peer) or self._far_ahead(peer, self.presence.seen_in.get(peer, 0))
        return self.fellows is not None and ahead

    def _passed_over(self, peer: str) -> bool:
        """Whether it has sent a later model, and so, as a lane keeps the order, none of this round."""
        return self.fellows is not None and max(self.letters.early.get(peer, ()), default=0) > self.round

    def _far_ahead(self, peer: str, number: int) -> bool:
        return number > self.round + 1 and self.around.overtaken(peer, number, self.round + 1)

    def _close_if_ready(self) -> list[e.Effect]:
        if self.status != "waiting" or self._awaited():
            return []
        complete = all(p in self.letters.inbox for p in self.around.sources(self.round))
        return self._close("all" if complete else "suspected")

    def _close(self, by: str) -> list[e.Effect]:
        self.status = "mixing"
        self._closed_by = by
        self._waited_s = self._now - self._trained_at
        self._closed = (self.round, self._deadline_at)
        inbox = self.letters.take()
        if self.fellows is not None and not self.rules.needs.mass:
            # An edge that was withdrawn after its model had come counts for neither end.
            inbox = {p: letter for p, letter in inbox.items() if p in self.around.sources(self.round)}
        self._missing = {p: self._why(p) for p in self.around.sources(self.round) if p not in inbox}
        if by != "overtaken":  # then it is this peer that was late
            self.absent |= {p for p in self._missing if not self._late_for(p)}
        self._alone = 0 if inbox or not self._missing else self._alone + 1
        if self._alone >= ALONE and self.fellows is not None:
            self.absent.clear()
        self._mixed_with = tuple(sorted(inbox))
        weights = self.around.weights(self.round, {p: letter.message.degree for p, letter in inbox.items()})
        mix = mix_of(self.round, self._mine, inbox, weights, self.rules)
        return [e.CancelTimer(("deadline", self.round)), mix]

    def _mixed(self, event: ev.Mixed, now: float) -> list[e.Effect]:
        number = event.round
        if self.status != "mixing" or number != self.round:
            return []
        self.completed = number
        self.weights = event.body
        fields: dict[str, Any] = {
            "round": number,
            "participants": list(self._mixed_with),
            "closed_by": self._closed_by,
            "duration_s": now - self._opened_at,
            "waiting_s": self._waited_s,
            "age": number - self._missed,
            "loss": self._loss,
            "missing": self._missing or None,
            "mass": event.metrics.get("mass"),
            "mass_out": event.metrics.get("mass_out"),
            "radius": event.metrics.get("radius"),
        }
        fields = {key: value for key, value in fields.items() if value is not None}
        effects: list[e.Effect] = [e.Publish("round.completed", fields)]
        last = number >= self.until
        effects += self.traffic.report(now, number, last=last)
        if event.wanted:
            reason = "it is relative to a copy that is not here; the whole is wanted"
            effects.append(e.Send(event.wanted, m.Refused("exchange", number, "base", reason)))
        if self.settled is not None:
            effects += self.keeping.completed(number, now, self.settled.agreement, last=last)
        if last or number % self.rules.evaluate_every == 0:
            self._told[number] = fields
            effects.append(e.Evaluate(number, self.rules.evaluate_on))
        else:
            effects.append(e.Completed(number, fields))
        return effects + self._next_round(now)

    def _evaluated(self, number: int, which: str, metrics: Mapping[str, Any]) -> list[e.Effect]:
        effects: list[e.Effect] = [e.Completed(number, {**self._told.pop(number, {}), **metrics})]
        if metrics:
            effects.append(
                e.Publish("metric.test" if which == "test" else "metric.local", {"round": number, **metrics})
            )
        return effects

    def _why(self, peer: str) -> str:
        if peer in self.presence.departed:
            return f"left after round {self.presence.departed[peer]}"
        if not self.presence.living(peer):
            return "silent"
        return "missed a round and has not caught up" if peer in self.absent else "no answer in time"

    # ------------------------------------------------------------------------------------------- who comes and goes

    def _known(self, peer: str) -> bool:
        return peer in self.around.ever or (self.fellows is not None and peer in self.fellows.members)

    def _among_fellows(self, event: ev.Event, now: float) -> list[e.Effect]:
        if self.fellows is None:
            return []
        effects: list[e.Effect] = []
        for told in self.fellows.handle(event, now):
            effects += self._changed(told, now) if isinstance(told, Change) else [told]
            if self.status == "finished":
                return effects
        before = self.presence.ring
        self._look_around()
        if before != self.presence.ring or (isinstance(event, ev.Arrived) and isinstance(event.message, m.Edge)):
            effects += self._close_if_ready()
        return effects

    def _look_around(self) -> None:
        if self.fellows is not None:
            self.around = self.fellows.around
            self.presence.ring = self.around.ever

    def _changed(self, change: Change, now: float) -> list[e.Effect]:
        """Act on what has become of a member; the graph is repaired already."""
        peer, told = change.peer, {"subject": change.peer, "reason": change.reason}
        match change.state:
            case "superseded":
                return self._superseded(change.reason)
            case "suspect" if self.presence.liveness.suspect(peer):
                return [e.Publish("node.suspect", told), *self._close_if_ready()]
            case "dead":
                self.presence.liveness.forget(peer)
                self.absent.discard(peer)
                return [e.Publish("node.lost", told), *self._close_if_ready()]
            case "left" if peer not in self.presence.departed:
                self.presence.leave(peer, change.last)
                return [e.Publish("node.left", told), *self._close_if_ready()]
            case "alive" | "restarted":
                self.presence.welcome(peer, now)
                self.outbox.lost(peer)  # it may hold no copy of what was sent before
                return [e.Publish("node.ready", told)]
            case _:
                return []

    def _superseded(self, reason: str) -> list[e.Effect]:
        self.superseded = True
        return self._fail(f"{self.rules.name} has been started again elsewhere, so this life of it ends: {reason}")

    def _ask_model(self, now: float) -> list[e.Effect]:
        return self.latecomer.ask([p for p in self._lives if self.presence.living(p)], now)

    def _offered(self, newcomer: str) -> list[e.Effect]:
        if self.settled is None or not self.completed:
            return []
        model = m.Model(self.completed, dict(self.settled.agreement), self.settled.payload)
        return [e.Send((newcomer,), model, self.weights)]

    def _taken_over(self, model: m.Model, event: ev.Arrived) -> list[e.Effect]:
        if self.status != "joining":
            return []
        if event.flaw:
            return self._reject(event.sender, model.round, f"the model to start from: {event.flaw}")
        return self.latecomer.take(model, event.body)

    def _joined(self, fellows: MembershipService, settled: ev.ModelReady, model: m.Model, now: float) -> list[e.Effect]:
        """Start from a neighbor's model, in the round after the one that it had completed."""
        fault = self.latecomer.fault(settled, self.until)
        if fault:
            return self._fail(fault)
        self.status = "resting"
        self.round = self.completed = model.round
        self.weights, self.latecomer.body = self.latecomer.body, None
        self.keeping.resumed(model.round)
        effects = [*fellows.begin(model.round), e.LoadWeights(self.weights)]
        self._look_around()
        effects += self._read_what_came_early(now)
        told = {"reason": f"joined late, with the model of round {model.round}", "round": model.round}
        return [*effects, e.Publish("warning", told), *self._next_round(now)]

    # ----------------------------------------------------------------------------------------------- time and failures

    def _timer(self, key: ev.Key, due: float, now: float) -> list[e.Effect]:
        match key:
            case ("join",) if self.status == "joining":
                limit = f"{self.rules.join_deadline_s:g} s"
                return self._fail(f"no peer of the run gave its model within {limit}, and this one has come late")
            case ("join",) if self.settled is None:
                missing = ", ".join(self.meeting.missing)
                limit = f"{self.rules.join_deadline_s:g} s"
                return self._fail(f"round 0 was not complete within {limit}: nothing was heard of {missing}")
            case ("pulse",):
                self.presence.liveness.extend_deadlines(max(0.0, now - due), now)
                return self._pulse(now)
            case ("review",):
                self.presence.liveness.extend_deadlines(max(0.0, now - due), now)
                return self._review(now)
            case ("training", number) if number == self.round and self.status == "training":
                limit = f"{PATIENCE * self.rules.deadline_s:g} s"
                return [e.CancelTraining(), *self._fail(f"the training of round {number} did not end within {limit}")]
            case ("deadline", number) if number == self.round and self.status == "waiting":
                return self._deadline(now)
            case _:
                return []

    def _pulse(self, now: float) -> list[e.Effect]:
        effects: list[e.Effect] = [e.SetTimer(("pulse",), now + self.rules.heartbeat_s)]
        if self.status == "joining":
            return effects + self._ask_model(now)
        turn, behind = self.presence.turn(), self.presence.behind
        # Where probes tell that a peer lives, heartbeats only tell how far it is.
        if self.fellows is None or self._untold > 0 or self.status in ("meeting", "waiting"):
            self._untold -= len(turn)
            effects.append(e.SendHeartbeat(turn, self.round if self.settled else 0, self.status))
        return effects + self.meeting.remind(tuple(p for p in turn if p in behind)) + self._review(now)

    def _review(self, now: float) -> list[e.Effect]:
        effects = self.presence.silent(now)
        return effects + (self._close_if_ready() if effects else [])

    def _deadline(self, now: float) -> list[e.Effect]:
        # While a model is still coming in, waiting is cheaper than doing without.
        moving = any(self.round in self.presence.moving.get(p, ()) for p in self._awaited())
        if moving and now < self._deadline_at + (PATIENCE - 1) * self.rules.deadline_s:
            return [e.SetTimer(("deadline", self.round), now + 2 * self.rules.heartbeat_s)]
        return self._close("deadline")

    def _undelivered(self, peer: str, tag: str, number: int, reason: str) -> list[e.Effect]:
        self.traffic.lost(peer)
        if tag == "exchange":
            self.outbox.lost(peer)
        told = f"{tag} of round {number} could not be sent: {reason}"
        return [e.Publish("warning", {"subject": peer, "reason": told})]

    def _reject(self, subject: str, number: int, reason: str) -> list[e.Effect]:
        self.traffic.rejected[reason] = self.traffic.rejected.get(reason, 0) + 1
        return [e.Publish("update.rejected", {"subject": subject, "round": number, "reason": reason})]

    def _work_ended(self, event: ev.WorkFailed | ev.Saved, now: float) -> list[e.Effect]:
        if isinstance(event, ev.Saved):
            return self.keeping.saved(event.round, now)
        if event.kind == "save state":
            return self.keeping.failed(event.round, now, event.reason)
        if event.kind == "evaluate":
            warning = e.Publish("warning", {"reason": f"evaluation of round {event.round} failed: {event.reason}"})
            return [warning, *self._evaluated(event.round, "test", {})]
        return self._fail(f"{event.kind} failed: {event.reason}")

    def _fail(self, reason: str) -> list[e.Effect]:
        self.status = "finished"
        return [e.Publish("run.failed", {"reason": reason}), e.Finish("failed", reason)]
