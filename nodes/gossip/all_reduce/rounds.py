"""The rounds of a peer that all-reduces: train, be called, send each owner its part, mean one's own, gather all.

A round that is whole leaves the same bits with all that were called to it, for each part is made by one peer alone. It
is whole if every owner's part came. A sender that fails is left out of the parts that it did not reach, and their
owners say so; where an owner fails, each peer keeps what it had there (Ryabinin et al. 2021). The next whole round
brings all together again.
"""

from __future__ import annotations

from nervenet.broker import messages as m

from ...runtime import effects as e
from ...runtime import events as ev
from ..checkpointing import CheckpointPolicy
from ..lifecycle import PATIENCE, PeerLifecycle
from ..membership.service import MembershipService
from ..neighbor_tracker import NeighborTracker
from ..rounds import GossipRounds
from ..rules import PeerRules
from .exchange import Contribution, EarlyParts, Exchange, Part
from .rendezvous import Rendezvous, round_of

GATHERING = 0.5  # of the deadline: how long those that are ready wait for others to be
LATE = "no answer in time"


class AllReduceRounds(GossipRounds):
    """Decides about the all-reduces of a peer; beginning, ending and reporting a round are as under gossip.

    Peers that have trained tell all others, and one of them calls all to one all-reduce: a round, and a group by which
    the parts are laid out. Whom nobody calls goes on with its own model at the deadline.
    """

    def __init__(
        self,
        rules: PeerRules,
        membership: MembershipService,
        tracker: NeighborTracker,
        lifecycle: PeerLifecycle,
        checkpoints: CheckpointPolicy,
    ) -> None:
        super().__init__(rules, membership, tracker, lifecycle, checkpoints)
        founders = () if membership.late else rules.members
        self.rendezvous = Rendezvous(rules.name, founders, rules.timing.heartbeat_s)
        self.exchange: Exchange | None = None  # that this peer is in
        self._calls: dict[str, tuple[int, int]] = {}  # the last of each caller that was heard of
        self._early = EarlyParts()
        self._examples = 0
        self._exchanges = self._called = 0  # how many this peer has been in, and has called

    def worked(self, event: ev.Trained | ev.Parts | ev.Reduced, now: float) -> list[e.Effect]:
        if isinstance(event, ev.Trained):
            return self.trained(event, now)
        exchange = self.exchange
        if self.lifecycle.status != "waiting" or exchange is None or event.number != exchange.number:
            return []  # the round has closed without it: the others do without this part, as this peer does
        return self._split(exchange, event, now) if isinstance(event, ev.Parts) else self._reduced(exchange, event, now)

    def reduces(self, event: ev.Arrived, now: float) -> list[e.Effect]:
        match event.message:
            case m.ReduceReady(round=number):
                self.isolation.hears(event.sender, number)
                self.rendezvous.add(event.sender, number, now)
                return self.close_if_ready(now)
            case m.ReduceCall() as call:
                return self._take_call(event.sender, call, now)
            case m.ReducePart() | m.ReducedPart() as part:
                return self._part(event.sender, Part(part, event.body, event.nbytes), event.flaw, now)
            case m.Refused(about="reduce_call", round=number):
                return self._declined(event.sender, number, now)
        return []

    # -------------------------------------------------------------------------------------------------------- meeting

    def trained(self, event: ev.Trained, now: float) -> list[e.Effect]:
        if self.lifecycle.status != "training" or event.round != self.number:
            return []
        open_ = self._open
        open_.trained, open_.clock, open_.loss = event.body, event.clock, event.metrics.get("loss")
        open_.trained_at, open_.deadline_at = now, now + self.rules.timing.deadline_s
        self.lifecycle.status, self._examples = "waiting", event.examples
        self.rendezvous.add(self.rules.name, self.number, now)
        return [e.CancelTimer(("training", event.round)), *self._remind(now)]

    def close_if_ready(self, now: float) -> list[e.Effect]:
        """Go on as far as what has come, and who is there, allow."""
        if self.lifecycle.status != "waiting":
            return []
        return self._call(now) if self.exchange is None else self._proceed(self.exchange, now)

    def _remind(self, now: float) -> list[e.Effect]:
        """Say to all that this peer waits, and say it again until it is called."""
        effects = self._call(now)
        if self.exchange is not None or self.lifecycle.status != "waiting":
            return effects
        again = min(now + self.rules.timing.heartbeat_s, self._open.deadline_at)
        return [e.SetTimer(("deadline", self.number), again), *self._say_ready(self.number)]

    def _say_ready(self, number: int) -> list[e.Effect]:
        present = sorted(self._present())
        return [e.Send(present, m.ReduceReady(number))] if present else []

    def _present(self) -> set[str]:
        """Return which others may be called, and may call."""
        return {
            peer
            for peer in self.membership.members.in_state("alive", "suspect")
            if peer not in self.tracker.departed and not self.isolation.apart_from(peer, self.number)
        }

    def _call(self, now: float) -> list[e.Effect]:
        """Call those that are ready, if it is this peer that does, and time."""
        waiting = self.rendezvous.due(self._present(), now, GATHERING * self.rules.timing.deadline_s)
        if not waiting:
            return []
        name, number = self.rules.name, round_of(waiting)
        group = tuple(sorted(peer for peer, its in waiting.items() if its <= number))
        self.rendezvous.called(group, number, now)
        self._called += 1
        call = m.Call(name, self.membership.members.me.incarnation, self._called)
        others = [peer for peer in group if peer != name]
        sent: list[e.Effect] = [e.Send(others, m.ReduceCall(number, call, group))] if others else []
        return sent + (self._join(number, call, group, now) if name in group else [])  # else it is far ahead of them

    def _take_call(self, sender: str, message: m.ReduceCall, now: float) -> list[e.Effect]:
        group, call, name = message.group, message.call, self.rules.name
        if call.leader != sender or name not in group or list(group) != sorted(set(group)):
            reason = "a call must be the sender's own, and its group in name order, with this peer in it"
            return self.lifecycle.reject(sender, message.round, reason)
        if (call.incarnation, call.number) <= self._calls.get(sender, (0, 0)):
            return []
        self._calls[sender] = call.incarnation, call.number
        waits = self.lifecycle.status == "waiting" and self.exchange is None
        if waits and self.number <= message.round <= max(self.until, self.number):
            self.rendezvous.called(group, message.round, now)
            return self._join(message.round, call, group, now)
        reason = f"it is {self.lifecycle.status} in round {self.number}"
        others = tuple(peer for peer in group if peer != name)
        return [e.Send(others, m.Refused("reduce_call", message.round, "stale", reason))]

    def _join(self, number: int, call: m.Call, group: tuple[str, ...], now: float) -> list[e.Effect]:
        """Enter an all-reduce, of this round or of one that the others are in already."""
        assert self._expected is not None  # noqa: S101  (nobody is ready before)
        effects: list[e.Effect] = []
        if number > self.number:
            missed = number - self.number
            self._missed += missed
            reason = f"left behind by {missed} round(s); joining round {number} with the model of round {self.number}"
            effects = [e.CancelTimer(("deadline", self.number)), *self._enter(number)]
            effects.append(e.Publish("warning", {"reason": reason, "round": number}))
        if len(group) == 1:
            return effects + self._close("alone", now)
        self._exchanges += 1
        mine = Contribution(self._open.trained, self._examples, self._open.clock)
        self.exchange = exchange = Exchange(self._exchanges, call, number, group, self.rules.name, self._expected, mine)
        if not self.rendezvous.stands(group, number):  # the refusal has overtaken the call
            return effects + self._abandon(now)
        halfway = now + (self._open.deadline_at - now) / 2
        effects.append(e.SetTimer(("deadline", self.number), halfway))
        return [*effects, e.Split(exchange.number, mine.body, exchange.ends)]

    def _declined(self, sender: str, number: int, now: float) -> list[e.Effect]:
        """Take note that one of the group had not been ready: then all of it wait to be called again."""
        self.rendezvous.refused(sender, number)
        exchange = self.exchange
        if exchange is None or number != self.number or sender not in exchange.others:
            return []
        return self._abandon(now) if self.lifecycle.status == "waiting" else []

    def _abandon(self, now: float) -> list[e.Effect]:
        self.exchange = None
        self.rendezvous.abandoned()
        self.rendezvous.add(self.rules.name, self.number, now)
        return self._remind(now)

    # ------------------------------------------------------------------------------------- reduce-scatter, all-gather

    def _split(self, exchange: Exchange, event: ev.Parts, now: float) -> list[e.Effect]:
        """Send each owner its part, and take what has come before."""
        exchange.split(event.bodies)
        self._look_for_gone(exchange)
        effects = self._counted([exchange.part_for(owner) for owner in exchange.others])
        for sender, part in self._early.take(exchange.call):
            effects += self._take(exchange, sender, part)
        return effects + self._proceed(exchange, now)

    def _reduced(self, exchange: Exchange, event: ev.Reduced, now: float) -> list[e.Effect]:
        """Send the mean of one's own part to all."""
        exchange.reduced(event.body)
        self._look_for_gone(exchange)
        return self._counted([exchange.result_for(exchange.others)]) + self._proceed(exchange, now)

    def _counted(self, sends: list[e.Send | None]) -> list[e.Effect]:
        effects: list[e.Effect] = [send for send in sends if send is not None]
        for send in sends:
            for peer in () if send is None else send.to:
                self.stats.sent(peer)
        return effects

    def resend(self, peer: str) -> list[e.Effect]:
        """Send again what was on its way to one whose connection had ended, or that was silent."""
        cut, exchange = self.outbox.mended(peer), self.exchange
        if self.lifecycle.status != "waiting" or not self.tracker.living(peer):
            return []
        if exchange is None:
            return [e.Send((peer,), m.ReduceReady(self.number))] if peer in self._present() else []
        if not cut or peer not in exchange.others or not exchange.parts:
            return []
        return self._counted([exchange.part_for(peer), exchange.result_for((peer,))])

    def _part(self, sender: str, part: Part, flaw: str | None, now: float) -> list[e.Effect]:
        call, exchange = part.message.call, self.exchange
        if exchange is None or call != exchange.call:
            over = (call.incarnation, call.number) <= self._calls.get(
                call.leader, (0, 0)
            ) or call.leader == self.rules.name
            if over or flaw:
                self.stats.late(sender)
            else:
                self._early.keep(sender, part)
            return []
        if flaw:
            exchange.gone.setdefault(sender, flaw)
            return [*self._refuse(sender, part, "values", flaw), *self.close_if_ready(now)]
        if not exchange.parts:
            self._early.keep(sender, part)
            return []
        return [*self._take(exchange, sender, part), *self.close_if_ready(now)]

    def _take(self, exchange: Exchange, sender: str, part: Part) -> list[e.Effect]:
        fault = exchange.take(sender, part)
        if fault:
            return self._refuse(sender, part, *fault)
        self.tracker.seen(sender, exchange.round)
        self.stats.received(sender, part.nbytes)
        return []

    def _refuse(self, sender: str, part: Part, code: str, reason: str) -> list[e.Effect]:
        about, number = m.tag_of(part.message), part.message.round
        return [
            e.Send((sender,), m.Refused(about, number, code, reason)),
            *self.lifecycle.reject(sender, number, reason),
        ]

    # ---------------------------------------------------------------------------------------------- closing and mixing

    def _proceed(self, exchange: Exchange, now: float) -> list[e.Effect]:
        if not exchange.parts:
            return []
        self._look_for_gone(exchange)
        asked = exchange.reduce()
        if asked is not None:
            return [asked]
        if exchange.complete:
            return self._close("suspected" if exchange.missing(LATE) else "all", now)
        return []

    def _look_for_gone(self, exchange: Exchange) -> None:
        """Expect nothing more of the dead; what one that left after this round has sent comes until it disconnects."""
        for peer in exchange.others:
            last, known = self.tracker.departed.get(peer), self.membership.members.known.get(peer)
            if last is not None and (last < self.number or peer in self.waits.disconnected):
                exchange.gone.setdefault(peer, f"left after round {last}")
            elif last is None and known is not None and known.state == "dead":
                exchange.gone.setdefault(peer, "silent")

    def deadline(self, now: float) -> list[e.Effect]:
        """Do without what has not come, unless it is coming in: halfway in one's own part, then in the others'."""
        exchange, open_ = self.exchange, self._open
        if exchange is None and now < open_.deadline_at:
            return self._remind(now)
        if exchange is None:
            return [*self._say_ready(0), *self._close("deadline", now)]
        moving = any(self.number in self.tracker.moving.get(peer, ()) for peer in exchange.others)
        if moving and now < open_.deadline_at + (PATIENCE - 1) * self.rules.timing.deadline_s:
            return [e.SetTimer(("deadline", self.number), now + 2 * self.rules.timing.heartbeat_s)]
        if now >= open_.deadline_at or not exchange.parts:
            return self._close("deadline", now)
        exchange.gone |= dict.fromkeys(exchange.unsent, LATE)
        return [e.SetTimer(("deadline", self.number), open_.deadline_at), *self._proceed(exchange, now)]

    def _close(self, by: str, now: float) -> list[e.Effect]:
        self.lifecycle.status = "mixing"
        self.rendezvous.add(self.rules.name, 0, now)
        open_, exchange = self._open, self.exchange
        others: tuple[str, ...] = ()
        if exchange is None:
            missing = dict.fromkeys(sorted(self._present()), "was not ready in time")
            gather = e.Gather(self.number, [open_.trained], open_.clock)
        else:
            outside = sorted(self._present().difference(exchange.group))
            missing = {**dict.fromkeys(outside, "was not ready in time"), **exchange.missing(LATE)}
            gather, others = exchange.gather(), exchange.others
            open_.kept, open_.left_out = exchange.unreduced, exchange.left_out
        open_.participants = tuple(peer for peer in others if peer not in missing)
        open_.closed_by, open_.waited_s, open_.missing = by, now - open_.trained_at, missing
        said = self._declare(mixed=bool(open_.participants))
        return [e.CancelTimer(("deadline", self.number)), *said, gather]

    def mixed(self, event: ev.Mixed, now: float) -> list[e.Effect]:
        self.exchange = None
        return super().mixed(event, now)


def rounds_of(
    rules: PeerRules,
    membership: MembershipService,
    tracker: NeighborTracker,
    lifecycle: PeerLifecycle,
    checkpoints: CheckpointPolicy,
) -> GossipRounds:
    """Return the rounds that the algorithm of a peer has."""
    kind = AllReduceRounds if rules.needs.reduces else GossipRounds
    return kind(rules, membership, tracker, lifecycle, checkpoints)
