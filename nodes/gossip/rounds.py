"""The rounds of a peer: train, send, wait for the neighbors, mix (Lian et al. 2017, Algorithm 1, in that order)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nervenet.broker import messages as m

from ..runtime import effects as e
from ..runtime import events as ev
from ..runtime.printable import listed
from .checkpointing import CheckpointPolicy
from .inbox import Inbox, ReceivedModel, exchange_fault, mix_of, with_parts
from .isolation import Isolation
from .lifecycle import PATIENCE, PeerLifecycle
from .membership.service import MembershipService
from .neighbor_tracker import NeighborTracker
from .outbox import Outbox
from .rules import PeerRules
from .waiting import WaitPolicy


@dataclass(slots=True)
class OpenRound:
    trained: ev.Body = None
    clock: float = 0.0  # of the learning-rate schedule, after the training
    loss: float | None = None
    trained_at: float = 0.0
    deadline_at: float = 0.0
    waited_s: float = 0.0  # for the neighbors
    closed_by: str = ""
    participants: tuple[str, ...] = ()
    missing: dict[str, str] | None = None
    kept: list[str] | None = None  # of an all-reduce: whose parts are as they were,
    left_out: dict[str, list[str]] | None = None  # and who is not in the mean of whose

    def fields(self, event: ev.Mixed, now: float, opened_at: float, missed: int) -> dict[str, Any]:
        """Return what the event of the round says."""
        fields: dict[str, Any] = {
            "round": event.round,
            "participants": list(self.participants),
            "closed_by": self.closed_by,
            "duration_s": now - opened_at,
            "waiting_s": self.waited_s,
            "mixing_s": now - self.trained_at - self.waited_s,
            "age": event.round - missed,
            "loss": self.loss,
            "missing": self.missing or None,
            "kept": self.kept or None,
            "left_out": self.left_out or None,
            **_of_algorithm(event.metrics),
        }
        return {key: value for key, value in fields.items() if value is not None}


class GossipRounds:
    """Decides about the exchanges of a peer, in round `number`, after `completed`, up to `until`.

    Messages carry their round. Early ones are kept for the round they belong to; late ones are counted stale. A peer
    that sees a neighbor further ahead than it can be with everybody's messages (two rounds, where edges go both ways;
    or, while it trains, one) has been left behind, and joins that round with the model it has. One that went on alone
    goes back to the round of those it finds again.
    """

    def __init__(
        self,
        rules: PeerRules,
        membership: MembershipService,
        tracker: NeighborTracker,
        lifecycle: PeerLifecycle,
        checkpoints: CheckpointPolicy,
    ) -> None:
        self.rules = rules
        self.membership = membership
        self.tracker = tracker
        self.lifecycle = lifecycle
        self.checkpoints = checkpoints
        self.stats = lifecycle.stats
        self.inbox = Inbox(len(rules.members))
        self.outbox = Outbox(rules)
        self.isolation = Isolation(tracker.seen_in)
        self.waits = WaitPolicy(membership, tracker, self.inbox, self.isolation)
        self.number = 0
        self.completed = 0
        self.until = 0
        self.weights: ev.Body = None
        self.clock = 0.0  # how far the learning-rate schedule of `weights` has come
        self._expected: m.Payload | None = None
        self._open = OpenRound()
        self._unevaluated = False  # the round that was resumed after was the last one, and its metrics are not known
        self._missed = 0  # rounds that this peer has not trained in, less those that it has gone back by
        self._unannounced = 0  # heartbeats until all neighbors know of the round that this peer is in

    # ------------------------------------------------------------------------------------------------------ beginning

    def settle(self, event: ev.ModelReady) -> None:
        self.weights, self.clock = event.body, event.clock
        self._expected = with_parts(event.payload, self.rules.needs.parts)

    def resume(self, number: int, *, evaluate: bool) -> list[e.Effect]:
        """Go on after a round; `evaluate`: its model, should no more be asked for."""
        self.number = self.completed = number
        self._unevaluated = evaluate
        self.checkpoints.resumed(number)
        effects = self.membership.begin(number)
        self.tracker.ring = self.membership.neighborhood.ever
        return effects

    def unread(self, now: float) -> list[e.Effect]:
        return [effect for event, exchange in self.inbox.unread() for effect in self.arrived(event, exchange, now)]

    def next(self, now: float) -> list[e.Effect]:
        if self.number >= self.until:
            self.lifecycle.status = "resting"
            if not (self._unevaluated and self.until):
                return []
            self._unevaluated = False
            self.lifecycle.pending[self.number] = {}
            return [e.Evaluate(self.number, self.rules.evaluate_on)]
        if self.too_few:
            return self._wait(now)
        self._open = OpenRound()
        effects = [*self._come_back(), *self._enter(self.number + 1)]
        self.lifecycle.status = "training"
        self.lifecycle.opened_at = now
        there = tuple(p for p in self.membership.neighborhood.to(self.number) if self.tracker.living(p))
        return [
            *effects,
            e.Publish("round.started", {"round": self.number, "attempt": 0}),
            self.lifecycle.training_timer(("training", self.number), now),
            e.Train(self.number, 0, None, self.rules.settings, to=there, whole=self.outbox.open()),
        ]

    def _come_back(self) -> list[e.Effect]:
        """Go back to the round of the others, where this peer was alone and is far ahead of them.

        With the model it has: whatever the algorithm remembers stays sound, and nothing that was learned is lost.
        """
        there = tuple(peer for peer in self.membership.neighborhood.ever if self.tracker.living(peer))
        back = self.isolation.way_back(self.number, there, self.outbox.last_sent)
        if back is None:
            return []
        ahead, since = self.number - back, self.isolation.alone_since
        reason = (
            f"it is back from {ahead} round(s) that the others have not done, alone since round {since}: "
            f"joins {listed(there)} in round {back + 1} with the model of round {self.number}"
        )
        warning = e.Publish("warning", {"reason": reason, "round": back + 1})
        self._missed -= ahead
        self.number = self.completed = back
        self.checkpoints.resumed(back)
        return [*self.membership.go_back(back), e.SendHeartbeat(there, back, self.lifecycle.status), warning]

    @property
    def too_few(self) -> str:
        """Why no round may begin, as `min_peers` has it; empty where one may."""
        least = self.rules.min_peers
        if least <= 1 or (there := self.membership.count) >= least:  # this one is there
            return ""
        missing = ", ".join(self.membership.absent)
        named = f"; missing: {missing}" if missing else ""
        ways_out = "gossip.min_peers goes on with fewer, gossip.wait_deadline_s waits longer"
        return f"{there} of at least {least} peers are there{named} ({ways_out})"

    def _wait(self, now: float) -> list[e.Effect]:
        """Wait for peers to come back, but not forever."""
        self.lifecycle.status = "short"
        reason = f"round {self.number + 1} waits for peers: {self.too_few}"
        warning = e.Publish("warning", {"round": self.number + 1, "reason": reason})
        return [e.SetTimer(("wait",), now + self.rules.wait_deadline_s), warning]

    def _enter(self, number: int) -> list[e.Effect]:
        self.number = number
        self._unevaluated = False
        self._unannounced = len(self.tracker.here)
        effects = self.membership.open(number)
        self.tracker.ring = self.membership.neighborhood.ever
        self.inbox.open(number)
        return effects

    # -------------------------------------------------------------------------------------------------------- sending

    def trained(self, event: ev.Trained, now: float) -> list[e.Effect]:
        if self.lifecycle.status != "training" or event.round != self.number:
            return []
        open_ = self._open
        open_.trained, open_.clock, open_.loss = event.body, event.clock, event.metrics.get("loss")
        effects: list[e.Effect] = [e.CancelTimer(("training", event.round)), *self._catch_up()]
        self.lifecycle.status = "waiting"
        open_.trained_at, open_.deadline_at = now, now + self.rules.timing.deadline_s
        effects += self._send(event)
        effects.append(e.SetTimer(("deadline", self.number), open_.deadline_at))
        return effects + self.close_if_ready(now)

    def worked(self, event: ev.Trained | ev.Parts | ev.Reduced, now: float) -> list[e.Effect]:
        """Take what the worker has made; parts are made of a model where rounds are all-reduces."""
        return self.trained(event, now) if isinstance(event, ev.Trained) else []

    def reduces(self, event: ev.Arrived, now: float) -> list[e.Effect]:  # noqa: ARG002
        """Take a message of an all-reduce, where rounds are that."""
        return []

    def _catch_up(self) -> list[e.Effect]:
        """While this peer trained, neighbors closed its round without it: join the round they are in."""
        joined = self.waits.joined(self.number, self.until)
        if joined <= self.number:
            return []
        missed = joined - self.number
        self._missed += missed
        reason = f"left behind by {missed} round(s); joining round {joined} with the model of round {self.number}"
        said = self.waits.leave_out(self.number, joined)
        return [*said, *self._enter(joined), e.Publish("warning", {"reason": reason, "round": joined})]

    def _send(self, event: ev.Trained) -> list[e.Effect]:
        if self._expected is None:
            return []
        # Nothing is sent to the silent: it would only queue. They are sent to again as soon as they are heard.
        there: list[str] = []
        for peer in self.membership.neighborhood.to(self.number):
            if self.tracker.living(peer) and not self.isolation.apart_from(peer, self.number):
                there.append(peer)
                self.stats.sent(peer)
            else:
                self.outbox.lost(peer)
        common = ev.OutgoingModel(event.body, event.payload or self._expected, base=event.base)
        return self.outbox.send(event, common, self.number, there, self.membership.neighborhood.degree)

    def resend(self, peer: str) -> list[e.Effect]:
        """Send the model of the open round to a neighbor that is back while this peer waits: it waits for it, too."""
        if self.lifecycle.status != "waiting" or self.isolation.apart_from(peer, self.number):
            return []
        if peer not in self.membership.neighborhood.to(self.number) or not self.tracker.living(peer):
            return []
        effects, first = self.outbox.again(peer)
        if first:
            self.stats.sent(peer)
        return effects

    # ------------------------------------------------------------------------------------------------------ receiving

    def arrived(self, event: ev.Arrived, exchange: m.Exchange, now: float) -> list[e.Effect]:
        sender, number = event.sender, exchange.round
        if self._expected is None:
            self.inbox.leave(event, exchange)
            return []
        fault = ("values", event.flaw) if event.flaw else exchange_fault(exchange, self._expected, self.rules)
        if fault:
            code, reason = fault
            refusal = m.Refused(about="exchange", round=number, code=code, reason=reason)
            return [e.Send((sender,), refusal), *self.lifecycle.reject(sender, number, reason)]
        self.tracker.seen(sender, number)
        effects = self.membership.outdated(sender, number)
        # In the round that is being mixed a message is as late as in one long past.
        if number < self.number or (number == self.number and self.lifecycle.status in ("mixing", "resting", "short")):
            self.stats.late(sender)
            self.waits.late(sender, number)
            return effects
        neighborhood = self.membership.neighborhood
        effects = effects or self.membership.missed(sender)
        expected = self.membership.expects(sender, number, later=number > self.number)
        if not expected and neighborhood.doubly and not self.rules.needs.mass:
            self.stats.late(sender)  # it has been left behind, and sends to those of another round
            return effects
        self.stats.received(sender, event.nbytes)
        self.waits.absent.discard(sender)
        model = ReceivedModel(exchange, event.body)
        if number > self.number:
            self.inbox.keep(sender, model)
            overtaken = self.lifecycle.status == "waiting" and neighborhood.overtaken(sender, number, self.number + 1)
            return effects + (self._close("overtaken", now) if overtaken else self.close_if_ready(now))
        self.inbox.received.setdefault(sender, model)
        effects += self.resend(sender)  # it has come to this round since, and was sent nothing when it was far behind
        return effects + self.close_if_ready(now)

    def announced(self, sender: str, edge: m.Edge, now: float) -> list[e.Effect]:
        """Take note of the round that a neighbor will be in, and close this one if nothing of it is waited for now."""
        self.isolation.hears(sender, edge.round - 1)
        self.waits.announced(sender, edge.round if edge.degree else 0)
        return self.close_if_ready(now)

    # ---------------------------------------------------------------------------------------------- closing and mixing

    def close_if_ready(self, now: float) -> list[e.Effect]:
        if self.lifecycle.status != "waiting" or self.waits.awaited(self.number):
            return []
        if self.membership.cut_off(self.number):
            return self._close("alone", now)
        return self._close("all" if self.waits.complete(self.number) else "suspected", now)

    def deadline(self, now: float) -> list[e.Effect]:
        """Close the round, unless a model is still coming in: then waiting is cheaper than doing without."""
        moving = any(self.number in self.tracker.moving.get(p, ()) for p in self.waits.awaited(self.number))
        if moving and now < self._open.deadline_at + (PATIENCE - 1) * self.rules.timing.deadline_s:
            return [e.SetTimer(("deadline", self.number), now + 2 * self.rules.timing.heartbeat_s)]
        return self._close("deadline", now)

    def _close(self, by: str, now: float) -> list[e.Effect]:
        self.lifecycle.status = "mixing"
        open_, neighborhood = self._open, self.membership.neighborhood
        received = self.inbox.take()
        if not self.rules.needs.mass:
            # An edge that was withdrawn after its model had come counts for neither end.
            received = {p: model for p, model in received.items() if p in neighborhood.sources(self.number)}
        open_.closed_by, open_.waited_s = by, now - open_.trained_at
        open_.missing = self.waits.close(self.number, overtaken=by == "overtaken", present=received)
        open_.participants = tuple(sorted(received))
        said = self._declare(mixed=bool(received))
        weights = neighborhood.weights(self.number, {p: model.message.degree for p, model in received.items()})
        mix = mix_of(self.number, (open_.trained, open_.clock), received, weights, self.rules)
        return [e.CancelTimer(("deadline", self.number)), *said, mix]

    def _declare(self, *, mixed: bool) -> list[e.Effect]:
        """Say when this peer begins to go on without anybody, and when it mixes with others again."""
        there = any(map(self.tracker.living, self.membership.neighborhood.ever))
        turned = self.isolation.closed(self.number, mixed=mixed, there=there)
        if turned is None:
            return []
        lost = ", ".join(self.membership.missing or self.membership.neighborhood.sources(self.number)) or "all others"
        reason = f"cut off from {lost}: goes on alone" if turned else "mixes with others again"
        return [e.Publish("warning", {"round": self.number, "reason": f"{reason} from round {self.number} on"})]

    def mixed(self, event: ev.Mixed, now: float) -> list[e.Effect]:
        number = event.round
        if self.lifecycle.status != "mixing" or number != self.number:
            return []
        self.completed = number
        self.weights, self.clock = event.body, event.clock
        fields = self._open.fields(event, now, self.lifecycle.opened_at, self._missed)
        effects: list[e.Effect] = [e.Publish("round.completed", fields)]
        last = number >= self.until
        if last and self.isolation.alone_since:
            reason = f"ends alone: rounds {self.isolation.alone_since} to {number} were mixed with nobody"
            effects.append(e.Publish("warning", {"round": number, "reason": reason}))
        effects += self.stats.report(now, number, last=last)
        if event.wanted:
            reason = "it is relative to a copy that is not here; the whole is wanted"
            effects.append(e.Send(event.wanted, m.Refused("exchange", number, "base", reason)))
        if self.lifecycle.settled is not None:
            effects += self.checkpoints.completed(number, now, self.lifecycle.settled.agreement, last=last)
        if last or number % self.rules.evaluation.every == 0:
            self.lifecycle.pending[number] = fields
            effects.append(e.Evaluate(number, self.rules.evaluate_on))
        else:
            effects.append(e.Completed(number, fields))
        return effects + self.next(now)

    def heartbeat(self, to: tuple[str, ...]) -> list[e.Effect]:
        """Return a heartbeat, if neighbors need to know how far this peer is; that it lives, pings find out."""
        if self._unannounced <= 0 and self.lifecycle.status not in ("meeting", "waiting"):
            return []
        self._unannounced -= len(to)
        number = self.number if self.lifecycle.settled else 0
        return [e.SendHeartbeat(to, number, self.lifecycle.status)]


def _of_algorithm(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an algorithm tells of a mix beside its model, for the round's event."""
    return {"mass": told.get("mass"), "mass_out": told.get("mass_out"), "radius": told.get("radius")}
