"""Round 0 of several questions among peers: each floods its answers, and all ask themselves the same next question."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nervenet.broker import messages as m
from nervenet.nodes.config.schema import Timing
from nervenet.nodes.gossip.asynchronous.gossip_learning import GossipLearning, GossipLearningMachine
from nervenet.nodes.gossip.lifecycle import PeerLifecycle
from nervenet.nodes.gossip.rules import PeerRules
from nervenet.nodes.gossip.survey_flood import NUMBERS_AT_ONCE, OFTEN, SurveyFlood
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.topology import schedule
from static_membership import static_peer

T = TypeVar("T")
MODEL = m.Payload(layout="a1b2", dtype="float32", length=5)
SURVEY = m.Payload(layout="survey", dtype="float64", length=1)
QUESTIONS = ({}, {"ask": "spread"}, {"ask": "median"})
OTHERS = (("a", "a"), ("c", "c"), ("d", "a"))  # whose answer, and who brings it


def only(kind: type[T], effects: Iterable[e.Effect]) -> list[T]:
    return [effect for effect in effects if isinstance(effect, kind)]


def with_rounds(timing: Timing, **rules: Any) -> Any:
    given = {"join_deadline_s": timing.join_deadline_s} | rules
    return static_peer("b", "abcd", schedule("ring", "abcd"), **given)


def without_rounds(timing: Timing) -> Any:
    rules = PeerRules("b", tuple("abcd"), timing, neighbors=("a", "c"), settings={"epochs": 1})
    return GossipLearningMachine(rules, GossipLearning())


class Meeting:
    """Peer b of a ring a - b - c - d - a, in round 0."""

    def __init__(self, machine: Callable[..., Any] = with_rounds, join_deadline_s: float = 30.0, **rules: Any) -> None:
        self.state = machine(Timing(join_deadline_s=join_deadline_s), **rules)
        self.now = 0.0
        self.timers: dict[ev.Key, float] = {}
        self.log: list[e.Effect] = []
        self.tell(ev.Started())
        self.tell(ev.Proceed(5))
        for peer in ("a", "c"):
            self.tell(ev.LinkUp(peer, "peer", 1))

    @property
    def flood(self) -> SurveyFlood:
        lifecycle: PeerLifecycle = self.state.lifecycle
        return lifecycle.flood

    def tell(self, event: ev.Event, now: float | None = None) -> list[e.Effect]:
        self.now = self.now if now is None else now
        effects: list[e.Effect] = self.state.handle(event, self.now)
        for effect in effects:
            match effect:
                case e.SetTimer(key, at):
                    self.timers[key] = at
                case e.CancelTimer(key):
                    self.timers.pop(key, None)
        self.log += effects
        return effects

    def own(self, step: int) -> list[e.Effect]:
        return self.tell(ev.Surveyed({"of": "b"}, (float(step),), step))

    def heard(self, origin: str, source: str, step: int, payload: m.Payload = SURVEY) -> list[e.Effect]:
        message = m.PeerSurvey(origin, {"of": origin}, payload, step)
        return self.tell(ev.Arrived(source, message, (float(step),), None, 8))

    def question(self, step: int) -> list[e.Effect]:
        """Everybody answers this question; return what is wanted then."""
        if step:
            self.tell(ev.NextQuestion(step, QUESTIONS[step]))
        effects = self.own(step)
        for origin, source in OTHERS:
            effects += self.heard(origin, source, step)
        return effects

    def settle(self, questions: int = 3) -> list[e.Effect]:
        for step in range(questions):
            self.question(step)
        return self.tell(ev.ModelReady({"columns": ["x"]}, MODEL, "w0"))

    def pulse(self, *beating: str, number: int = 0) -> list[e.Effect]:
        for peer in beating:
            self.tell(ev.Arrived(peer, m.Heartbeat(number, "meeting", ())))
        return self.tell(ev.TimerFired(("pulse",), self.now))

    def finished(self) -> e.Finish | None:
        return next(iter(only(e.Finish, self.log)), None)


@pytest.fixture(params=[with_rounds, without_rounds])
def meeting(request: pytest.FixtureRequest) -> Callable[..., Meeting]:
    """Return `Meeting`, of a peer with rounds and of one without."""
    return lambda **given: Meeting(request.param, **given)


def sent(effects: Iterable[e.Effect]) -> list[tuple[Any, str, int]]:
    """To whom, whose answer, to which question."""
    surveys = [send for send in only(e.Send, effects) if isinstance(send.message, m.PeerSurvey)]
    return [(send.to, send.message.origin, send.message.step) for send in surveys]


# ------------------------------------------------------------------------------------------------------ the undisturbed


def test_a_peer_asks_itself_each_next_question_and_floods_its_answer(meeting: Callable[..., Meeting]) -> None:
    peer = meeting()
    (agree,) = only(e.ApplyAgreement, peer.question(0))
    assert (agree.step, list(agree.surveys)) == (0, ["a", "b", "c", "d"])
    assert only(e.Survey, peer.tell(ev.NextQuestion(1, QUESTIONS[1]))) == [e.Survey(QUESTIONS[1], 1)]
    assert sent(peer.own(1)) == [(("a", "c"), "b", 1)]
    assert sent(peer.heard("d", "a", 1)) == [(("c",), "d", 1)]
    peer.heard("a", "a", 1)
    (agree,) = only(e.ApplyAgreement, peer.heard("c", "c", 1))
    assert agree.step == 1
    assert dict(agree.surveys) == {name: ({"of": name}, (1.0,)) for name in "abcd"}


def test_round_0_is_complete_once_with_all_its_questions(meeting: Callable[..., Meeting]) -> None:
    peer = meeting()
    peer.settle()
    completed = [p.fields for p in only(e.Publish, peer.log) if p.type == "round.completed"]
    assert [fields["round"] for fields in completed] == [0]
    assert completed[0]["participants"] == list("abcd")
    assert peer.state.settled is not None


def test_the_first_question_has_no_step_on_the_wire(meeting: Callable[..., Meeting]) -> None:
    (own,) = only(e.Send, meeting().own(0))
    assert own.message == m.PeerSurvey("b", {"of": "b"}, SURVEY)


def test_what_a_peer_holds_of_earlier_rounds_goes_with_its_statistics_alone() -> None:
    peer = Meeting(keeps=True, held=(4, 8))
    assert only(e.Send, peer.own(0))[0].message.fields == {"of": "b", "rounds": [4, 8]}
    for origin, source in OTHERS:
        message = m.PeerSurvey(origin, {"of": origin, "rounds": [4]}, SURVEY)
        effects = peer.tell(ev.Arrived(source, message, (0.0,)))
    (agree,) = only(e.ApplyAgreement, effects)
    assert agree.round == 4, "the peers go on from there, and are asked nothing more"
    fresh = Meeting(keeps=True)
    fresh.question(0)
    fresh.tell(ev.NextQuestion(1, QUESTIONS[1]))
    assert only(e.Send, fresh.own(1))[0].message.fields == {"of": "b"}


@given(order=st.permutations([(origin, step) for step in (0, 1, 2) for origin in "abcd"]), twice=st.booleans())
def test_whatever_order_answers_come_in_each_question_is_asked_once_with_all_answers(
    order: list[tuple[str, int]], twice: bool
) -> None:
    """An answer that a peer cannot have given yet comes when it can."""
    peer = Meeting()
    waiting, asked = [*order, *order[:5]] if twice else list(order), []
    while waiting:
        possible = [one for one in waiting if one[1] <= peer.flood.step + (one[0] != "b")]
        origin, step = possible[0]
        waiting.remove((origin, step))
        effects = peer.own(step) if origin == "b" else peer.heard(origin, dict(OTHERS)[origin], step)
        for agree in only(e.ApplyAgreement, effects):
            assert dict(agree.surveys) == {name: ({"of": name}, (float(agree.step),)) for name in "abcd"}
            asked.append(agree.step)
            if agree.step < 2:
                peer.tell(ev.NextQuestion(agree.step + 1, QUESTIONS[agree.step + 1]))
    assert asked == [0, 1, 2]


# ------------------------------------------------------------------------------------------ ahead, behind, twice, wrong


def test_an_answer_that_comes_before_its_question_counts_and_is_passed_on_at_once(
    meeting: Callable[..., Meeting],
) -> None:
    peer = meeting()
    peer.own(0)
    peer.heard("a", "a", 0)
    peer.heard("c", "c", 0)
    assert sent(peer.heard("a", "a", 1)) == [(("c",), "a", 1)], "a has heard of d, this peer has not"
    assert only(e.ApplyAgreement, peer.heard("d", "a", 0))[0].step == 0
    peer.tell(ev.NextQuestion(1, QUESTIONS[1]))
    assert set(peer.flood.surveys) == {"a"}


def check_all_that_came_early_is_enough(peer: Meeting) -> None:
    peer.question(0)
    for origin, source in OTHERS:
        peer.heard(origin, source, 1)
    peer.tell(ev.NextQuestion(1, QUESTIONS[1]))
    (agree,) = only(e.ApplyAgreement, peer.own(1))
    assert set(agree.surveys) == set("abcd")


def test_all_that_came_early_is_enough(meeting: Callable[..., Meeting]) -> None:
    check_all_that_came_early_is_enough(meeting())


def test_what_came_early_would_be_missed_if_it_were_dropped(
    meeting: Callable[..., Meeting], monkeypatch: pytest.MonkeyPatch
) -> None:
    add_all = SurveyFlood.add_all

    def drop(self: SurveyFlood, answers: Any, source: str, step: int) -> list[e.Effect]:
        return [] if step > self.step else add_all(self, answers, source, step)

    monkeypatch.setattr(SurveyFlood, "add_all", drop)
    with pytest.raises(ValueError, match="not enough values"):
        check_all_that_came_early_is_enough(meeting())


def test_an_answer_to_a_question_that_is_over_changes_nothing(meeting: Callable[..., Meeting]) -> None:
    peer = meeting()
    peer.question(0)
    peer.question(1)
    peer.tell(ev.NextQuestion(2, QUESTIONS[2]))
    assert peer.heard("d", "c", 1) == []
    assert peer.heard("d", "c", 0) == []
    assert peer.flood.surveys == {}


def test_an_answer_that_nobody_can_have_given_is_rejected_by_name(meeting: Callable[..., Meeting]) -> None:
    peer = meeting()
    (rejected,) = only(e.Publish, peer.heard("d", "a", 2))
    assert rejected.fields["subject"] == "a"
    assert rejected.fields["reason"] == "an answer of d to question 2, while question 0 is open"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (m.Payload("survey", "float32", 1), "dtype must be float64, found float32"),
        (m.Payload("a1b2", "float64", 1), "layout must be survey, found a1b2"),
        (m.Payload("survey", "float64", 2**24 + 1), "length must be at most 16777216, found 16777217"),
    ],
)
def test_an_answer_that_cannot_be_one_is_rejected(
    meeting: Callable[..., Meeting], payload: m.Payload, reason: str
) -> None:
    peer = meeting()
    (rejected,) = only(e.Publish, peer.heard("d", "a", 0, payload))
    assert rejected.fields["reason"] == f"the survey of d: {reason}"
    assert peer.flood.surveys == {}


def test_who_connects_anew_gets_the_answers_to_the_open_question_and_to_the_one_before(
    meeting: Callable[..., Meeting],
) -> None:
    peer = meeting()
    for step in (0, 1):
        peer.question(step)
    peer.tell(ev.NextQuestion(2, QUESTIONS[2]))
    peer.own(2)
    found = sent(peer.tell(ev.LinkUp("a", "peer", 1)))
    assert found == [*((("a",), origin, 1) for origin in "abcd"), (("a",), "b", 2)]


def test_a_neighbor_that_has_answered_is_reminded_of_the_open_question_alone(meeting: Callable[..., Meeting]) -> None:
    peer = meeting()
    peer.question(0)
    peer.tell(ev.NextQuestion(1, QUESTIONS[1]))
    peer.own(1)
    peer.heard("a", "a", 1)
    peer.pulse("a", "c")
    found = sent(peer.pulse("a", "c"))
    assert (("a",), "b", 1) in found
    assert not [key for key in found if key[0] == ("a",) and key[2] == 0], "it has them all"
    assert {key[1] for key in found if key[0] == ("c",) and key[2] == 0} == {"a", "b", "d"}, "it may lack them"


def test_large_answers_are_repeated_one_by_one() -> None:
    flood = SurveyFlood("a", ("a", "b", "c"), ("b",))
    for origin in "ac":
        flood.add(origin, {}, range(NUMBERS_AT_ONCE))
    flood.remind(("b",))
    found = [sent(flood.remind(("b",))) for _ in range(4)]
    assert [[key[1] for key in each] for each in found] == [["a"], ["c"], [], ["a"]], "with pauses between them"
    flood.unsent("b")
    assert len(sent(flood.remind(("b",)))) == 1, "and without one where it is known that it was lost"


def reminders_to_one_that_takes_nothing() -> int:
    flood = SurveyFlood("a", ("a", "b", "c"), ("b",))
    for origin in "ac":
        flood.add(origin, {}, (1.0,))
    flood.remind(("b",))
    found = 0
    for _ in range(40):
        effects = flood.remind(("b",))
        found += bool(effects)
        for _ in effects:
            flood.unsent("b")
    return found


def test_who_takes_nothing_is_reminded_ever_more_seldom() -> None:
    assert reminders_to_one_that_takes_nothing() <= OFTEN + 6


def test_it_would_be_with_every_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SurveyFlood, "unsent", lambda flood, peer: flood._spared.clear() or flood._pauses.clear())
    assert reminders_to_one_that_takes_nothing() == 40


# ------------------------------------------------------------------------------------------------------ deadlines, ends


def test_each_question_has_a_deadline_of_its_own_from_the_last_answer_on(meeting: Callable[..., Meeting]) -> None:
    peer = meeting(join_deadline_s=10.0)
    peer.question(0)
    assert ("join",) not in peer.timers
    peer.tell(ev.NextQuestion(1, QUESTIONS[1]), 25.0)
    assert peer.timers["join",] == 35.0
    peer.own(1)
    peer.now = 30.0
    peer.heard("a", "a", 1)
    assert peer.timers["join",] == 40.0
    peer.heard("a", "c", 1)
    peer.now = 40.0
    peer.tell(ev.TimerFired(("join",), 40.0))
    finish = peer.finished()
    assert finish is not None
    assert finish.reason == (
        "round 0 was not complete: no answer to its question 1 was heard of c, d within 10 s (network.join_deadline_s)"
    )
    goodbyes = [s for s in only(e.Send, peer.log) if isinstance(s.message, m.Goodbye)]
    assert goodbyes[0].message.reason.startswith("b failed in round 0: round 0 was not complete")


def test_a_member_that_leaves_before_it_has_answered_ends_round_0_by_its_name(meeting: Callable[..., Meeting]) -> None:
    peer = meeting()
    peer.question(0)
    peer.tell(ev.NextQuestion(1, QUESTIONS[1]))
    peer.tell(ev.Arrived("a", m.Goodbye(0, "interrupted")))
    finish = peer.finished()
    assert finish is not None
    assert finish.reason == "a left before round 0 was complete: interrupted"


def check_a_member_that_left_after_its_answer_is_missed_by_the_next_question(peer: Meeting) -> None:
    peer.question(0)
    peer.tell(ev.Arrived("a", m.Goodbye(0, "interrupted")))
    assert peer.finished() is None, "it may have been the last question"
    peer.tell(ev.NextQuestion(1, QUESTIONS[1]))
    finish = peer.finished()
    assert finish is not None
    assert finish.reason == "a left before round 0 was complete: interrupted"


def test_a_member_that_left_after_its_answer_is_missed_by_the_next_question(meeting: Callable[..., Meeting]) -> None:
    check_a_member_that_left_after_its_answer_is_missed_by_the_next_question(meeting())


def test_the_next_question_would_wait_for_one_that_left_until_its_deadline(
    meeting: Callable[..., Meeting], monkeypatch: pytest.MonkeyPatch
) -> None:
    left_early = PeerLifecycle.left_early

    def forget(self: PeerLifecycle, sender: str, reason: str) -> list[e.Effect]:
        return [] if sender in self.flood.surveys else left_early(self, sender, reason)

    monkeypatch.setattr(PeerLifecycle, "left_early", forget)
    with pytest.raises(AssertionError):
        check_a_member_that_left_after_its_answer_is_missed_by_the_next_question(meeting())


def check_a_member_that_left_and_was_started_again_is_not_missed(peer: Meeting) -> None:
    peer.question(0)
    peer.tell(ev.Arrived("a", m.Goodbye(0, "interrupted")))
    peer.tell(ev.LinkUp("a", "peer", 2))
    peer.tell(ev.NextQuestion(1, QUESTIONS[1]))
    assert peer.finished() is None


def test_a_member_that_left_and_was_started_again_is_not_missed(meeting: Callable[..., Meeting]) -> None:
    check_a_member_that_left_and_was_started_again_is_not_missed(meeting())


def test_it_would_be_missed_if_only_its_goodbye_counted(
    meeting: Callable[..., Meeting], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PeerLifecycle, "greet", lambda self, peer, **_: self.flood.greet(peer))
    with pytest.raises(AssertionError):
        check_a_member_that_left_and_was_started_again_is_not_missed(meeting())


def test_a_question_that_cannot_be_answered_here_ends_round_0_for_all(meeting: Callable[..., Meeting]) -> None:
    peer = meeting()
    peer.question(0)
    peer.tell(ev.NextQuestion(1, QUESTIONS[1]))
    effects = peer.tell(ev.WorkFailed("survey", 0, 0, "IncompatibleSites: no such column"))
    (goodbye,) = only(e.Send, effects)
    assert goodbye.message == m.Goodbye(0, "b failed in round 0: survey failed: IncompatibleSites: no such column")


def check_a_peer_lives_on_after_a_question_that_nobody_asks(peer: Meeting) -> None:
    """It was started again, and is told first by c and then by a where the others are."""
    peer.tell(ev.Arrived("c", m.CatchUp(7, {"ask": 3}, None)))
    refused = ev.QuestionRefused(7, "c", "asked by c: ask is 3; allowed: 'statistics', 'fit'")
    effects = peer.tell(refused)
    (rejected,) = only(e.Publish, effects)
    assert rejected.type == "update.rejected"
    assert rejected.fields["subject"] == "c"
    assert "ask is 3; allowed" in rejected.fields["reason"]
    assert only(e.Survey, effects) == [e.Survey()], "its own answer to the question before came too late to count"
    assert peer.finished() is None
    assert only(e.Survey, peer.tell(ev.Arrived("a", m.CatchUp(2, QUESTIONS[2], None)))) == [
        e.Survey(QUESTIONS[2], 2, "a")
    ]
    assert sent(peer.own(2)) == [(("a", "c"), "b", 2)]


def test_a_peer_lives_on_after_a_question_that_nobody_asks(meeting: Callable[..., Meeting]) -> None:
    check_a_peer_lives_on_after_a_question_that_nobody_asks(meeting())


def test_a_neighbor_could_end_a_run_by_it(meeting: Callable[..., Meeting], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PeerLifecycle, "_refused", lambda lifecycle, event: lifecycle.fail(event.reason))
    with pytest.raises((AssertionError, ValueError)):
        check_a_peer_lives_on_after_a_question_that_nobody_asks(meeting())


def test_a_question_of_its_own_that_nobody_can_answer_ends_round_0_by_name(meeting: Callable[..., Meeting]) -> None:
    peer = meeting()
    peer.question(0)
    peer.tell(ev.NextQuestion(1, QUESTIONS[1]))
    peer.tell(ev.QuestionRefused(1, "", "the question 'spread' cannot be answered here: TypeError: no"))
    finish = peer.finished()
    assert finish is not None
    assert finish.reason.startswith("question 1 of round 0 cannot be answered: the question 'spread'")


# ----------------------------------------------------------------------------------------------------------- to be seen


def test_a_watcher_learns_which_question_is_open_and_who_is_waited_for(meeting: Callable[..., Meeting]) -> None:
    peer = meeting()
    peer.question(0)
    peer.tell(ev.NextQuestion(1, QUESTIONS[1]))
    peer.own(1)
    peer.pulse("a", "c")
    peer.pulse("a", "c")
    peer.heard("a", "a", 1)
    peer.pulse("a", "c")
    shown = [dict(p.fields) for p in only(e.Publish, peer.log) if p.type == "round.progress"]
    assert shown == [
        {"round": 0, "question": 1, "ask": "spread", "unanswered": 3, "waiting": ["a", "c", "d"]},
        {"round": 0, "question": 1, "ask": "spread", "unanswered": 2, "waiting": ["c", "d"]},
    ]


# ------------------------------------------------------------------------------------------------ who was started again


def guides(effects: Iterable[e.Effect]) -> list[tuple[Any, m.CatchUp]]:
    return [(s.to, s.message) for s in only(e.Send, effects) if isinstance(s.message, m.CatchUp)]


def told(peer: Meeting, sender: str, step: int, **what: Any) -> list[e.Effect]:
    return peer.tell(ev.Arrived(sender, m.CatchUp(step, **what)))


def test_a_neighbor_that_was_started_again_is_told_the_open_question_and_each_one_after_it(
    meeting: Callable[..., Meeting],
) -> None:
    peer = meeting()
    peer.question(0)
    peer.question(1)
    peer.tell(ev.NextQuestion(2, QUESTIONS[2]))
    assert guides(peer.tell(ev.LinkUp("a", "peer", 1))) == [], "only a connection was lost"
    assert guides(peer.tell(ev.LinkUp("a", "peer", 2))) == [(("a",), m.CatchUp(2, QUESTIONS[2]))]
    peer.question(2)
    assert guides(peer.tell(ev.NextQuestion(3, {"ask": "more"}))) == [(("a",), m.CatchUp(3, {"ask": "more"}))]


def test_one_that_is_started_again_when_all_have_agreed_is_told_what_on(meeting: Callable[..., Meeting]) -> None:
    peer = meeting()
    peer.settle()
    effects = peer.tell(ev.LinkUp("a", "peer", 2))
    assert guides(effects) == [(("a",), m.CatchUp(2, agreement={"columns": ["x"]}))]


def test_after_two_questions_it_comes_to_the_same_by_the_answers_alone(meeting: Callable[..., Meeting]) -> None:
    peer = meeting()
    peer.settle(questions=2)
    effects = peer.tell(ev.LinkUp("a", "peer", 2))
    assert guides(effects) == []
    assert {key[2] for key in sent(effects)} == {0, 1}


def test_a_peer_that_was_started_again_answers_the_question_that_is_open_and_asks_itself_nothing(
    meeting: Callable[..., Meeting],
) -> None:
    peer = meeting()
    peer.own(0)
    effects = told(peer, "a", 2, question=QUESTIONS[2])
    assert only(e.Survey, effects) == [e.Survey(QUESTIONS[2], 2, "a")]
    assert guides(effects) == [(("c",), m.CatchUp(2, QUESTIONS[2]))], "c may have been started again as well"
    assert sent(peer.own(2)) == [(("a", "c"), "b", 2)]
    for origin, source in OTHERS:
        assert only(e.ApplyAgreement, peer.heard(origin, source, 2)) == []
    assert only(e.Survey, told(peer, "c", 2, question=QUESTIONS[2])) == [], "it has answered that"
    assert only(e.Survey, told(peer, "c", 3, question={"ask": "more"})) == [e.Survey({"ask": "more"}, 3, "c")]
    (agree,) = only(e.ApplyAgreement, told(peer, "c", 3, agreement={"columns": ["x"]}))
    assert (agree.agreement, agree.surveys) == ({"columns": ["x"]}, {})
    assert ("join",) not in peer.timers
    assert only(e.ApplyAgreement, told(peer, "a", 3, agreement={"columns": ["x"]})) == []
    peer.tell(ev.ModelReady({"columns": ["x"]}, MODEL, "w0"))
    assert peer.state.settled is not None


@pytest.mark.parametrize("what", [{"question": {"ask": "x"}}, {"agreement": {"columns": ["y"]}}])
def test_a_peer_that_is_only_a_question_behind_is_told_nothing_by_anybody(
    meeting: Callable[..., Meeting], what: dict[str, Any]
) -> None:
    peer = meeting()
    peer.own(0)
    assert told(peer, "a", 1, **what) == []
    peer.settle()
    assert told(peer, "a", 9, **what) == [], "and one that has agreed least of all"


def test_who_follows_gives_up_when_nothing_more_is_heard(meeting: Callable[..., Meeting]) -> None:
    peer = meeting(join_deadline_s=10.0)
    peer.own(0)
    peer.now = 7.0
    told(peer, "a", 2, question=QUESTIONS[2])
    assert peer.timers["join",] == 17.0
    peer.now = 9.0
    told(peer, "a", 3, question={"ask": "more"})
    assert peer.timers["join",] == 19.0
    for name in "abcd":
        peer.own(3) if name == "b" else peer.heard(name, dict(OTHERS)[name], 3)
    peer.tell(ev.TimerFired(("join",), 19.0), 19.0)
    finish = peer.finished()
    assert finish is not None
    assert finish.reason == (
        "round 0 was not complete: nothing was heard after its question 3 within 10 s (network.join_deadline_s)"
    )
