"""How a peer that has come late gets the model, the agreement and the round of a run that has begun, and from whom."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from nervenet.broker import messages as m

from ..runtime import effects as e
from ..runtime import events as ev
from ..runtime.payload_checks import payload_fault
from .lifecycle import PeerLifecycle
from .rounds import GossipRounds


class LateJoin:
    """Asks one neighbor after the other for its model, until one has given it (`model`), and starts from that."""

    def __init__(self, rounds: GossipRounds, lifecycle: PeerLifecycle, patience_s: float) -> None:
        self.model: m.Model | None = None
        self._body: ev.Body = None
        self._rounds = rounds
        self._lifecycle = lifecycle
        self._patience_s = patience_s
        self._asked = 0
        self._asked_at = -inf

    def ask(self, there: Sequence[str], now: float, *, at_once: bool = False) -> list[e.Effect]:
        """Ask one of these; not before it is time for the next one, unless `at_once`."""
        if self.model is not None or not there or (now < self._asked_at + self._patience_s and not at_once):
            return []
        self._asked_at = now
        self._asked += 1
        return [e.Send((there[self._asked % len(there)],), m.GetModel())]

    def arrived(self, event: ev.Arrived, model: m.Model) -> list[e.Effect]:
        if self._lifecycle.status != "joining" or self.model is not None:
            return []
        if event.flaw:
            return self._lifecycle.reject(event.sender, model.round, f"the model to start from: {event.flaw}")
        self.model, self._body = model, event.body
        return [e.CancelTimer(("join",)), e.ApplyAgreement(agreement=dict(model.agreement))]

    def agreed(self, event: ev.ModelReady, model: m.Model, now: float) -> list[e.Effect]:
        """Start from a neighbor's model, in the round after the one that it had completed."""
        self._lifecycle.settled = event
        failed = self.check()
        if failed:
            return failed
        self._lifecycle.status = "resting"
        self._rounds.weights, self._body = self._body, None
        self._rounds.clock = model.clock
        load = e.LoadWeights(self._rounds.weights, model.clock)
        effects = [*self._rounds.resume(model.round, evaluate=False), load]
        effects += self._rounds.unread(now)
        reason = f"joined late, with the model of round {model.round}"
        warning = e.Publish("warning", {"reason": reason, "round": model.round})
        return [*effects, warning, *self._rounds.next(now)]

    def check(self) -> list[e.Effect]:
        """Fail if this peer cannot start from the model: it does not fit the one that is here, or the run is over."""
        settled, until = self._lifecycle.settled, self._rounds.until
        if self.model is None or settled is None:
            return []
        fault = payload_fault(self.model.payload, settled.payload)
        if fault:
            return self._lifecycle.fail(f"the model to start from does not fit the one that is here: {fault[1]}")
        if until and self.model.round >= until:
            return self._lifecycle.fail(f"the run is over: it has completed round {self.model.round} of {until}")
        return []


class ModelOffer:
    """Gives the model of the round last completed to those who ask for one to start from."""

    def __init__(self, rounds: GossipRounds, lifecycle: PeerLifecycle) -> None:
        self._rounds = rounds
        self._lifecycle = lifecycle
        self._wanted: set[str] = set()  # who is to be given one

    def asked(self, sender: str) -> list[e.Effect]:
        """Give a model as soon as there is one, or say where round 0 is; nobody has a need to ask again."""
        if self._lifecycle.status == "meeting":
            return self._lifecycle.catching_up.tell(sender)
        self._wanted.add(sender)
        return self.give()

    def give(self) -> list[e.Effect]:
        """Send it to those who have asked, as soon as there is one."""
        rounds, settled = self._rounds, self._lifecycle.settled
        if not self._wanted or settled is None or not rounds.completed:
            return []
        to, self._wanted = tuple(sorted(self._wanted)), set()
        model = m.Model(rounds.completed, dict(settled.agreement), settled.payload, rounds.clock)
        return [e.Send(to, model, rounds.weights)]
