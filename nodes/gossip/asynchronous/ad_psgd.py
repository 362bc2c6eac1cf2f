"""The peer's machine of asynchronous pairwise averaging: AD-PSGD (Lian, Zhang, Zhang & Liu 2018, arXiv 1710.06952,
Algorithm 1).

A peer trains without a pause, and concurrently takes the mean of its model and a neighbor's. What a training has
changed is added to the model as it is by then: x <- mean - η g, with g taken at an older model, as in the paper.

**No deadlock, on any graph.** The paper lets peers block while they average, and so needs a bipartite graph. Here
nobody does. A proposal is answered at once, by accepting or by "busy", whatever the answering peer is waiting for
itself: so nobody waits for one who waits. The proposer alone decides, so it can let go whenever its patience is over;
who has accepted cannot undo that, but is free for others after its own patience. Each wait ends by a timer of the one
who waits, and no training waits at all.

**No livelock.** Two who propose to each other would both be busy forever: there the smaller name goes on and the other
gives way, so that one of every such pair comes about. In longer circles everybody may be refused; each then asks
another neighbor, in an order of its own drawn anew every cycle, and gives up after the last one. A cycle costs at most
as many proposals as there are neighbors, and goes on in any case.

**Both or neither.** A proposal has a number. Both sides take half of the same difference, of the models as they stood
in `Propose` and `Accept`: the sum of the two models is kept, whatever either has learned meanwhile and whenever it
hears of the decision. The decision is made once, in one place, remembered until it is known to have been heard, and
asked for until it is. Only a crash can come between: then the one that is left says so by name.

**Bounded staleness.** At most `max_staleness` averages change a model while one training runs, accepted ones that may
still be decided included; and an answer that is older than as many of the proposer's cycles is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from nervenet.broker import messages as m
from nervenet.models.rng import generator

from ...config.ranges import Count, Positive
from ...runtime import effects as e
from ...runtime import events as ev
from ..rules import PeerRules
from .accumulator import Accumulator
from .machine import AsyncPeerMachine


@dataclass(frozen=True)
class AdPsgd:
    """AD-PSGD (Lian et al. 2018): arguments under ``[gossip]``."""

    directed: ClassVar[bool] = False
    varying: ClassVar[bool] = False

    # averages that may change a model while it trains; few: more is refused
    max_staleness: Count = 16
    # how long a proposal, or an accepted one, keeps a peer from others; well above a round trip
    patience_s: Positive = 1.0

    def machine(self, rules: PeerRules) -> AdPsgdMachine:
        return AdPsgdMachine(rules, self)


@dataclass(frozen=True, slots=True)
class Proposal:
    peer: str
    number: int
    mine: ev.Body
    clock: float
    cycle: int
    since: float


@dataclass(frozen=True, slots=True)
class Accepted:
    """A proposal that this peer has accepted, and whose decision it does not know."""

    number: int
    mine: ev.Body
    theirs: ev.Body
    apart: float  # half of what the clocks of the two models differ by
    since: float


class AdPsgdMachine(AsyncPeerMachine):
    """Decides what a peer of AD-PSGD does next.

    It has at most one open `proposal`; `accepted` has those it has accepted, by the proposer, of which `busy_with`
    names the one that keeps it from others.
    """

    def __init__(self, rules: PeerRules, arguments: AdPsgd) -> None:
        super().__init__(rules)
        self.max_staleness = arguments.max_staleness
        self.patience_s = arguments.patience_s
        self.accumulator = Accumulator()
        self.proposal: Proposal | None = None
        self.accepted: dict[str, Accepted] = {}
        self.busy_with: str | None = None
        self._number = rules.incarnation
        self._first = rules.incarnation + 1  # of this incarnation
        self._taken: dict[str, set[int]] = {}  # decided so, and not known to have been heard
        self._heard: dict[str, int] = {}  # the last proposal of a neighbor's that is over here
        self._order: list[str] = []  # neighbors that are still to be asked in this cycle
        self._start_body: ev.Body = None
        self._clock = 0.0  # of the learning-rate schedule: it belongs to the model, and is averaged with it
        self._start_clock = 0.0
        self._averaged = 0  # averages taken since this training began
        self._with: list[str] = []
        self._result: ev.Trained | None = None  # of a training whose end is not in the model yet

    @property
    def weights(self) -> ev.Body:
        return self.accumulator.body

    @property
    def clock(self) -> float:
        return self._clock

    def _ready(self, settled: ev.ModelReady) -> None:
        self.accumulator.body, self._clock = settled.body, settled.clock

    # ---------------------------------------------------------------------------------------------------------- cycles

    def _begin(self, now: float) -> list[e.Effect]:
        self.cycle += 1
        self._start_body, self._start_clock, self._averaged = self.accumulator.body, self._clock, 0
        living = self.neighbors.living
        order = generator(self.rules.seed, self.rules.name, self.cycle, "partner").permutation(len(living))
        self._order = [living[i] for i in order]
        return [*self._train(self.cycle, self._start_body, now, self._clock), *self._propose(now)]

    def _trained(self, event: ev.Trained, now: float) -> list[e.Effect]:
        if self.status != "training" or event.round != self.cycle or self._result is not None:
            return []
        self._result = event
        self._clock = max(0.0, self._clock + event.clock - self._start_clock)
        return [*self.accumulator.moved(self._start_body, event.body), *self._end_cycle(now)]

    def _combined(self, event: ev.Combined, now: float) -> list[e.Effect]:
        return [*self.accumulator.combined(event.number, event.body), *self._end_cycle(now)]

    def _end_cycle(self, now: float) -> list[e.Effect]:
        result = self._result
        if result is None or not self.accumulator.settled:
            return []
        self._result = None
        participants, self._with = sorted(set(self._with)), []
        effects = self._complete(now, participants, result.metrics.get("loss"), self._averaged)
        return effects + self._next(now)

    # ------------------------------------------------------------------------------------------------------- proposing

    def _room(self) -> bool:
        """Whether one more average would leave the training that runs within the bound."""
        if self.status != "training":
            return True
        return self._averaged + len(self.accepted) + (self.proposal is not None) < self.max_staleness

    def _propose(self, now: float) -> list[e.Effect]:
        if self.proposal or self.busy_with or self._closing or self.settled is None or not self._room():
            return []
        while self._order:
            peer = self._order.pop(0)
            if not self.neighbors.detector.living(peer) or peer in self.neighbors.departed:
                continue
            self._number += 1
            self.proposal = Proposal(peer, self._number, self.accumulator.body, self._clock, self.cycle, now)
            self.stats.sent(peer)
            return [
                e.Send((peer,), m.Propose(self._number, self.settled.payload, self._clock), self.accumulator.body),
                e.SetTimer(("proposal", self._number), now + self.patience_s),
            ]
        return []

    def _decide(self, outcome: Literal["taken", "dropped"]) -> list[e.Effect]:
        """Decide on one's own proposal, permanently."""
        proposal, self.proposal = self.proposal, None
        if proposal is None:
            return []
        if outcome == "taken":
            self._taken.setdefault(proposal.peer, set()).add(proposal.number)
        return [
            e.CancelTimer(("proposal", proposal.number)),
            e.Send((proposal.peer,), m.Decision(proposal.number, outcome)),
        ]

    def _answered(self, event: ev.Arrived, accept: m.Accept, now: float) -> list[e.Effect]:
        sender, proposal = event.sender, self.proposal
        # It accepts only when it has heard of everything before.
        self._taken[sender] = {n for n in self._taken.get(sender, ()) if n >= accept.number}
        if proposal is None or (proposal.peer, proposal.number) != (sender, accept.number):
            self.stats.late(sender)
            return self._remind(sender, accept.number)
        fault = self._unfit(event, accept.payload)
        if fault:
            refusal = [*self._refuse(sender, "accept", 0, *fault), *self._reject(sender, fault[1])]
            return [*refusal, *self._decide("dropped"), *self._propose(now)]
        self.stats.received(sender, event.nbytes)
        if self.cycle - proposal.cycle > self.max_staleness:
            self.stats.late(sender)
            return [*self._decide("dropped"), *self._propose(now)]
        effects = self._decide("taken")
        self._order = []  # this cycle's average has come about
        apart = (accept.clock - proposal.clock) / 2
        return effects + self._average(sender, proposal.mine, event.body, apart)

    def _remind(self, peer: str, number: int) -> list[e.Effect]:
        if self.proposal and self.proposal.number == number:
            return []
        known = self._first <= number <= self._number
        outcome: Literal["taken", "dropped", "unknown"] = "dropped" if known else "unknown"
        return [e.Send((peer,), m.Decision(number, "taken" if number in self._taken.get(peer, ()) else outcome))]

    def _average(self, peer: str, mine: ev.Body, theirs: ev.Body, apart: float) -> list[e.Effect]:
        self._averaged += 1
        self._clock = max(0.0, self._clock + apart)
        self._with.append(peer)
        return self.accumulator.averaged(mine, theirs, first=self.rules.name < peer)

    # ------------------------------------------------------------------------------------------------------- answering

    def _message(self, event: ev.Arrived, now: float) -> list[e.Effect]:
        sender = event.sender
        match event.message:
            case m.Propose() as propose:
                return self._proposed(event, propose, now)
            case m.Accept() as accept:
                return self._answered(event, accept, now)
            case m.Decision(number, outcome):
                return self._decided(sender, number, outcome, now)
            case m.QueryDecision(number):
                return self._remind(sender, number)
            case m.Receipt(number):
                self._taken.get(sender, set()).discard(number)
                return []
            case m.Refused(about="propose", round=number, code=code, reason=reason):
                if self.proposal is None or (self.proposal.peer, self.proposal.number) != (sender, number):
                    return []
                self.proposal = None
                warning = [] if code == "busy" else [e.Publish("warning", {"subject": sender, "reason": reason})]
                return [e.CancelTimer(("proposal", number)), *warning, *self._propose(now)]
            case _:
                return []

    def _proposed(self, event: ev.Arrived, propose: m.Propose, now: float) -> list[e.Effect]:
        sender, number = event.sender, propose.number
        if number <= self._heard.get(sender, -1):
            self.stats.late(sender)
            return []
        self._heard[sender] = number
        if self.settled is None:
            return self._refuse(sender, "propose", number, "busy", "round 0 is not over here")
        fault = self._unfit(event, propose.payload)
        if fault:
            return [*self._refuse(sender, "propose", number, *fault), *self._reject(sender, fault[1])]
        effects: list[e.Effect] = []
        if sender in self.accepted:
            # It has decided on the one before, or it would not propose another: only this peer does not know what.
            effects.append(e.Send((sender,), m.QueryDecision(self.accepted[sender].number)))
            return effects + self._busy(sender, number, "the proposal before is not decided here")
        if self.proposal and self.proposal.peer == sender and sender < self.rules.name:
            effects += self._decide("dropped")
        if self.proposal:
            return effects + self._busy(sender, number, f"has proposed to {self.proposal.peer}")
        if self.busy_with:
            return effects + self._busy(sender, number, f"has accepted a proposal of {self.busy_with}")
        if self._closing:
            return effects + self._busy(sender, number, "about to end")
        if not self._room():
            return effects + self._busy(sender, number, f"{self.max_staleness} averages in this cycle")
        self.stats.received(sender, event.nbytes)
        apart = (propose.clock - self._clock) / 2
        self.accepted[sender] = Accepted(number, self.accumulator.body, event.body, apart, now)
        self.busy_with = sender
        self.stats.sent(sender)
        return [
            *effects,
            e.Send((sender,), m.Accept(number, self.settled.payload, self._clock), self.accumulator.body),
            e.SetTimer(("accepted", sender, number), now + self.patience_s),
        ]

    def _busy(self, to: str, number: int, reason: str) -> list[e.Effect]:
        return self._refuse(to, "propose", number, "busy", reason)

    def _decided(self, sender: str, number: int, outcome: str, now: float) -> list[e.Effect]:
        accepted = self.accepted.get(sender)
        if accepted is None or accepted.number != number:
            # Said again, because the acknowledgment was lost.
            again = outcome == "taken" and number <= self._heard.get(sender, -1)
            return [e.Send((sender,), m.Receipt(number))] if again else []
        if outcome == "unknown":
            return [*self._voided(sender, "knows nothing of it any more"), *self._propose(now)]
        effects = self._release(sender)
        if outcome == "taken":
            effects.append(e.Send((sender,), m.Receipt(number)))
            effects += self._average(sender, accepted.mine, accepted.theirs, accepted.apart)
        return effects + self._propose(now)

    def _release(self, sender: str) -> list[e.Effect]:
        accepted = self.accepted.pop(sender)
        self.busy_with = None if self.busy_with == sender else self.busy_with
        return [e.CancelTimer(("accepted", sender, accepted.number))]

    def _voided(self, sender: str, why: str) -> list[e.Effect]:
        number = self.accepted[sender].number
        warning = self._left_open(sender, number, f"not taken here: {sender} {why}. If it has taken its half")
        return [*self._release(sender), warning]

    def _left_open(self, peer: str, number: int, reason: str) -> e.Effect:
        reason = f"proposal {number} is {reason}, half the difference of the two models is gone with it"
        return e.Publish("warning", {"subject": peer, "reason": reason})

    # ----------------------------------------------------------------------------------------------- time and failures

    def _own_timer(self, key: ev.Key, now: float) -> list[e.Effect]:
        match key:
            case ("proposal", number) if self.proposal and self.proposal.number == number:
                if self._in_transit(self.proposal.peer, self.proposal.since, now):
                    return [e.SetTimer(key, now + self.patience_s)]
                return [*self._decide("dropped"), *self._propose(now)]
            case ("accepted", str(peer), int(number)) if peer in self.accepted:
                if self.accepted[peer].number != number:
                    return []
                effects: list[e.Effect] = [e.SetTimer(key, now + self.patience_s)]
                if self._in_transit(peer, self.accepted[peer].since, now):
                    return effects
                if self.neighbors.detector.living(peer):
                    effects.append(e.Send((peer,), m.QueryDecision(number)))
                self.busy_with = None if self.busy_with == peer else self.busy_with
                return effects + self._propose(now)
            case _:
                return []

    def _unsent(self, peer: str, tag: str, now: float) -> list[e.Effect]:
        if tag in ("propose", "") and self.proposal and self.proposal.peer == peer:
            return [*self._decide("dropped"), *self._propose(now)]
        return []  # of all others the answer is asked for, or its absence noticed

    @property
    def _unfinished(self) -> bool:
        undecided = [*self.accepted, *(peer for peer, numbers in self._taken.items() if numbers)]
        waited_for = any(p not in self.neighbors.detector.lost and p not in self.neighbors.departed for p in undecided)
        return self.proposal is not None or waited_for or not self.accumulator.settled

    def _pulse(self, now: float) -> list[e.Effect]:
        effects = super()._pulse(now)
        if self.status == "resting":  # before it ends it wants to know that the others have heard
            for peer, numbers in sorted(self._taken.items()):
                effects += [e.Send((peer,), m.Decision(number, "taken")) for number in sorted(numbers)]
        return effects

    def _conclude(self) -> list[e.Effect]:
        effects = self._decide("dropped")
        for peer in sorted(self.accepted):
            effects += self._voided(peer, "has not decided before the end")
        return effects + [warning for peer in sorted(self._taken) for warning in self._unheard(peer)]

    def _unheard(self, peer: str) -> list[e.Effect]:
        """Report what was taken here and may not have been there, because its incarnation was over."""
        numbers = sorted(self._taken.pop(peer, ()))
        return [self._left_open(peer, n, f"taken here: {peer} may not have. If so") for n in numbers]

    def _lost(self, peer: str, why: str, now: float) -> list[e.Effect]:
        effects: list[e.Effect] = []
        if why != "left":
            effects += self._unheard(peer)  # who leaves has heard of it, or says so itself
        if self.proposal and self.proposal.peer == peer:
            effects += self._decide("dropped")
        if peer in self.accepted:
            effects += self._voided(peer, why)
        return effects + self._propose(now)
