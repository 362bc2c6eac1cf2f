"""The peer's decisions: train, send, mix with what belongs to the round."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import pytest
from nervenet.broker import messages as m
from nervenet.nodes.config.site import AllowConfig
from nervenet.nodes.consent.requests import Policy
from nervenet.nodes.gossip import waiting
from nervenet.nodes.gossip.algorithms.base import Needs
from nervenet.nodes.gossip.late_join import ModelOffer
from nervenet.nodes.gossip.lifecycle import PeerLifecycle
from nervenet.nodes.gossip.neighbor_tracker import NeighborTracker
from nervenet.nodes.gossip.outbox import Outbox
from nervenet.nodes.gossip.round_machine import PeerMachine
from nervenet.nodes.gossip.survey_flood import AT_ONCE, SurveyFlood
from nervenet.nodes.gossip.waiting import LEAP, WaitPolicy
from nervenet.nodes.roles.base import Role
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.identity import NodeFailed
from nervenet.nodes.topology import schedule
from static_membership import static_peer

T = TypeVar("T")
MODEL = m.Payload(layout="a1b2", dtype="float32", length=5)
SURVEY = m.Payload(layout="survey", dtype="float64", length=1)
THIRD = 1 / 3


def only(kind: type[T], effects: Iterable[e.Effect]) -> list[T]:
    return [effect for effect in effects if isinstance(effect, kind)]


class Ring:
    """Peer b of a ring a - b - c - d - a, and what it asks for."""

    def __init__(self, until: int = 10, **rules: Any) -> None:
        self.state = static_peer("b", "abcd", schedule("ring", "abcd"), **rules)
        self.now = 0.0
        self.log: list[e.Effect] = []
        self.timers: dict[ev.Key, float] = {}
        self.tell(ev.Started())
        self.tell(ev.Proceed(until))
        for peer in ("a", "c"):
            self.tell(ev.LinkUp(peer, "peer", 1))

    def tell(self, event: ev.Event, now: float | None = None) -> list[e.Effect]:
        self.now = self.now if now is None else now
        effects = self.state.handle(event, self.now)
        for effect in effects:
            match effect:
                case e.SetTimer(key, at):
                    self.timers[key] = at
                case e.CancelTimer(key):
                    self.timers.pop(key, None)
        self.log += effects
        return effects

    def say(self, sender: str, message: m.Message, body: Any = None, flaw: str | None = None) -> list[e.Effect]:
        return self.tell(ev.Arrived(sender, message, body, flaw, 100))

    def survey(self, origin: str, source: str | None = None) -> list[e.Effect]:
        fields: Mapping[str, Any] = {"of": origin}
        if source is None:
            return self.tell(ev.Surveyed(fields, (origin,)))
        return self.say(source, m.PeerSurvey(origin, dict(fields), SURVEY), (origin,))

    def settle(self) -> "Ring":
        """Complete round 0; training of round 1 begins."""
        self.survey("b")
        for origin, source in (("a", "a"), ("c", "c"), ("d", "a")):
            self.survey(origin, source)
        self.tell(ev.ModelReady({}, MODEL, "w0"))
        return self

    def exchange(self, sender: str, number: int) -> list[e.Effect]:
        return self.say(sender, m.Exchange(number, MODEL), f"{sender}{number}")

    def beat(self, sender: str, number: int, sending: tuple[int, ...] = ()) -> list[e.Effect]:
        return self.say(sender, m.Heartbeat(number, "waiting", sending))

    def trained(self) -> list[e.Effect]:
        number = self.state.round
        return self.tell(ev.Trained(number, 0, f"b{number}", 10, {"loss": 0.5}))

    def mixed(self) -> list[e.Effect]:
        return self.tell(ev.Mixed(self.state.round, f"m{self.state.round}"))

    def round(self, *senders: str) -> list[e.Effect]:
        """Do the whole of the round that is open, with messages of these neighbors."""
        number = self.state.round
        for sender in senders:
            self.exchange(sender, number)
        return [*self.trained(), *self.mixed()]

    def until(self, when: float, *, beating: Iterable[str] = ()) -> list[e.Effect]:
        found: list[e.Effect] = []
        while self.timers and (at := min(self.timers.values())) <= when:
            key = min(key for key, due in self.timers.items() if due == at)
            del self.timers[key]
            for name in beating:
                found += self.tell(ev.Arrived(name, m.Heartbeat(self.state.round, "training", ())), at)
            found += self.tell(ev.TimerFired(key, at), at)
        self.now = when
        return found

    def published(self, kind: str) -> list[dict[str, Any]]:
        return [dict(p.fields) for p in only(e.Publish, self.log) if p.type == kind]

    def mixes(self) -> list[e.Mix]:
        return only(e.Mix, self.log)


# -------------------------------------------------------------------------------------------------------------- round 0


def sent_again_after_a_cut() -> list[str]:
    """To whom the model of the open round goes once more when the connection to a neighbor was cut and is back."""
    ring = Ring().settle()
    ring.trained()
    ring.tell(ev.LinkLost("a", "cut"))
    again = [
        peer
        for send in only(e.Send, ring.tell(ev.LinkUp("a", "peer", 1)) + ring.tell(ev.LinkUp("a", "peer", 1)))
        if isinstance(send.message, m.Exchange)
        for peer in send.to
    ]
    assert [key for key, at in ring.timers.items() if key == ("deadline", 1)], "the round is still open"
    return again


def test_what_a_cut_may_have_lost_is_sent_again_once() -> None:
    assert sent_again_after_a_cut() == ["a"]


def test_else_both_would_wait_for_each_other_until_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Outbox, "cut", lambda *_: None)
    assert sent_again_after_a_cut() == []


def sent_after_a_cut_within_the_training(**rules: Any) -> list[e.Send]:
    """What goes to a neighbor whose connection was cut when the training ended, once it is back."""
    ring = Ring(**rules).settle()
    ring.tell(ev.LinkLost("a", "cut"))
    (first,) = only(e.Send, ring.trained())
    assert first.to == ("c",)
    back = ring.tell(ev.LinkUp("a", "peer", 1))
    assert ring.state.rounds.waits.awaited(1) == ["a", "c"]
    return [send for send in only(e.Send, back) if isinstance(send.message, m.Exchange)]


@pytest.mark.parametrize("rules", [{}, {"encoding": "delta+int8"}])
def test_what_was_not_sent_during_a_cut_is_sent_when_the_neighbor_is_back(rules: Mapping[str, Any]) -> None:
    (sent,) = sent_after_a_cut_within_the_training(**rules)
    assert (sent.to, sent.message.round, sent.body) == (("a",), 1, "b1")


def test_else_neither_would_get_a_model_until_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Outbox, "again", lambda *_: ([], False))
    assert sent_after_a_cut_within_the_training() == []


def test_one_that_is_heard_again_without_a_new_connection_is_sent_it_too() -> None:
    ring = Ring(suspect_after_s=1.0).settle()
    ring.until(2.0, beating=("c",))
    (first,) = only(e.Send, ring.trained())
    assert first.to == ("c",)
    (sent,) = [send for send in only(e.Send, ring.beat("a", 1)) if isinstance(send.message, m.Exchange)]
    assert (sent.to, sent.message.round) == (("a",), 1)
    assert not only(e.Send, ring.beat("a", 1)), "once"


def test_what_builds_on_what_came_before_is_not_sent_twice() -> None:
    ring = Ring(encoding="delta+int8").settle()
    ring.trained()
    ring.tell(ev.LinkLost("a", "cut"))
    assert not [s for s in only(e.Send, ring.tell(ev.LinkUp("a", "peer", 1))) if isinstance(s.message, m.Exchange)]


def test_of_a_push_sum_only_who_has_a_share_is_sent_it() -> None:
    ring = Ring(needs=Needs(mass=True, doubly=False)).settle()
    ring.tell(ev.LinkLost("a", "cut"))
    shares = {"c": ev.OutgoingModel("for c", MODEL, 0.5)}
    ring.tell(ev.Trained(1, 0, "b1", 10, {}, apart=shares))
    assert not [s for s in only(e.Send, ring.tell(ev.LinkUp("a", "peer", 1))) if isinstance(s.message, m.Exchange)]


def sent_to_after_a_new_start(**rules: Any) -> list[str]:
    """To whom a model goes if a neighbor is started again within the training."""
    ring = Ring(**rules).settle()
    ring.tell(ev.LinkLost("a", "ended"))
    ring.tell(ev.LinkUp("a", "peer", 2))
    return [peer for send in only(e.Send, ring.trained()) for peer in send.to]


def test_one_that_was_started_again_is_sent_what_builds_on_nothing_before() -> None:
    """It may have sent its own, which is mixed here."""
    assert sent_to_after_a_new_start() == ["a", "c"]
    assert sent_to_after_a_new_start(encoding="delta+int8") == ["c"]


def test_else_it_would_be_mixed_one_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def renew(self: Outbox, peer: str) -> None:
        self._renewed.add(peer)
        self._by_differences = True

    monkeypatch.setattr(Outbox, "renew", renew)
    assert sent_to_after_a_new_start() == ["c"]


def test_the_cuts_of_visitors_and_of_the_gone_are_not_remembered() -> None:
    ring = Ring().settle()
    for k in range(100):
        ring.tell(ev.LinkLost(f"visitor-{k}", "ended"))
    ring.tell(ev.LinkLost("a", "ended"))
    assert ring.state.rounds.outbox._cut == {"a"}
    ring.tell(ev.LinkUp("a", "peer", 2))
    assert ring.state.rounds.outbox._cut == set()


def test_a_neighbor_that_was_started_again_is_not_sent_what_its_previous_incarnation_waited_for() -> None:
    ring = Ring().settle()
    ring.trained()
    ring.tell(ev.LinkLost("a", "ended"))
    assert not [s for s in only(e.Send, ring.tell(ev.LinkUp("a", "peer", 2))) if isinstance(s.message, m.Exchange)]


def test_surveys_flood_the_graph_and_each_is_passed_on_once() -> None:
    ring = Ring()
    (own,) = only(e.Send, ring.survey("b"))
    assert own.to == ("a", "c")
    assert own.message == m.PeerSurvey("b", {"of": "b"}, SURVEY)
    (onward,) = only(e.Send, ring.survey("d", "a"))
    assert onward.to == ("c",), "not back to where it came from"
    assert ring.survey("d", "c") == []
    ring.survey("a", "a")
    (settle,) = only(e.ApplyAgreement, ring.survey("c", "c"))
    assert list(settle.surveys) == ["a", "b", "c", "d"]
    assert ("join",) not in ring.timers


def test_whoever_connects_late_gets_all_surveys() -> None:
    ring = Ring()
    ring.survey("b")
    ring.survey("a", "a")
    sent = only(e.Send, ring.tell(ev.LinkUp("c", "peer", 1)))
    assert {send.message.origin for send in sent} == {"a", "b"}
    assert all(send.to == ("c",) for send in sent)


def test_whoever_is_still_in_round_zero_gets_the_surveys_again_at_each_heartbeat() -> None:
    ring = Ring().settle()
    ring.beat("a", 1)
    sent = only(e.Send, ring.until(0.5))
    assert {send.to for send in sent} == {("c",)}
    assert {send.message.origin for send in sent} == {"a", "b", "d"}, "of itself it has told"


def test_surveys_are_not_repeated_while_more_come_in_and_then_only_a_part_at_a_time() -> None:
    members = tuple(f"p{i:03d}" for i in range(AT_ONCE + 11))
    flood = SurveyFlood("p000", members, ("p001", "p041"))
    flood.add("p000", {}, (1.0,))
    assert flood.remind(("p001",)) == [], "it has only just been told"
    for origin in members[1:-1]:
        flood.add(origin, {}, (1.0,), "p041")
    assert flood.remind(("p001",)) == [], "more is coming in"
    reported = [[send.message.origin for send in only(e.Send, flood.remind(("p001",)))] for _ in range(7)]
    assert [len(part) for part in reported] == [AT_ONCE, AT_ONCE, 0, AT_ONCE, 0, 0, 0], "and ever more seldom"
    assert {*reported[0], *reported[1]} == set(members[:-1]), "in turn, so that nothing is left out"
    (own,) = only(e.Send, flood.remind(("p041",)))
    assert own.message.origin == "p000", "all else it has told itself"


def test_round_zero_that_is_not_complete_in_time_fails_by_name() -> None:
    ring = Ring()
    ring.survey("b")
    ring.survey("a", "a")
    effects = ring.until(30.0, beating=("a", "c"))
    within = "within 30 s (network.join_deadline_s)"
    assert effects[-1] == e.Finish("failed", f"round 0 was not complete {within}: nothing was heard of c, d")


def said_of_a_neighbor_that_takes_no_more() -> list[e.Publish]:
    ring = Ring()
    ring.survey("b")
    for _ in range(200):
        ring.tell(ev.SendFailed("c", "peer_survey", 0, "256 messages wait for c already", "slow"))
    return [said for said in only(e.Publish, ring.log) if said.type == "warning"]


def test_surveys_that_cannot_be_sent_are_no_news() -> None:
    assert said_of_a_neighbor_that_takes_no_more() == []


def test_each_would_be_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PeerLifecycle, "unsent", lambda *_: False)
    assert len(said_of_a_neighbor_that_takes_no_more()) == 200


def test_a_survey_of_a_stranger_or_with_a_flaw_is_reported_and_dropped() -> None:
    ring = Ring()
    ring.say("a", m.PeerSurvey("zoe", {}, SURVEY), (1.0,))
    ring.say("a", m.PeerSurvey("d", {}, SURVEY), (1.0,), "values must be finite")
    assert [reported["reason"] for reported in ring.published("update.rejected")] == [
        "a survey of zoe, who is not a member",
        "the survey of d: values must be finite",
    ]
    assert ring.state.lifecycle.flood.surveys == {}


# ------------------------------------------------------------------------------------------------------ the undisturbed


def test_a_round_trains_sends_and_mixes_in_name_order() -> None:
    ring = Ring().settle()
    assert only(e.Train, ring.log) == [e.Train(1, 0, None, {}, to=("a", "c"))]
    (send,) = only(e.Send, ring.trained())
    assert (send.to, send.message, send.body) == (("a", "c"), m.Exchange(1, MODEL), "b1")
    assert only(e.Mix, ring.exchange("c", 1)) == []
    (mix,) = only(e.Mix, ring.exchange("a", 1))
    assert mix == e.Mix(1, ("a1", "b1", "c1"), (THIRD, pytest.approx(THIRD), THIRD), ("a", "b", "c"))
    effects = ring.mixed()
    reported = ring.published("round.completed")[-1]
    assert (reported["closed_by"], reported["participants"], reported["loss"]) == ("all", ["a", "c"], 0.5)
    assert "missing" not in reported
    assert only(e.Evaluate, effects) == [e.Evaluate(1, "test")]
    assert only(e.Train, effects) == [e.Train(2, 0, None, {}, to=("a", "c"))]


def test_an_early_message_waits_for_its_round() -> None:
    ring = Ring().settle()
    ring.trained()
    ring.exchange("a", 1)
    ring.exchange("a", 2)  # a has all it needs: we are its only slow neighbor's neighbor
    ring.exchange("c", 1)
    ring.mixed()
    ring.exchange("c", 2)
    (mix,) = only(e.Mix, ring.trained())
    assert mix.bodies == ("a2", "b2", "c2")


def test_messages_that_came_before_round_zero_was_over_here_count() -> None:
    ring = Ring()
    ring.survey("b")
    for sender in ("a", "c"):
        ring.exchange(sender, 1)
    for origin, source in (("a", "a"), ("c", "c"), ("d", "a")):
        ring.survey(origin, source)
    ring.tell(ev.ModelReady({}, MODEL, "w0"))
    assert only(e.Mix, ring.trained())[0].bodies == ("a1", "b1", "c1")


@pytest.mark.parametrize(("name", "spoken"), [("b", False), ("a", True)])
def test_the_first_peer_alone_says_what_all_have_found_in_their_surveys(name: str, spoken: bool) -> None:
    peer = static_peer(name, "abcd", schedule("ring", "abcd"))
    found = peer.lifecycle.agreed(ev.ModelReady({}, MODEL, "w0", cautions=("nobody has all classes",)), 0.0)
    warned = [each.fields["reason"] for each in found if isinstance(each, e.Publish) and each.type == "warning"]
    assert warned == ["nobody has all classes"] * spoken


def test_it_rests_after_the_rounds_asked_for_and_goes_on_when_asked() -> None:
    ring = Ring(until=1).settle()
    ring.round("a", "c")
    assert ring.state.status == "resting"
    assert only(e.Train, ring.tell(ev.Proceed(2))) == [e.Train(2, 0, None, {}, to=("a", "c"))]


def test_a_second_copy_changes_nothing() -> None:
    ring = Ring().settle()
    ring.exchange("a", 1)
    ring.say("a", m.Exchange(1, MODEL), "a1 again")
    ring.exchange("c", 1)
    (mix,) = only(e.Mix, ring.trained())
    assert mix.bodies == ("a1", "b1", "c1")
    assert ring.exchange("c", 1) == [], "nor while it is being mixed"
    assert ring.state.stats.stale == {"c": 1}


# ---------------------------------------------------------------------------------------------------- the missing, late


def test_the_weight_of_a_missing_neighbor_goes_to_oneself() -> None:
    ring = Ring().settle()
    ring.trained()
    ring.exchange("a", 1)
    (mix,) = only(e.Mix, ring.tell(ev.LinkLost("c", "the connection of c has ended")))
    assert mix == e.Mix(1, ("a1", "b1"), (THIRD, pytest.approx(2 * THIRD)), ("a", "b"))
    ring.mixed()
    reported = ring.published("round.completed")[-1]
    assert (reported["closed_by"], reported["missing"]) == ("suspected", {"c": "silent"})


def test_the_deadline_closes_the_round_and_who_missed_it_is_not_waited_for() -> None:
    ring = Ring(deadline_s=5.0).settle()
    ring.trained()
    ring.exchange("a", 1)
    ring.until(5.0, beating=("a", "c"))
    ring.mixed()
    assert ring.published("round.completed")[-1]["closed_by"] == "deadline"
    ring.round("a")
    reported = ring.published("round.completed")[-1]
    assert (reported["round"], reported["missing"]) == (2, {"c": "missed a round and has not caught up"})
    ring.exchange("c", 3)
    ring.exchange("a", 3)
    assert only(e.Mix, ring.trained())[0].bodies == ("a3", "b3", "c3")
    ring.mixed()
    ring.exchange("a", 4)
    assert only(e.Mix, ring.trained()) == [], "a current message came: waited for again"


def test_a_transfer_on_its_way_extends_the_deadline_but_not_forever() -> None:
    ring = Ring(deadline_s=1.0).settle()
    ring.trained()
    ring.exchange("a", 1)
    for step in range(1, 60):
        ring.beat("c", 1, sending=(1,))
        ring.until(step * 0.25)
        if ring.mixes():
            break
    assert 10.0 <= ring.now <= 11.5


def test_nothing_is_sent_to_the_silent() -> None:
    ring = Ring().settle()
    ring.tell(ev.LinkLost("c", "cut"))
    (send,) = only(e.Send, ring.trained())
    assert send.to == ("a",)


def check_one_neighbor_alone_leads_a_peer_no_further_than_a_few_rounds() -> None:
    ring = Ring(until=1_000).settle()
    ring.exchange("a", 900)
    ring.trained()
    assert ring.state.round == 1 + LEAP
    other = Ring(until=1_000).settle()
    other.exchange("a", 900)
    other.exchange("c", 800)
    other.trained()
    assert other.state.round == 800, "two of them can be right"


def test_one_neighbor_alone_leads_a_peer_no_further_than_a_few_rounds() -> None:
    check_one_neighbor_alone_leads_a_peer_no_further_than_a_few_rounds()


def test_one_neighbor_led_a_peer_to_whatever_round_it_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LEAP", 10**6)
    with pytest.raises(AssertionError):
        check_one_neighbor_alone_leads_a_peer_no_further_than_a_few_rounds()


def check_whoever_is_two_rounds_ahead_shows_that_this_round_is_over() -> None:
    ring = Ring().settle()
    ring.trained()
    assert only(e.Mix, ring.exchange("a", 3))
    ring.mixed()
    assert ring.published("round.completed")[-1]["closed_by"] == "overtaken"
    effects = ring.trained()
    assert ring.state.round == 3, "joins the round that its neighbor is in"
    assert only(e.Send, effects)[0].message == m.Exchange(3, MODEL)
    assert ring.published("warning")[-1]["round"] == 3
    assert only(e.Mix, ring.exchange("c", 3))[0].bodies == ("a3", "b2", "c3"), "and waits for all who are there"


def test_whoever_is_two_rounds_ahead_shows_that_this_round_is_over() -> None:
    check_whoever_is_two_rounds_ahead_shows_that_this_round_is_over()


def test_one_left_behind_would_wait_no_longer_for_those_who_left_it(monkeypatch: pytest.MonkeyPatch) -> None:
    close = WaitPolicy.close

    def _close(self: WaitPolicy, number: int, **how: Any) -> dict[str, str]:
        missing = close(self, number, **how)
        self.absent |= missing.keys()
        return missing

    monkeypatch.setattr(WaitPolicy, "close", _close)
    with pytest.raises(IndexError):
        check_whoever_is_two_rounds_ahead_shows_that_this_round_is_over()


def test_a_straggler_joins_the_round_of_the_others() -> None:
    ring = Ring().settle()
    ring.exchange("a", 2)
    ring.exchange("c", 2)
    effects = ring.trained()
    assert ring.state.round == 2
    weights = (THIRD, pytest.approx(THIRD), THIRD)
    assert only(e.Mix, effects)[0] == e.Mix(2, ("a2", "b1", "c2"), weights, ("a", "b", "c"))


def test_it_never_goes_beyond_the_rounds_asked_for() -> None:
    ring = Ring(until=2).settle()
    ring.exchange("a", 9)
    ring.trained()
    assert ring.state.round == 2


def test_a_neighbor_that_left_is_waited_for_only_up_to_its_last_round() -> None:
    ring = Ring().settle()
    ring.say("c", m.Goodbye(1, "done"))
    ring.trained()
    ring.exchange("a", 1)
    assert ring.mixes() == [], "its last model may still be on its way"
    ring.exchange("c", 1)
    assert ring.mixes()
    ring.mixed()
    ring.round("a")
    assert ring.published("round.completed")[-1]["missing"] == {"c": "left after round 1"}


# ------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("payload", "flaw", "code", "words"),
    [
        (MODEL, "values must be finite, found NaN or infinity", "values", "values must be finite"),
        (m.Payload("beef", "float32", 5), None, "layout", "layout must be a1b2, found beef"),
        (m.Payload("a1b2", "float64", 5), None, "dtype", "dtype must be float32, found float64"),
        (m.Payload("a1b2", "float32", 4), None, "length", "length must be 5, found 4"),
    ],
)
def test_a_wrong_exchange_is_refused_with_its_reason_and_the_round_goes_on(
    payload: m.Payload, flaw: str | None, code: str, words: str
) -> None:
    ring = Ring().settle()
    effects = ring.say("a", m.Exchange(1, payload), "bad", flaw)
    (refusal,) = only(e.Send, effects)
    assert isinstance(refusal.message, m.Refused)
    assert (refusal.to, refusal.message.code) == (("a",), code)
    assert code in m.CODES
    assert words in refusal.message.reason
    ring.exchange("c", 1)
    ring.trained()
    ring.tell(ev.LinkLost("a", "cut"))
    (mix,) = ring.mixes()
    assert mix.bodies == ("b1", "c1")


def test_a_stranger_is_not_listened_to() -> None:
    ring = Ring().settle()
    assert ring.exchange("d", 1) == []
    assert ring.exchange("mallory", 1) == []


def test_training_that_fails_ends_the_peer_by_name() -> None:
    ring = Ring().settle()
    effects = ring.tell(ev.WorkFailed("train", 1, 0, "ArithmeticError: the weights after training must be finite"))
    assert effects[-1] == e.Finish("failed", "train failed: ArithmeticError: the weights after training must be finite")


def test_what_was_exchanged_is_reported_a_few_times_a_second() -> None:
    ring = Ring().settle()
    ring.round("a", "c")
    ring.now = 0.1
    ring.round("a", "c")
    assert [reported["count"] for reported in ring.published("exchange.received")] == [1, 1]
    ring.now = 0.3
    ring.round("a", "c")
    assert ring.published("exchange.received")[-1] == {"subject": "c", "round": 3, "count": 2, "bytes": 200}


def test_with_the_last_round_all_is_reported_that_was_late_or_did_not_go_out() -> None:
    ring = Ring().settle()
    ring.round("a", "c")
    ring.exchange("c", 1)
    ring.tell(ev.SendFailed("a", "exchange", 1, "slow"))
    ring.state.rounds.until = 2
    ring.round("a", "c")
    sent, received = ring.published("exchange.sent")[-2:], ring.published("exchange.received")[-2:]
    assert sent == [{"subject": "a", "round": 2, "count": 1, "dropped": 1}, {"subject": "c", "round": 2, "count": 1}]
    assert received[1] == {"subject": "c", "round": 2, "count": 1, "bytes": 100, "stale": 1}


def test_a_round_reports_how_long_it_waited_and_how_much_training_is_in_the_model() -> None:
    ring = Ring().settle()
    ring.trained()
    ring.now = 2.5
    ring.exchange("a", 1)
    ring.exchange("c", 1)
    ring.mixed()
    reported = ring.published("round.completed")[-1]
    assert (reported["waiting_s"], reported["age"]) == (2.5, 1)


# ------------------------------------------------------- each bug that was, and a test that would fail if it were again


def check_a_training_that_hangs_ends_the_peer_by_name() -> None:
    ring = Ring(deadline_s=5.0).settle()
    ring.round("a", "c")
    effects = ring.until(60.0, beating=("a", "c"))
    assert effects[-1] == e.Finish("failed", "the training of round 2 did not end within 50 s")
    assert e.CancelTraining() in effects


def test_a_training_that_hangs_ends_the_peer_by_name() -> None:
    check_a_training_that_hangs_ends_the_peer_by_name()


def test_a_training_that_hangs_would_be_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    timer = PeerMachine._timer

    def _timer(self: PeerMachine, key: ev.Key, now: float) -> list[e.Effect]:
        return [] if key[0] == "training" else timer(self, key, now)

    monkeypatch.setattr(PeerMachine, "_timer", _timer)
    with pytest.raises(AssertionError):
        check_a_training_that_hangs_ends_the_peer_by_name()


def check_the_first_round_missed_is_called_by_its_name() -> None:
    ring = Ring(deadline_s=5.0).settle()
    ring.trained()
    ring.exchange("a", 1)
    ring.until(5.0, beating=("a", "c"))
    ring.mixed()
    assert ring.published("round.completed")[-1]["missing"] == {"c": "no answer in time"}


def test_the_first_round_missed_is_called_by_its_name() -> None:
    check_the_first_round_missed_is_called_by_its_name()


def test_the_first_round_missed_would_be_called_a_later_one(monkeypatch: pytest.MonkeyPatch) -> None:
    close = WaitPolicy.close

    def _close(self: WaitPolicy, number: int, *, overtaken: bool, present: Any) -> dict[str, str]:
        self.absent |= set("ac") - set(present)
        return close(self, number, overtaken=overtaken, present=present)

    monkeypatch.setattr(WaitPolicy, "close", _close)
    with pytest.raises(AssertionError):
        check_the_first_round_missed_is_called_by_its_name()


def check_half_a_round_late_is_waited_for_again() -> None:
    ring = Ring().settle()
    ring.trained()
    ring.exchange("a", 1)
    ring.tell(ev.LinkLost("c", "cut"))
    ring.mixed()
    ring.beat("c", 2)
    ring.exchange("c", 1)  # stale, and yet within the deadline of round 1
    ring.exchange("a", 2)
    assert only(e.Mix, ring.trained()) == []
    assert only(e.Mix, ring.exchange("c", 2))[0].bodies == ("a2", "b2", "c2")


def test_half_a_round_late_is_waited_for_again() -> None:
    check_half_a_round_late_is_waited_for_again()


def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patch it so that no stale message ever brings its sender back."""
    monkeypatch.setattr(WaitPolicy, "late", lambda self, sender, number: None)


def test_half_a_round_late_would_stay_so_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    forgetful(monkeypatch)
    with pytest.raises(AssertionError):
        check_half_a_round_late_is_waited_for_again()


def mixed_without_one_that_has_announced_its_edge() -> bool:
    """Whether a round is mixed without the model of a neighbor that missed one, and has said since when it is there."""
    ring = Ring(deadline_s=5.0).settle()
    ring.trained()
    ring.exchange("a", 1)
    ring.until(5.0, beating=("a", "c"))
    ring.mixed()
    ring.say("c", m.Edge(3, 2))
    ring.round("a")
    ring.trained()
    return bool(only(e.Mix, ring.exchange("a", 3)))


def test_one_that_announces_its_edge_is_waited_for_again() -> None:
    assert not mixed_without_one_that_has_announced_its_edge()


def test_as_long_as_no_model_of_it_comes_it_would_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WaitPolicy, "announced", lambda *_: None)
    assert mixed_without_one_that_has_announced_its_edge()


def test_a_model_more_than_three_rounds_late_does_not_bring_its_sender_back() -> None:
    ring = Ring().settle()
    ring.tell(ev.LinkLost("c", "cut"))
    for _ in range(5):
        ring.round("a")
    ring.beat("c", 1)
    ring.exchange("c", 1)
    ring.exchange("a", 6)
    assert only(e.Mix, ring.trained())[0].bodies == ("a6", "b6")
    ring.mixed()
    ring.exchange("c", 3)  # but it catches up
    ring.exchange("a", 7)
    assert only(e.Mix, ring.trained()) == []


def check_nobody_waits_for_one_who_is_two_rounds_on() -> None:
    ring = Ring().settle()
    ring.beat("a", 5)
    ring.exchange("c", 1)
    assert only(e.Mix, ring.trained())[0].bodies == ("b1", "c1")


def test_nobody_waits_for_one_who_is_two_rounds_on() -> None:
    check_nobody_waits_for_one_who_is_two_rounds_on()


def test_one_round_on_is_waited_for() -> None:
    """Its heartbeat may have overtaken its model."""
    ring = Ring().settle()
    ring.beat("a", 2)
    ring.exchange("c", 1)
    assert only(e.Mix, ring.trained()) == []
    assert only(e.Mix, ring.exchange("a", 1))


def test_one_who_is_two_rounds_on_would_be_waited_for_until_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WaitPolicy, "_ahead", lambda self, peer, number: False)
    with pytest.raises(IndexError):
        check_nobody_waits_for_one_who_is_two_rounds_on()


def check_one_who_left_may_come_back() -> None:
    ring = Ring().settle()
    ring.say("c", m.Goodbye(0, "restart"))
    ring.tell(ev.LinkUp("c", "peer", 2))
    (beat,) = only(e.SendHeartbeat, ring.until(0.5, beating=("a", "c")))
    assert beat.to == ("a", "c")
    ring.exchange("a", 1)
    assert only(e.Mix, ring.trained()) == []


def test_one_who_left_may_come_back() -> None:
    check_one_who_left_may_come_back()


def test_one_who_left_would_get_no_beat_if_it_stayed_departed(monkeypatch: pytest.MonkeyPatch) -> None:
    welcome = NeighborTracker.welcome

    def _welcome(self: NeighborTracker, peer: str, **how: Any) -> None:
        departed = dict(self.departed)
        welcome(self, peer, **how)
        self.departed.update(departed)

    monkeypatch.setattr(NeighborTracker, "welcome", _welcome)
    with pytest.raises(AssertionError):
        check_one_who_left_may_come_back()


def check_a_lost_heartbeat_is_not_reported() -> None:
    ring = Ring().settle()
    assert ring.tell(ev.SendFailed("c", "heartbeat", 1, "slow")) == []
    assert ring.tell(ev.SendFailed("c", "exchange", 1, "slow")) != []
    assert ring.state.stats.dropped == {"c": 1}


def test_a_lost_heartbeat_is_not_reported() -> None:
    check_a_lost_heartbeat_is_not_reported()


def test_a_lost_heartbeat_would_warn_twice_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    handle = PeerMachine.handle

    def any_message(self: PeerMachine, event: ev.Event, now: float) -> list[e.Effect]:
        if isinstance(event, ev.SendFailed):
            event = ev.SendFailed(event.peer, "exchange", event.round, event.reason)
        return handle(self, event, now)

    monkeypatch.setattr(PeerMachine, "handle", any_message)
    with pytest.raises(AssertionError):
        check_a_lost_heartbeat_is_not_reported()


# ------------------------------------------------------------------------------------------------------------ alone


def closings_of_one_without_neighbors(monkeypatch: pytest.MonkeyPatch, *, cut_off: bool) -> Ring:
    """Two rounds with a and c, two with nobody to wait for, one with both again."""
    ring = Ring().settle()
    ring.round("a", "c")
    ring.round("a", "c")
    membership = ring.state.membership
    with monkeypatch.context() as gone:
        gone.setattr(membership.neighborhood, "sources", lambda _: ())
        gone.setattr(membership, "cut_off", lambda _: cut_off)
        gone.setattr(membership, "missing", ("a", "c", "d"))
        gone.setattr(ring.state.tracker, "living", lambda _: False)
        ring.round()
        ring.round()
    ring.round("a", "c")
    return ring


def test_rounds_mixed_with_nobody_say_so_and_so_does_the_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = closings_of_one_without_neighbors(monkeypatch, cut_off=True)
    assert [fields["closed_by"] for fields in ring.published("round.completed")[1:]] == [
        "all",
        "all",
        "alone",
        "alone",
        "all",
    ]
    assert [fields["reason"] for fields in ring.published("warning")] == [
        "cut off from a, c, d: goes on alone from round 3 on",
        "mixes with others again from round 5 on",
    ]


def test_taken_for_complete_they_would_pass_for_whole_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = closings_of_one_without_neighbors(monkeypatch, cut_off=False)
    assert {fields["closed_by"] for fields in ring.published("round.completed")} == {"all"}


def check_that_a_failure_in_round_0_is_told(ring: Ring) -> None:
    ring.survey("b")
    effects = ring.say("a", m.Goodbye(round=0, reason="a failed in round 0: row 3 has no number"))
    (end,) = [effect for effect in effects if isinstance(effect, e.Finish)]
    assert end.reason == "a failed in round 0: row 3 has no number"
    (told,) = [effect.message for effect in effects if isinstance(effect, e.Send)]
    assert told == m.Goodbye(round=0, reason=end.reason), "and passed on, to those who are no neighbors of a"


def test_a_peer_that_fails_in_round_0_tells_the_others_why() -> None:
    check_that_a_failure_in_round_0_is_told(Ring())
    effects = Ring().tell(ev.WorkFailed("survey", 0, 0, "row 3 has no number"))
    (told,) = [effect.message for effect in effects if isinstance(effect, e.Send)]
    assert isinstance(told, m.Goodbye)
    assert told.reason.startswith("b failed in round 0: ")
    assert "row 3 has no number" in told.reason


def test_heard_as_any_goodbye_it_would_be_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PeerLifecycle, "left_early", lambda *_: [])
    with pytest.raises(ValueError, match="not enough values"):
        check_that_a_failure_in_round_0_is_told(Ring())


def check_who_left_and_why_is_told(reason: str) -> None:
    ring = Ring()
    ring.survey("b")
    (end,) = [effect for effect in ring.say("a", m.Goodbye(0, reason)) if isinstance(effect, e.Finish)]
    assert end.reason == f"a left before round 0 was complete: {reason}"


def test_who_left_before_round_0_was_complete_is_named_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    for error, reason in ((asyncio.CancelledError, "interrupted"), (ValueError, "its program raised ValueError")):
        assert Role._leaving(error) == reason
        check_who_left_and_why_is_told(reason)
    assert [Role._leaving(error) for error in (None, NodeFailed)] == ["done", "done"]
    monkeypatch.setattr(PeerLifecycle, "left_early", lambda self, _, reason: self.fail(reason, passed_on=reason))
    with pytest.raises(AssertionError):
        check_who_left_and_why_is_told("interrupted")


def test_who_only_leaves_before_round_0_is_complete_is_waited_for() -> None:
    ring = Ring()
    ring.survey("b")
    assert not [effect for effect in ring.say("a", m.Goodbye(0, "done")) if isinstance(effect, e.Finish)]


def given_to_one_that_asks_in_the_first_round() -> list[tuple[str, ...]]:
    ring = Ring().settle()
    ring.say("a", m.GetModel())
    return [sent.to for sent in only(e.Send, ring.round("a", "c")) if isinstance(sent.message, m.Model)]


def test_who_asks_in_the_first_round_is_given_its_model() -> None:
    assert given_to_one_that_asks_in_the_first_round() == [("a",)]


def test_it_would_ask_in_vain_and_might_ask_once_only(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ModelOffer.asked

    def once_there_is_one(self: ModelOffer, sender: str) -> list[e.Effect]:
        return asked(self, sender) if self._rounds.completed else []

    monkeypatch.setattr(ModelOffer, "asked", once_there_is_one)
    assert given_to_one_that_asks_in_the_first_round() == []


def short_of_peers(least: int) -> Ring:
    """One that is alone after round 2, and must have so many peers."""
    ring = Ring(min_peers=least, wait_deadline_s=20.0).settle()
    ring.round("a", "c")
    ring.state.membership.count, ring.state.membership.absent = 1, ("a", "c")
    ring.round("a", "c")
    return ring


def test_a_part_with_too_few_peers_waits_and_goes_on_when_they_are_back() -> None:
    ring = short_of_peers(2)
    assert (ring.state.status, ring.state.completed) == ("short", 2)
    assert ring.published("warning")[-1]["reason"] == (
        "round 3 waits for peers: 1 of at least 2 peers are there; missing: a, c "
        "(gossip.min_peers goes on with fewer, gossip.wait_deadline_s waits longer)"
    )
    ring.state.membership.count = 2
    assert [train.round for train in only(e.Train, ring.beat("a", 3))] == [3]
    assert ("wait",) not in ring.timers


def test_by_default_it_goes_on_alone() -> None:
    assert short_of_peers(0).state.round == 3


def test_it_waits_not_forever() -> None:
    ring = short_of_peers(2)
    found = ring.until(30.0)
    (end,) = only(e.Finish, found)
    assert end.reason.startswith("round 3 waited 20 s for peers: 1 of at least 2 peers are there; missing: a, c (")


# ------------------------------------------------------------------------------------ what a site does not take part in


def limited(**allow: Any) -> Policy:
    return Policy(allow=AllowConfig(**allow), run="r", model="mlp", strategy="dpsgd", rounds=10, rows=20)


@pytest.mark.parametrize("allow", [{"min_clients": 5}, {"max_rounds": 9}, {"strategies": ("gt",)}, {"statistics": ()}])
def test_a_peer_declines_by_name_and_tells_its_neighbors(allow: Mapping[str, Any]) -> None:
    ring = Ring(policy=limited(**allow))
    (finish,) = only(e.Finish, ring.log)
    key = f"site.allow.{next(iter(allow))}"
    assert finish.reason.startswith(f"declined: {key}: found ")
    goodbyes = [each for each in only(e.Send, ring.log) if isinstance(each.message, m.Goodbye)]
    assert [(each.to, each.message.reason) for each in goodbyes] == [(("a", "c"), f"b {finish.reason}")]
    (event,) = [each.fields for each in only(e.Publish, ring.log) if each.type == "site.declined"]
    assert event["key"] == key
    assert only(e.Survey, ring.log) == [], "nothing is told"


def test_the_others_end_by_the_same_name() -> None:
    ring = Ring()
    ring.survey("b")
    ring.say("a", m.Goodbye(0, "d declined: site.allow.max_rounds: found 10 rounds; allowed: 9 at most"))
    (finish,) = only(e.Finish, ring.log)
    assert finish.reason.startswith("d declined: site.allow.max_rounds")


def test_a_peer_declines_a_further_question_that_is_not_told() -> None:
    ring = Ring(policy=limited(statistics=("moments",)))
    ring.survey("b")
    for origin, source in (("a", "a"), ("c", "c"), ("d", "a")):
        ring.survey(origin, source)
    effects = ring.tell(ev.NextQuestion(1, {"ask": "fit", "part": "order"}))
    assert only(e.Survey, effects) == []
    (finish,) = only(e.Finish, effects)
    assert finish.reason == "declined: site.allow.statistics: found quantiles; allowed: moments"


def test_without_the_policy_it_would_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PeerLifecycle, "consented", lambda _, effects: effects)
    assert only(e.Survey, Ring(policy=limited(statistics=())).log) == [e.Survey()]
