"""AD-PSGD's decisions: propose, answer at once, decide once, take half."""

from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np
from nervenet.broker import messages as m
from nervenet.nodes.gossip.asynchronous.accumulator import Accumulator
from nervenet.nodes.gossip.asynchronous.ad_psgd import AdPsgd, AdPsgdMachine
from nervenet.nodes.gossip.rules import PeerRules
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev

T = TypeVar("T")
MODEL = m.Payload("a1b2", "float64", 5)
BEGIN = 100  # the incarnation: the first proposal is 101


def only(kind: type[T], effects: Iterable[e.Effect]) -> list[T]:
    return [effect for effect in effects if isinstance(effect, kind)]


class Driver:
    """Peer b with neighbors a and c, settled, training its first cycle."""

    def __init__(self, neighbors: tuple[str, ...] = ("a", "c"), until: int = 10, **given: Any) -> None:
        rules = PeerRules("b", ("a", "b", "c"), neighbors=neighbors, incarnation=BEGIN)
        self.peer = AdPsgdMachine(rules, AdPsgd(**given))
        self.now = 0.0
        self.log: list[e.Effect] = []
        self.tell(ev.Started())
        for name in neighbors:
            self.tell(ev.LinkUp(name, "peer", 1))
        self.tell(ev.Proceed(until))
        self.tell(ev.ModelReady({}, MODEL, "x0"))

    def tell(self, event: ev.Event, now: float | None = None) -> list[e.Effect]:
        self.now = self.now if now is None else now
        effects = self.peer.handle(event, self.now)
        self.log += effects
        return effects

    def say(self, sender: str, message: m.Message, body: Any = None, flaw: str | None = None) -> list[e.Effect]:
        return self.tell(ev.Arrived(sender, message, body, flaw, 40))

    def sent(self, kind: type[T], effects: Iterable[e.Effect] | None = None) -> list[T]:
        found = [s.message for s in only(e.Send, self.log if effects is None else effects)]
        return [message for message in found if isinstance(message, kind)]

    @property
    def partner(self) -> str:
        assert self.peer.proposal
        return self.peer.proposal.peer

    @property
    def other(self) -> str:
        return "c" if self.partner == "a" else "a"

    def trained(self) -> list[e.Effect]:
        number = self.peer.cycle
        return self.tell(ev.Trained(number, 0, f"t{number}", 10, {"loss": 0.5}))

    def refuse_all(self) -> None:
        while self.peer.proposal:
            proposal = self.peer.proposal
            self.say(proposal.peer, m.Refused("propose", proposal.number, "busy", "engaged"))


def test_training_and_a_proposal_begin_together() -> None:
    driver = Driver()
    (train,) = only(e.Train, driver.log)
    (propose,) = driver.sent(m.Propose)
    assert (train.round, train.body) == (1, "x0")
    assert (propose.number, propose.payload) == (BEGIN + 1, MODEL)


def test_an_accepted_proposal_is_taken_by_the_mean_in_name_order_and_the_decision_sent() -> None:
    driver = Driver()
    partner = driver.partner
    effects = driver.say(partner, m.Accept(101, MODEL), "y")
    (combine,) = only(e.Combine, effects)
    assert combine.bodies == (("y", "x0") if partner == "a" else ("x0", "y"))
    assert combine.coefficients == (0.5, 0.5)
    assert driver.sent(m.Decision, effects) == [m.Decision(101, "taken")]
    assert driver.peer.proposal is None


def test_what_training_changed_is_added_to_the_mean() -> None:
    driver = Driver()
    (combine,) = only(e.Combine, driver.say(driver.partner, m.Accept(101, MODEL), "y"))
    driver.tell(ev.Combined(combine.number, "mean"))
    (moved,) = only(e.Combine, driver.trained())
    assert (moved.bodies, moved.coefficients) == (("mean", "t1", "x0"), (1.0, 1.0, -1.0))
    effects = driver.tell(ev.Combined(moved.number, "x1"))
    (train,) = only(e.Train, effects)
    assert (train.round, train.body) == (2, "x1")
    (reported,) = [p.fields for p in only(e.Publish, effects) if p.type == "round.completed"]
    assert (reported["closed_by"], reported["staleness"], len(reported["participants"])) == ("update", [1], 1)


def test_training_does_not_wait_for_an_answer() -> None:
    driver = Driver()
    number = driver.peer.proposal.number  # type: ignore[union-attr]
    effects = driver.trained()
    assert [train.body for train in only(e.Train, effects)] == ["t1"]
    (combine,) = only(e.Combine, driver.say(driver.partner, m.Accept(number, MODEL), "y"))
    # It is no longer the model that was proposed: half the difference is added, and the sum of both models is kept.
    assert (combine.bodies, combine.coefficients) == (("t1", "y", "x0"), (1.0, 0.5, -0.5))


def test_a_busy_peer_refuses_and_a_refused_one_asks_the_next() -> None:
    driver = Driver()
    first, second = driver.partner, driver.other
    (refused,) = driver.sent(m.Refused, driver.say(second, m.Propose(900, MODEL), "z"))
    assert (refused.about, refused.round, refused.code) == ("propose", 900, "busy")
    effects = driver.say(first, m.Refused("propose", 101, "busy", "engaged"))
    assert [propose.number for propose in driver.sent(m.Propose, effects)] == [102]
    assert driver.partner == second
    assert driver.say(second, m.Refused("propose", 102, "busy", "engaged")) == [e.CancelTimer(("proposal", 102))]


def test_a_free_peer_accepts_and_takes_its_half_when_decided() -> None:
    driver = Driver()
    driver.refuse_all()
    (accept,) = driver.sent(m.Accept, driver.say("a", m.Propose(900, MODEL), "z"))
    assert accept == m.Accept(900, MODEL)
    (refused,) = driver.sent(m.Refused, driver.say("c", m.Propose(901, MODEL), "w"))
    assert refused.reason == "has accepted a proposal of a"
    effects = driver.say("a", m.Decision(900, "taken"))
    assert only(e.Combine, effects)[0].bodies == ("z", "x0")
    assert driver.sent(m.Receipt, effects) == [m.Receipt(900)]
    again = driver.say("a", m.Decision(900, "taken"))
    assert only(e.Combine, again) == []
    assert driver.sent(m.Receipt, again) == [m.Receipt(900)], "the first acknowledgment may be lost"


def test_what_is_dropped_changes_nothing() -> None:
    driver = Driver()
    driver.refuse_all()
    driver.say("a", m.Propose(900, MODEL), "z")
    assert only(e.Combine, driver.say("a", m.Decision(900, "dropped"))) == []
    assert driver.peer.weights == "x0"
    assert driver.peer.busy_with is None


def test_of_two_that_propose_to_each_other_the_larger_name_gives_way() -> None:
    driver = Driver(("a",))
    effects = driver.say("a", m.Propose(900, MODEL), "z")
    assert driver.sent(m.Decision, effects) == [m.Decision(101, "dropped")]
    assert driver.sent(m.Accept, effects) == [m.Accept(900, MODEL)]
    driver = Driver(("c",))
    effects = driver.say("c", m.Propose(900, MODEL), "z")
    assert [refused.code for refused in driver.sent(m.Refused, effects)] == ["busy"]
    assert driver.partner == "c"


def test_a_refusal_or_an_end_is_final_for_its_number() -> None:
    driver = Driver()
    sender = driver.other
    driver.say(sender, m.Propose(900, MODEL), "z")
    driver.refuse_all()
    assert driver.say(sender, m.Propose(900, MODEL), "z") == [], "a copy of what was refused"
    assert driver.peer.stats.stale == {sender: 1}


def test_an_unanswered_proposal_is_dropped_and_a_late_answer_gets_that_decision() -> None:
    driver = Driver(("a",), patience_s=1.0)
    effects = driver.tell(ev.TimerFired(("proposal", 101), 1.0), 1.0)
    assert driver.sent(m.Decision, effects) == [m.Decision(101, "dropped")]
    late = driver.say("a", m.Accept(101, MODEL), "y")
    assert driver.sent(m.Decision, late) == [m.Decision(101, "dropped")]
    assert only(e.Combine, late) == []


def test_a_transfer_under_way_is_waited_for() -> None:
    driver = Driver(("a",))
    driver.tell(ev.Arrived("a", m.Heartbeat(0, "training", (0,))), 0.9)
    (timer,) = driver.tell(ev.TimerFired(("proposal", 101), 1.0), 1.0)
    assert timer == e.SetTimer(("proposal", 101), 2.0)


def test_in_doubt_a_peer_is_free_for_others_and_asks() -> None:
    driver = Driver()
    driver.refuse_all()
    driver.say("a", m.Propose(900, MODEL), "z")
    effects = driver.tell(ev.TimerFired(("accepted", "a", 900), 1.0), 1.0)
    assert driver.sent(m.QueryDecision, effects) == [m.QueryDecision(900)]
    assert driver.sent(m.Accept, driver.say("c", m.Propose(901, MODEL), "w")) == [m.Accept(901, MODEL)]
    refusal = driver.say("a", m.Propose(905, MODEL), "zz")
    assert driver.sent(m.QueryDecision, refusal) == [m.QueryDecision(900)]
    assert [refused.round for refused in driver.sent(m.Refused, refusal)] == [905]
    assert only(e.Combine, driver.say("a", m.Decision(900, "taken"))), "however late, its half is taken"


def test_a_proposer_remembers_what_it_took_until_it_was_heard() -> None:
    driver = Driver()
    partner = driver.partner
    driver.say(partner, m.Accept(101, MODEL), "y")
    assert driver.sent(m.Decision, driver.say(partner, m.QueryDecision(101))) == [m.Decision(101, "taken")]
    driver.say(partner, m.Receipt(101))
    assert driver.peer._taken[partner] == set()
    assert driver.sent(m.Decision, driver.say(partner, m.QueryDecision(50))) == [m.Decision(50, "unknown")]


def test_no_more_averages_than_the_bound_change_a_training() -> None:
    driver = Driver(max_staleness=2)
    driver.refuse_all()
    for number in (900, 901):
        driver.say("a", m.Propose(number, MODEL), "z")
        (combine,) = only(e.Combine, driver.say("a", m.Decision(number, "taken")))
        driver.tell(ev.Combined(combine.number, f"m{number}"))
    (refused,) = driver.sent(m.Refused, driver.say("c", m.Propose(902, MODEL), "w"))
    assert refused.reason == "2 averages in this cycle"
    (combine,) = only(e.Combine, driver.trained())
    driver.tell(ev.Combined(combine.number, "x1"))
    driver.refuse_all()
    assert driver.sent(m.Accept, driver.say("c", m.Propose(903, MODEL), "w"))


def test_an_old_answer_is_dropped() -> None:
    driver = Driver(("a",), max_staleness=2)
    for _ in range(3):
        driver.trained()
    effects = driver.say("a", m.Accept(101, MODEL), "y")
    assert driver.sent(m.Decision, effects)[0] == m.Decision(101, "dropped")
    assert only(e.Combine, effects) == []


def test_a_proposer_that_is_started_again_leaves_an_open_proposal_that_is_reported() -> None:
    driver = Driver()
    driver.refuse_all()
    driver.say("a", m.Propose(900, MODEL), "z")
    effects = driver.tell(ev.LinkUp("a", "peer", 2))
    (reported,) = [p.fields for p in only(e.Publish, effects) if p.type == "warning"]
    assert reported["subject"] == "a"
    assert "proposal 900" in reported["reason"]
    assert driver.peer.weights == "x0"


def test_a_model_that_does_not_fit_is_refused_by_name() -> None:
    driver = Driver()
    driver.refuse_all()
    wrong = m.Payload("ffff", "float64", 5)
    (refused,) = driver.sent(m.Refused, driver.say("a", m.Propose(900, wrong), "z"))
    assert refused.code == "layout"
    (refused,) = driver.sent(m.Refused, driver.say("a", m.Propose(901, MODEL), "z", "values must be finite"))
    assert refused.code == "values"


def test_who_is_done_goes_on_answering_until_its_neighbors_are_done() -> None:
    driver = Driver(until=1)
    driver.refuse_all()
    driver.tell(ev.Proceed(1, last=True))
    driver.trained()
    driver.tell(ev.Evaluated(1, "test", {"accuracy": 0.5}))
    assert driver.peer.status == "resting"
    assert driver.sent(m.Accept, driver.say("a", m.Propose(900, MODEL), "z"))
    driver.say("a", m.Decision(900, "dropped"))
    driver.say("a", m.Heartbeat(1, "resting", ()))
    assert only(e.Evaluate, driver.say("c", m.Heartbeat(0, "training", ()))) == []
    assert only(e.Evaluate, driver.say("c", m.Heartbeat(1, "resting", ())))
    *_, adopt, finish = driver.tell(ev.Evaluated(1, "test", {"accuracy": 0.6}))
    assert (adopt, finish) == (e.LoadWeights("t1"), e.Finish("completed"))


def test_who_is_done_does_not_wait_beyond_the_deadline() -> None:
    driver = Driver(until=1)
    driver.refuse_all()
    driver.tell(ev.Proceed(1, last=True))
    driver.trained()
    driver.tell(ev.Evaluated(1, "test", {}))
    assert only(e.Evaluate, driver.tell(ev.TimerFired(("ending",), 30.0), 30.0))


def test_changes_that_come_while_a_sum_is_made_are_summed_next() -> None:
    accumulator = Accumulator()
    accumulator.body = np.array([1.0])
    (first,) = accumulator.add([(np.array([2.0]), 1.0)])
    assert accumulator.add([(np.array([3.0]), 1.0)]) == accumulator.add([(np.array([4.0]), -1.0)]) == []
    (second,) = accumulator.combined(first.number, np.array([3.0]))  # type: ignore[union-attr]
    assert isinstance(second, e.Combine)
    assert [float(body[0]) for body in second.bodies] == [3.0, 3.0, 4.0]
    assert not accumulator.settled
    assert accumulator.combined(99, np.array([0.0])) == []
    accumulator.combined(second.number, np.array([2.0]))
    assert accumulator.settled
