"""The peer's machine: synchronous decentralised SGD, adapt then combine (D-PSGD; Lian et al. 2017, Algorithm 1, in the
order train, send, mix).

A round: train, send the result to every neighbour, mix with what belongs to this round once every awaited neighbour
has answered, has been suspected, or the deadline has come. Round 0 floods the surveys instead, until every peer holds
all. Pure: events and `now` in, effects out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nervenet.broker import messages as m

from .. import effects as e
from ..liveness import Liveness
from ..screening import payload_fault
from .mixing import coefficients
from .traffic import Traffic

PATIENCE = 10  # deadlines after which nothing is waited for any longer: neither a transfer nor one's own training


@dataclass(frozen=True)
class PeerRules:
    """All that steers a peer; see `[gossip]` and `[network]` of the experiment file for the same names."""

    name: str
    members: tuple[str, ...]
    neighbours: tuple[str, ...]
    row: Mapping[str, float]  # this peer's row of the mixing matrix, itself included
    examples: int = 1
    deadline_s: float = 30.0
    join_deadline_s: float = 30.0
    heartbeat_s: float = 0.5
    suspect_after_s: float = 2.0
    lost_after_s: float = 10.0
    evaluate_every: int = 1
    evaluate_on: str = "test"  # or "holdout": this peer's own rows kept apart
    settings: Mapping[str, Any] = field(default_factory=dict)


class PeerState:
    """Decides what a peer does next.

    Messages carry their round. One early message a neighbour is kept for the round it belongs to; late ones are
    counted stale. A neighbour that missed a round is `absent`: sent to, but not waited for, until a current message of
    its arrives, or two in a row that are late only because nobody waited for them. A peer that sees a neighbour two
    rounds ahead (or, while it trains, one) has been left behind, and joins that round with the model it has.

    Attributes
    ----------
    round
        The round that this peer is in; 0 before training.
    status
        ``meeting``, ``training``, ``waiting``, ``mixing``, ``resting`` (all the rounds asked for are done) or
        ``finished``.
    """

    def __init__(self, rules: PeerRules) -> None:
        self.rules = rules
        self.liveness = Liveness(rules.suspect_after_s, rules.lost_after_s)
        self.status = "meeting"
        self.round = 0
        self.completed = 0
        self.until = 0
        self.settled: e.Settled | None = None
        self.testimonies: dict[str, tuple[Mapping[str, Any], e.Body]] = {}
        self.absent: set[str] = set()
        self.departed: dict[str, int] = {}  # neighbours that took their leave: the last round they answered
        self.traffic = Traffic()
        self._unchecked: list[tuple[str, m.Exchange, e.Arrived]] = []  # came before round 0 was over here
        self._told: dict[int, dict[str, Any]] = {}  # rounds done whose evaluation is still to come
        self._seen_in: dict[str, int] = {}  # the round in which a neighbour last said it was
        self._inbox: dict[str, e.Body] = {}  # this round's
        self._early: dict[str, tuple[int, e.Body]] = {}
        self._moving: dict[str, tuple[int, ...]] = {}  # rounds whose model a neighbour says is on its way
        self.weights: e.Body = None  # after the last completed round
        self._mine: e.Body = None  # what this round's training gave
        self._loss: float | None = None
        self._opened_at = 0.0
        self._deadline_at = 0.0
        self._closed_by = ""
        self._mixed_with: tuple[str, ...] = ()
        self._missing: dict[str, str] = {}
        self._heard_in: dict[str, int] = {}  # the round of a neighbour's last model
        self._closed = (0, 0.0)  # the last round closed, and when its deadline was

    # ---------------------------------------------------------------------------------------------------- the one door

    def handle(self, event: e.Event, now: float) -> list[e.Effect]:
        """Take one event and say what to do."""
        if self.status == "finished":
            return []
        match event:
            case e.Started():
                return self._start(now)
            case e.LinkUp(peer) if peer in self.rules.neighbours:
                return self._meet(peer, now)
            case e.LinkLost(peer, reason) if self.liveness.blame(peer):
                return [e.Publish("node.suspect", {"subject": peer, "reason": reason}), *self._close_if_ready()]
            case e.Arrived(sender=sender) if sender in self.rules.neighbours:
                return self._arrived(event, now)
            case e.TimerFired(key, due):
                return self._timer(key, due, now)
            case e.Surveyed(facts, body):
                return self._testify(self.rules.name, facts, body)
            case e.Settled():
                return self._settled(event, now)
            case e.Trained():
                return self._trained(event, now)
            case e.Mixed(number, body):
                return self._mixed(number, body, now)
            case e.Evaluated(number, which, metrics):
                return self._evaluated(number, which, metrics)
            case e.Proceed(until):
                self.until = max(self.until, until)
                return self._next_round(now) if self.status == "resting" else []
            case e.WorkFailed():
                return self._work_failed(event)
            case e.Undeliverable(peer, tag, number, reason) if tag != "heartbeat":  # its silence tells enough
                self.traffic.dropped += 1
                told = f"{tag} of round {number} could not be sent: {reason}"
                return [e.Publish("warning", {"subject": peer, "reason": told})]
            case e.Spoiled(sender, reason):
                return self._reject(sender, self.round, reason)
            case _:
                return []

    def _arrived(self, event: e.Arrived, now: float) -> list[e.Effect]:
        sender = event.sender
        effects: list[e.Effect] = []
        if self.liveness.heard(sender, now):
            effects.append(e.Publish("node.ready", {"subject": sender, "reason": "heard again"}))
        match event.message:
            case m.Exchange() as exchange:
                effects += self._exchange(sender, exchange, event, now)
            case m.Testimony(origin=origin, facts=facts):
                effects += self._testimony(origin, facts, event)
            case m.Heartbeat(round=number, sending=sending):
                self._moving[sender] = tuple(sending)
                self._seen_in[sender] = number
                effects += self._close_if_ready()
            case m.Goodbye(round=number, reason=reason):
                effects += self._farewell(sender, number, reason)
            case m.Refused(about=about, round=number, reason=reason):
                told = f"{about} of round {number} was refused: {reason}"
                effects.append(e.Publish("warning", {"subject": sender, "reason": told}))
            case _:
                pass
        return effects

    # ----------------------------------------------------------------------------------------- round 0: meet and agree

    def _start(self, now: float) -> list[e.Effect]:
        self._opened_at = now
        return [
            e.Publish("round.started", {"round": 0, "attempt": 0}),
            e.SetTimer(("join",), now + self.rules.join_deadline_s),
            e.SetTimer(("pulse",), now + self.rules.heartbeat_s),
            e.Survey(),
        ]

    def _meet(self, peer: str, now: float) -> list[e.Effect]:
        self.liveness.watch(peer, now)
        self.departed.pop(peer, None)
        self._seen_in[peer] = 0
        return self._tell((peer,))

    def _tell(self, peers: tuple[str, ...]) -> list[e.Effect]:
        """Send all testimonies held; a peer ignores those it knows."""
        return [self._witness(peers, origin) for origin in sorted(self.testimonies)] if peers else []

    def _witness(self, to: tuple[str, ...], origin: str) -> e.Effect:
        facts, body = self.testimonies[origin]
        payload = m.Payload(rule="survey", layout="survey", dtype="float64", length=len(body))
        return e.Send(to, m.Testimony(origin=origin, facts=dict(facts), payload=payload), body)

    def _testimony(self, origin: str, facts: Mapping[str, Any], event: e.Arrived) -> list[e.Effect]:
        if origin not in self.rules.members:
            return self._reject(event.sender, 0, f"a testimony of {origin}, who is not a member")
        if event.flaw:
            return self._reject(event.sender, 0, f"the testimony of {origin}: {event.flaw}")
        return self._testify(origin, facts, event.body, source=event.sender)

    def _testify(
        self, origin: str, facts: Mapping[str, Any], body: e.Body, source: str | None = None
    ) -> list[e.Effect]:
        if origin in self.testimonies:
            return []
        self.testimonies[origin] = (facts, body)
        onward = tuple(p for p in self.rules.neighbours if p != source)
        effects: list[e.Effect] = [self._witness(onward, origin)] if onward else []
        if len(self.testimonies) == len(self.rules.members):
            effects.append(e.CancelTimer(("join",)))
            effects.append(e.Settle(surveys=dict(sorted(self.testimonies.items()))))
        return effects

    def _settled(self, event: e.Settled, now: float) -> list[e.Effect]:
        self.settled, self.weights = event, event.body
        self.status = "resting"
        told = {
            "round": 0,
            "closed_by": "all",
            "duration_s": now - self._opened_at,
            "participants": sorted(self.testimonies),
        }
        effects: list[e.Effect] = [e.Publish("round.completed", told)]
        waiting, self._unchecked = self._unchecked, []
        for sender, exchange, arrived in waiting:
            effects += self._exchange(sender, exchange, arrived, now)
        # From here on a neighbour that never showed up is waited for no longer than one that has gone silent.
        for peer in self.rules.neighbours:
            if not self.liveness.living(peer) and peer not in self.departed:
                self.liveness.watch(peer, now)
        return effects + self._next_round(now)

    # ---------------------------------------------------------------------------------------------------------- rounds

    def _next_round(self, now: float) -> list[e.Effect]:
        if self.round >= self.until:
            self.status = "resting"
            return []
        self.round += 1
        self.status = "training"
        self._opened_at = now
        self._take_early()
        return [
            e.Publish("round.started", {"round": self.round, "attempt": 0}),
            e.SetTimer(("training", self.round), now + PATIENCE * self.rules.deadline_s),
            e.Train(self.round, 0, None, self.rules.settings),
        ]

    def _trained(self, event: e.Trained, now: float) -> list[e.Effect]:
        if self.status != "training" or event.round != self.round:
            return []
        self._loss = event.metrics.get("loss")
        effects: list[e.Effect] = [e.CancelTimer(("training", event.round)), *self._catch_up()]
        self._mine = event.body
        self.status = "waiting"
        self._deadline_at = now + self.rules.deadline_s
        # Nothing is sent to the silent: it would only queue. They are sent to again as soon as they are heard.
        there = tuple(p for p in self.rules.neighbours if self.liveness.living(p))
        if there and self.settled:
            effects.append(e.Send(there, m.Exchange(round=self.round, payload=self.settled.payload), event.body))
            for peer in there:
                self.traffic.sent(peer)
        effects.append(e.SetTimer(("deadline", self.round), self._deadline_at))
        return effects + self._close_if_ready()

    def _catch_up(self) -> list[e.Effect]:
        """While this peer trained, neighbours closed its round without it: join the round they are in."""
        ahead = min(max((number for number, _ in self._early.values()), default=self.round), self.until)
        if ahead <= self.round:
            return []
        missed = ahead - self.round
        reason = f"left behind by {missed} round(s); joining round {ahead} with the model of round {self.round}"
        self.round = ahead
        self._take_early()
        return [e.Publish("warning", {"reason": reason, "round": ahead})]

    def _exchange(self, sender: str, exchange: m.Exchange, event: e.Arrived, now: float) -> list[e.Effect]:
        if self.settled is None:
            self._unchecked = [held for held in self._unchecked if held[0] != sender] + [(sender, exchange, event)]
            return []
        expected = None if self.settled is None else self.settled.payload
        fault = ("values", event.flaw) if event.flaw else payload_fault(exchange.payload, expected)
        if fault:
            code, reason = fault
            refusal = m.Refused(about="exchange", round=exchange.round, code=code, reason=reason)
            return [e.Send((sender,), refusal), *self._reject(sender, exchange.round, reason)]
        number, before = exchange.round, self._heard_in.get(sender, 0)
        self._heard_in[sender] = max(number, before)
        # In the round that is being mixed a message is as late as in one long past.
        if number < self.round or (number == self.round and self.status in ("mixing", "resting")):
            self.traffic.stale += 1
            if number == self._closed[0] and now <= self._closed[1] and before == number - 1:
                # It keeps pace, and would be in time if it were waited for. Without this a peer that came back half a
                # round behind would stay so, and never be heard again.
                self.absent.discard(sender)
            return []
        self.traffic.received(sender, event.nbytes)
        self.absent.discard(sender)
        if number > self.round:
            held = self._early.get(sender)
            if held is None or number > held[0]:
                self._early[sender] = (number, event.body)
            overtaken = self.status == "waiting" and number > self.round + 1
            return self._close("overtaken") if overtaken else []
        self._inbox.setdefault(sender, event.body)
        return self._close_if_ready()

    def _take_early(self) -> None:
        self._inbox = {}
        for peer, (number, body) in list(self._early.items()):
            if number <= self.round:
                del self._early[peer]
            if number == self.round:
                self._inbox[peer] = body

    def _awaited(self) -> list[str]:
        """Whose model of this round may still come: not of one who is two rounds on, for it closed this one alone."""
        return [
            p
            for p in self.rules.neighbours
            if p not in self._inbox
            and p not in self.absent
            and self.departed.get(p, self.round) >= self.round
            and self._seen_in.get(p, 0) <= self.round + 1
            and (self.liveness.living(p) or p in self.departed)
        ]

    def _close_if_ready(self) -> list[e.Effect]:
        if self.status != "waiting" or self._awaited():
            return []
        return self._close("all" if len(self._inbox) == len(self.rules.neighbours) else "suspected")

    def _close(self, by: str) -> list[e.Effect]:
        self.status = "mixing"
        self._closed_by = by
        self._closed = (self.round, self._deadline_at)
        present = tuple(sorted(self._inbox))
        self._missing = {p: self._why(p) for p in self.rules.neighbours if p not in self._inbox}
        if by != "overtaken":  # then it is this peer that was late
            self.absent |= self._missing.keys()
        self._mixed_with = present
        weights = coefficients(self.rules.name, self.rules.row, present)
        bodies = tuple(self._mine if name == self.rules.name else self._inbox[name] for name in weights)
        self._inbox = {}
        return [e.CancelTimer(("deadline", self.round)), e.Mix(self.round, bodies, tuple(weights.values()))]

    def _mixed(self, number: int, body: e.Body, now: float) -> list[e.Effect]:
        if self.status != "mixing" or number != self.round:
            return []
        self.completed = number
        self.weights = body
        fields: dict[str, Any] = {
            "round": number,
            "participants": list(self._mixed_with),
            "closed_by": self._closed_by,
            "duration_s": now - self._opened_at,
        }
        if self._loss is not None:
            fields["loss"] = self._loss
        if self._missing:
            fields["missing"] = self._missing
        effects: list[e.Effect] = [e.Publish("round.completed", fields)]
        effects += [e.Publish(kind, told) for kind, told in self.traffic.report(now, number)]
        last = number >= self.until
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
        if peer in self.departed:
            return f"left after round {self.departed[peer]}"
        if not self.liveness.living(peer):
            return "silent"
        return "missed a round and has not caught up" if peer in self.absent else "no answer in time"

    # ----------------------------------------------------------------------------------------------- time and failures

    def _timer(self, key: e.Key, due: float, now: float) -> list[e.Effect]:
        match key:
            case ("join",) if self.settled is None:
                missing = ", ".join(p for p in self.rules.members if p not in self.testimonies)
                limit = f"{self.rules.join_deadline_s:g} s"
                return self._fail(f"round 0 was not complete within {limit}: nothing was heard of {missing}")
            case ("pulse",):
                self.liveness.forgive(max(0.0, now - due), now)
                return self._pulse(now)
            case ("review",):
                self.liveness.forgive(max(0.0, now - due), now)
                return self._review(now)
            case ("training", number) if number == self.round and self.status == "training":
                limit = f"{PATIENCE * self.rules.deadline_s:g} s"
                return [e.Abandon(), *self._fail(f"the training of round {number} did not end within {limit}")]
            case ("deadline", number) if number == self.round and self.status == "waiting":
                return self._deadline(now)
            case _:
                return []

    def _pulse(self, now: float) -> list[e.Effect]:
        there = tuple(p for p in self.rules.neighbours if p not in self.departed)
        effects: list[e.Effect] = [
            e.SetTimer(("pulse",), now + self.rules.heartbeat_s),
            e.Beat(there, self.round if self.settled else 0, self.status),
        ]
        behind = tuple(p for p in there if self._seen_in.get(p) == 0 and self.liveness.living(p))
        return effects + self._tell(behind) + self._review(now)

    def _review(self, now: float) -> list[e.Effect]:
        verdicts = self.liveness.review(now)
        effects: list[e.Effect] = []
        for kind, found in (("node.suspect", verdicts.suspected), ("node.lost", verdicts.lost)):
            for peer, silent in found.items():
                effects.append(e.Publish(kind, {"subject": peer, "reason": f"silent for {silent:.1f} s"}))
        due = self.liveness.next_review()
        if due is not None and due < now + self.rules.heartbeat_s:
            effects.append(e.SetTimer(("review",), due))
        return effects + (self._close_if_ready() if effects else [])

    def _deadline(self, now: float) -> list[e.Effect]:
        # While a model is still coming in, waiting is cheaper than doing without.
        moving = any(self.round in self._moving.get(p, ()) for p in self._awaited())
        if moving and now < self._deadline_at + (PATIENCE - 1) * self.rules.deadline_s:
            return [e.SetTimer(("deadline", self.round), now + 2 * self.rules.heartbeat_s)]
        return self._close("deadline")

    def _farewell(self, peer: str, number: int, reason: str) -> list[e.Effect]:
        self.departed[peer] = self._seen_in[peer] = number
        self.liveness.forget(peer)
        told = e.Publish("node.left", {"subject": peer, "reason": reason})
        return [told, *self._close_if_ready()]

    def _reject(self, subject: str, number: int, reason: str) -> list[e.Effect]:
        self.traffic.rejected[reason] = self.traffic.rejected.get(reason, 0) + 1
        return [e.Publish("update.rejected", {"subject": subject, "round": number, "reason": reason})]

    def _work_failed(self, event: e.WorkFailed) -> list[e.Effect]:
        if event.kind == "evaluate":
            warning = e.Publish("warning", {"reason": f"evaluation of round {event.round} failed: {event.reason}"})
            return [warning, *self._evaluated(event.round, "test", {})]
        return self._fail(f"{event.kind} failed: {event.reason}")

    def _fail(self, reason: str) -> list[e.Effect]:
        self.status = "finished"
        return [e.Publish("run.failed", {"reason": reason}), e.Finish("failed", reason)]
