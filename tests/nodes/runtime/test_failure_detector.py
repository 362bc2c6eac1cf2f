"""Who is given up, and when: by silence alone, and never for this node's own delays."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nervenet.nodes.runtime.failure_detector import FailureDetector, Verdicts


def test_silence_makes_suspect_and_longer_silence_lost() -> None:
    who = FailureDetector(2.0, 10.0)
    who.watch("a", 0.0)
    who.watch("b", 0.0)
    assert who.review(1.9) == Verdicts()
    who.heard("b", 1.9)
    assert who.review(2.0) == Verdicts(suspected={"a": 2.0})
    assert not who.living("a")
    assert who.living("b")
    assert who.review(2.1) == Verdicts(), "said once"
    assert who.heard("b", 9.0) is False
    assert who.review(10.0) == Verdicts(lost={"a": 10.0})
    assert who.suspects == set()
    assert who.lost == {"a"}


def test_whoever_is_heard_again_lives_again() -> None:
    who = FailureDetector(2.0, 10.0)
    who.watch("a", 0.0)
    who.review(2.0)
    assert who.heard("a", 3.0) is True
    assert who.heard("a", 3.1) is False
    who.review(20.0)
    assert who.lost == {"a"}
    assert who.heard("a", 21.0) is True
    assert who.living("a")
    assert who.silence("a", 22.5) == 1.5


def test_a_closed_connection_is_blamed_once_and_its_peer_is_lost_by_silence() -> None:
    who = FailureDetector(2.0, 10.0)
    who.watch("a", 0.0)
    assert who.suspect("a") is True
    assert who.suspect("a") is False
    assert who.suspect("stranger") is False
    assert who.review(5.0) == Verdicts(), "suspect already"
    assert who.next_review() == 10.0
    assert who.review(10.0).lost == {"a": 10.0}


def test_one_who_took_his_leave_is_not_missed() -> None:
    who = FailureDetector(2.0, 10.0)
    who.watch("a", 0.0)
    who.forget("a")
    assert who.heard("a", 1.0) is False
    assert who.review(100.0) == Verdicts()
    assert who.next_review() is None
    assert who.silence("a", 100.0) == 0.0


def test_nobody_is_lost_before_being_suspected() -> None:
    assert FailureDetector(5.0, 1.0).lost_after_s == 5.0


def test_a_late_clock_blames_nobody() -> None:
    """This node slept for 60 s: what the others said meanwhile is still in its queues."""
    who = FailureDetector(2.0, 10.0)
    who.watch("a", 0.0)
    who.extend_deadlines(59.5, now=60.0)
    assert who.review(60.0) == Verdicts()


def check_two_late_timers_tell_of_one_delay() -> None:
    who = FailureDetector(2.0, 10.0)
    who.watch("dead", 0.0)
    for _ in ("pulse", "review"):
        who.extend_deadlines(60.0, now=60.5)
    assert who.review(62.5).suspected == {"dead": 2.0}


def test_two_late_timers_tell_of_one_delay() -> None:
    check_two_late_timers_tell_of_one_delay()


def test_two_late_timers_would_count_twice_without_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    def extend_deadlines(self: FailureDetector, lateness_s: float, now: float) -> None:
        for peer in self._heard:
            self._heard[peer] += lateness_s

    monkeypatch.setattr(FailureDetector, "extend_deadlines", extend_deadlines)
    with pytest.raises(AssertionError):
        check_two_late_timers_tell_of_one_delay()


UNLUCKY = 3.179552645989203  # (UNLUCKY + 2.0) - UNLUCKY < 2.0


def check_a_review_at_its_time_gives_its_verdict(at: float) -> None:
    who = FailureDetector(2.0, 10.0)
    who.watch("a", at)
    for kind in ("suspected", "lost"):
        due = who.next_review()
        assert due is not None
        assert getattr(who.review(due), kind).keys() == {"a"}
    assert who.next_review() is None


@given(st.floats(0.0, 1e9))
@settings(deadline=None, derandomize=True)
def test_a_review_at_its_time_gives_its_verdict(at: float) -> None:
    check_a_review_at_its_time_gives_its_verdict(at)
    check_a_review_at_its_time_gives_its_verdict(UNLUCKY)


def test_a_review_by_differences_would_ask_for_itself_again_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    def review(self: FailureDetector, now: float) -> Verdicts:
        verdicts = Verdicts()
        for peer, at in self._heard.items():
            if now - at >= self.suspect_after_s:
                self.suspects.add(peer)
                verdicts.suspected[peer] = now - at
        return verdicts

    monkeypatch.setattr(FailureDetector, "review", review)
    with pytest.raises(AssertionError):
        check_a_review_at_its_time_gives_its_verdict(UNLUCKY)
