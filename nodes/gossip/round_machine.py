"""The peer's machine for runs that go by rounds: who is there, what is agreed, and one round after the other.

Round 0 floods the surveys until every peer holds all; `GossipRounds` does the others. What is sent and what is made of
it is the algorithm's, in the worker. Pure: events and `now` in, effects out.
"""

from __future__ import annotations

from nervenet.broker import messages as m
from nervenet.broker.errors import see

from ..runtime import effects as e
from ..runtime import events as ev
from .all_reduce.rounds import rounds_of
from .checkpointing import CheckpointPolicy, pause_s
from .late_join import LateJoin, ModelOffer
from .lifecycle import PATIENCE, PeerLifecycle
from .membership.member_list import Change
from .membership.service import MembershipService
from .neighbor_tracker import NeighborTracker
from .rules import PeerRules
from .survey_flood import SurveyFlood

__all__ = ["PATIENCE", "PeerMachine", "PeerRules"]

UNREPORTED = {"heartbeat", "ping", "ack", "gossip", "shuffle", "edge", "get_model", "reduce_ready", "reduce_call"}
"""Of these it is not reported that they could not be sent: failure detection notices."""


class PeerMachine:
    """Decides what a peer does next.

    Membership's own messages stop there; of all others it only notes that their senders live. `status` is that of
    `PeerLifecycle`. `resumed` is the round after which it goes on, with all the others; None in a new run. Once
    `superseded` by a newer incarnation of its name, it must not leave in that name.
    """

    def __init__(self, rules: PeerRules, membership: MembershipService) -> None:
        self.rules = rules
        self.membership = membership
        self.tracker = NeighborTracker(membership.neighborhood.ever)
        flood = SurveyFlood.of(rules, membership.neighborhood.ever)
        self.lifecycle = PeerLifecycle(rules, flood, unit="round")
        self.stats = self.lifecycle.stats
        self.checkpoints = CheckpointPolicy(wanted=rules.keeps, held=rules.held, every_s=pause_s(rules.hosted))
        self.rounds = rounds_of(rules, membership, self.tracker, self.lifecycle, self.checkpoints)
        self.late_join = LateJoin(self.rounds, self.lifecycle, 4 * rules.timing.heartbeat_s)
        self.offer = ModelOffer(self.rounds, self.lifecycle)
        self.resumed: int | None = None
        self.superseded = False

    @property
    def status(self) -> str:
        return self.lifecycle.status

    @property
    def settled(self) -> ev.ModelReady | None:
        return self.lifecycle.settled

    @property
    def round(self) -> int:
        return self.rounds.number

    @property
    def completed(self) -> int:
        return self.rounds.completed

    @property
    def until(self) -> int:
        return self.rounds.until

    @property
    def weights(self) -> ev.Body:
        return self.rounds.weights

    @property
    def clock(self) -> float:
        """How far the learning-rate schedule of `weights` has come."""
        return self.rounds.clock

    # ------------------------------------------------------------------------------------------------------- events in

    def handle(self, event: ev.Event, now: float) -> list[e.Effect]:
        if self.status == "finished":
            return []
        if isinstance(event, ev.LinkLost) and self.lifecycle.cut(event.peer, self.membership.neighborhood.ever):
            self.rounds.outbox.cut(event.peer)
        effects = [] if self.membership.only_heard(event, now) else self._observe(event, now)
        if self.status == "finished":
            return effects
        return self.lifecycle.consented(effects + self._handle(event, now))

    def _handle(self, event: ev.Event, now: float) -> list[e.Effect]:
        match event:
            case ev.Started():
                return self._start(now)
            case ev.LinkUp(peer, _, incarnation):
                return self._connected(peer, incarnation, now)
            case ev.LinkLost(peer) if peer in self.tracker.departed:
                self.rounds.waits.disconnected.add(peer)
                return self.rounds.close_if_ready(now)
            case ev.Arrived(sender=sender) if self.knows(sender):
                return self._arrived(event, now) + self.rounds.reduces(event, now)
            case ev.TimerFired(key):
                return self._timer(key, now)
            case ev.Surveyed() | ev.NextQuestion() | ev.QuestionRefused():
                return self.lifecycle.asked(event, now, self.checkpoints.fields)
            case ev.ModelReady():
                return self._settled(event, now)
            case ev.Trained() | ev.Parts() | ev.Reduced():
                return self.rounds.worked(event, now)
            case ev.Mixed():
                return [*self.rounds.mixed(event, now), *self.offer.give()]
            case ev.Evaluated(number, which, metrics):
                return self.lifecycle.evaluated(number, which, metrics)
            case ev.Proceed(until):
                return self._proceed(until, now)
            case ev.Saved(number):
                return self.checkpoints.saved(number, now)
            case ev.WorkFailed("save state", number, _, reason):
                return self.checkpoints.failed(number, now, reason)
            case ev.WorkFailed():
                return self.lifecycle.work_failed(event)
            case ev.SendFailed(peer, tag, number, reason) if tag not in UNREPORTED:
                return self._send_failed(peer, tag, number, reason)
            case ev.MalformedMessage(sender, reason):
                return self.lifecycle.reject(sender, self.round, reason)
            case _:
                return []

    def _arrived(self, event: ev.Arrived, now: float) -> list[e.Effect]:
        sender = event.sender
        effects: list[e.Effect] = []
        if self.tracker.heard(sender):
            effects.append(e.Publish("node.ready", {"subject": sender, "reason": "heard again"}))
            effects += self.rounds.resend(sender)
        match event.message:
            case m.Exchange() as exchange:
                self.rounds.isolation.hears(sender, exchange.round)
                effects += self.rounds.arrived(event, exchange, now)
            case m.PeerSurvey() | m.PeerSurveys() as survey if self._in_round_zero:  # else all is agreed
                effects += self.lifecycle.survey_arrived(event, survey, 0, now)
            case m.CatchUp() as catch_up:
                effects += self.lifecycle.caught_up(event, catch_up, now)
                if catch_up.agreement is not None and self.status == "joining":
                    effects += self.late_join.ask((sender,), now, at_once=True)
            case m.Heartbeat(round=number, sending=sending):
                self.tracker.heartbeat(sender, number, tuple(sending))
                self.rounds.isolation.hears(sender, number)
                self.rounds.waits.seen(sender, number)
                effects += self.rounds.close_if_ready(now)
            case m.Goodbye(round=number, reason=reason):
                if sender not in self.tracker.departed:  # else others have said so already
                    effects.append(e.Publish("node.left", {"subject": sender, "reason": reason}))
                self.tracker.leave(sender, number)
                effects += self.lifecycle.left_early(sender, reason) or self.rounds.close_if_ready(now)
            case m.GetModel():
                effects += self.offer.asked(sender)
            case m.Model() as model:
                effects += self.late_join.arrived(event, model)
            case m.Edge() as edge:  # what it means for the graph, membership knows
                effects += self.rounds.announced(sender, edge, now)
            case m.Refused(about="exchange", code="base"):
                self.rounds.outbox.lost(sender)
            case m.Refused(about="hello", code="stale", reason=reason):
                # One member's word does not end this peer: its own newer incarnation, the broker or most others do.
                if self.membership.refused_by(sender):
                    return self._supersede(f"most others refuse it, {sender} because {reason}")
                effects.append(e.Publish("warning", {"subject": sender, "reason": f"{sender} refuses it: {reason}"}))
            case m.Refused(about=about, round=number, reason=reason) if about not in UNREPORTED:
                reason = f"{about} of round {number} was refused: {reason}"
                effects.append(e.Publish("warning", {"subject": sender, "reason": reason}))
            case _:  # one of those UNREPORTED: its sender had not had HELLO again, and will
                pass
        return effects

    # ----------------------------------------------------------------------------------------- round 0: meet and agree

    def _start(self, now: float) -> list[e.Effect]:
        if self.membership.late:
            self.lifecycle.status = "joining"
            return self.lifecycle.declined() or self.lifecycle.start_timers(now)
        # One that goes on from a previous incarnation has announced the run then.
        return self.lifecycle.start(now, announced=not self.checkpoints.held)

    def _connected(self, peer: str, incarnation: int, now: float) -> list[e.Effect]:
        restarted = self.tracker.connected(peer, incarnation)
        if not self.knows(peer):
            return []
        self.rounds.waits.disconnected.discard(peer)
        self.tracker.welcome(peer, restarted=restarted)
        effects: list[e.Effect] = [e.Forget(peer)] if restarted else []
        if restarted:
            self.rounds.inbox.forget(peer)
            self.rounds.outbox.renew(peer)
        if self.status == "joining":
            return effects + self._ask_model(now)
        if peer not in self.membership.neighborhood.ever:
            return effects + self.lifecycle.greet_in_tree(peer, restarted=restarted)
        effects += [] if restarted else self.rounds.resend(peer)
        return effects + self.lifecycle.greet(peer, restarted=restarted)

    @property
    def _in_round_zero(self) -> bool:
        return self.status == "meeting" or (self.status == "joining" and self.lifecycle.catching_up.following)

    def _settled(self, event: ev.ModelReady, now: float) -> list[e.Effect]:
        self.rounds.settle(event)
        if self.late_join.model is not None:
            return self.late_join.agreed(event, self.late_join.model, now)
        self.membership.gathered()
        completed = self.lifecycle.agreed(event, now)
        if event.round:
            self.resumed = event.round
            effects = self.rounds.resume(event.round, evaluate=True)
        else:
            effects = completed
        effects += self.rounds.unread(now)
        self.tracker.expect_all()
        effects += self.rounds.next(now)
        # All at once, for this once: they would go on telling what they know.
        if self.round and len(self.tracker.here) > len(self.tracker.turn()):
            effects.append(e.SendHeartbeat(self.tracker.here, self.round, self.status))
        return effects

    def _proceed(self, until: int, now: float) -> list[e.Effect]:
        self.rounds.until = self.membership.until = max(self.until, until)
        failed = self.late_join.check()  # it may have joined before it was asked to
        return failed or (self.rounds.next(now) if self.status == "resting" else [])

    # ------------------------------------------------------------------------------------------- who comes and goes

    def knows(self, peer: str) -> bool:
        """Whether a node is a member, or is or may become a neighbor."""
        return peer in self.membership.members or peer in self.membership.neighborhood.ever

    def _observe(self, event: ev.Event, now: float) -> list[e.Effect]:
        if isinstance(event, ev.LinkLost) and not self.knows(event.peer):
            self.tracker.disconnected(event.peer)
        effects: list[e.Effect] = []
        for each in self.membership.handle(event, now):
            effects += self._changed(each, now) if isinstance(each, Change) else [each]
            if self.status == "finished":
                return effects
        if self.status == "short" and not self.rounds.too_few:
            effects += [e.CancelTimer(("wait",)), *self.rounds.next(now)]
        before, self.tracker.ring = self.tracker.ring, self.membership.neighborhood.ever
        if before != self.tracker.ring or (isinstance(event, ev.Arrived) and isinstance(event.message, m.Edge)):
            effects += self.rounds.close_if_ready(now)
        return effects

    def _changed(self, change: Change, now: float) -> list[e.Effect]:
        peer, fields = change.peer, {"subject": change.peer, "reason": change.reason}
        match change.state:
            case "superseded":
                return self._supersede(change.reason)
            case "suspect" if self.tracker.suspect(peer):
                return [e.Publish("node.suspect", fields), *self.rounds.close_if_ready(now)]
            case "dead":
                self.tracker.lose(peer)
                self.rounds.outbox.gone(peer)
                self.rounds.waits.absent.discard(peer)
                return [e.Publish("node.lost", fields), *self.rounds.close_if_ready(now)]
            case "left" if peer not in self.tracker.departed:
                self.tracker.leave(peer, change.last)
                return [e.Publish("node.left", fields), *self.rounds.close_if_ready(now)]
            case "alive" | "restarted":
                # Who is found again, neighbor or not, is told where this peer is: see `WaitPolicy.joined`.
                found, restarted = self.tracker.find(peer), change.state == "restarted"
                self.tracker.welcome(peer, restarted=restarted)
                self.rounds.outbox.lost(peer)  # it may hold no copy of what was sent before
                told = found and self.membership.in_touch(peer)
                here = [e.SendHeartbeat((peer,), self.round, self.status)] if told else []
                again = [] if restarted else self.rounds.resend(peer)
                return [e.Publish("node.ready", fields), *here, *again]
            case _:
                return []

    def _supersede(self, reason: str) -> list[e.Effect]:
        self.superseded = True
        return self.lifecycle.fail(
            f"{self.rules.name} has been started again elsewhere, so this incarnation of it ends: {reason}"
        )

    def _ask_model(self, now: float) -> list[e.Effect]:
        return self.late_join.ask([p for p in self.tracker.incarnations if self.tracker.living(p)], now)

    # ----------------------------------------------------------------------------------------------- time and failures

    def _timer(self, key: ev.Key, now: float) -> list[e.Effect]:
        match key:
            case ("join",) if self.status == "joining":
                limit = f"{self.rules.timing.join_deadline_s:g} s"
                reason = f"no peer of the run gave its model within {limit}, and this one has come late"
                return self.lifecycle.fail(reason)
            case ("join",) if self.settled is None:
                return self.lifecycle.join_expired()
            case ("wait",) if self.status == "short":
                waited = f"round {self.round + 1} waited {self.rules.wait_deadline_s:g} s for peers"
                return self.lifecycle.fail(f"{waited}: {self.rounds.too_few}{see('too-few-nodes')}")
            case ("pulse",):
                return self._pulse(now)
            case ("spread",):
                return self.lifecycle.spread()
            case ("training", number) if number == self.round and self.status == "training":
                return self.lifecycle.training_expired(self.round)
            case ("deadline", number) if number == self.round and self.status == "waiting":
                return self.rounds.deadline(now)
            case _:
                return []

    def _pulse(self, now: float) -> list[e.Effect]:
        effects: list[e.Effect] = [e.SetTimer(("pulse",), now + self.rules.timing.heartbeat_s)]
        if self.status == "joining":
            behind = self.lifecycle.flood.neighbors if self.lifecycle.catching_up.following else ()
            return effects + self._ask_model(now) + self.lifecycle.flood.remind(behind)
        turn = self.tracker.turn()
        effects += self.rounds.heartbeat(turn)
        return effects + self.lifecycle.remind(tuple(p for p in turn if p in self.tracker.behind))

    def _send_failed(self, peer: str, tag: str, number: int, reason: str) -> list[e.Effect]:
        self.stats.lost(peer)
        if self.lifecycle.unsent(peer, tag):
            return []
        if tag == "exchange":
            self.rounds.outbox.lost(peer)
        reason = f"{tag} of round {number} could not be sent: {reason}"
        return [e.Publish("warning", {"subject": peer, "reason": reason})]
