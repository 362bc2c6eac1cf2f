"""Who waits for the next all-reduce is called by the first of them, once all are there or a while has passed."""

import pytest
from nervenet.nodes.gossip.all_reduce.rendezvous import Rendezvous, round_of

OTHERS = {"b", "c"}


def waiting(me: str = "a", *peers: str, founders: str = "abc") -> Rendezvous:
    found = Rendezvous(me, founders, heartbeat_s=0.5)
    for peer in (me, *peers):
        found.add(peer, 4, now=0.0)
    return found


def test_the_first_by_name_calls_once_all_are_ready() -> None:
    assert waiting("a", "b").due(OTHERS, 0.1, 2.0) == {}
    assert waiting("a", "b", "c").due(OTHERS, 0.1, 2.0) == {"a": 4, "b": 4, "c": 4}
    assert waiting("b", "a", "c").due({"a", "c"}, 0.1, 2.0) == {}


def test_after_a_while_those_are_called_that_are_ready() -> None:
    found = waiting("a", "b")
    found.add("b", 4, now=1.5)
    assert found.due(OTHERS, 1.9, 2.0) == {}
    assert found.due(OTHERS, 2.1, 2.0) == {"a": 4, "b": 4}


def test_the_dead_are_not_waited_for() -> None:
    assert waiting("a", "b").due({"b"}, 0.1, 2.0) == {"a": 4, "b": 4}


def test_who_was_left_out_last_time_is_not_waited_for_until_it_is_ready() -> None:
    found = waiting("a", "b")
    found.called(["a", "b"], 4, now=3.0)
    found.add("a", 5, now=3.0)
    found.add("b", 5, now=3.0)
    assert found.due(OTHERS, 3.0, 2.0) == {"a": 5, "b": 5}
    found.add("c", 4, now=3.0)
    assert found.due(OTHERS, 3.0, 2.0) == {"a": 5, "b": 5, "c": 4}


def test_who_has_never_been_called_waits_for_everybody() -> None:
    late = waiting("a", founders="")
    assert late.due(OTHERS, 0.1, 2.0) == {}
    assert late.due(OTHERS, 2.0, 2.0) == {"a": 4}
    assert late.due(set(), 0.1, 2.0) == {"a": 4}


def test_one_that_does_not_say_again_that_it_waits_is_not_called() -> None:
    found = waiting("a", "b", "c")
    assert found.due(OTHERS, 1.8, 99.0) == {}
    found.add("b", 4, now=1.8)
    found.add("c", 4, now=1.8)
    assert set(found.due(OTHERS, 1.9, 99.0)) == {"a", "b", "c"}
    found.add("c", 0, now=1.9)
    assert found.due(OTHERS, 1.9, 99.0) == {}


@pytest.mark.parametrize(
    ("rounds", "called"), [([7], 7), ([3, 9], 9), ([4, 4, 9], 9), ([4, 4, 10], 9), ([4, 900, 900], 900)]
)
def test_they_are_called_to_the_latest_round_that_one_alone_does_not_make_up(rounds: list[int], called: int) -> None:
    assert round_of(dict(zip("abcdef", rounds, strict=False))) == called


def test_what_one_had_said_before_it_was_called_is_not_believed_afterwards() -> None:
    found = waiting("a", "b", "c")
    found.called("abc", 4, now=0.1)
    found.add("a", 5, now=1.0)
    found.add("b", 5, now=1.0)
    found.add("c", 4, now=1.0)
    assert found.due(OTHERS, 1.0, 99.0) == {}, "it may have been on its way since"
    found.add("c", 4, now=1.9)
    assert found.due(OTHERS, 1.9, 99.0) == {"a": 5, "b": 5, "c": 4}, "the call has not reached it"


def test_a_call_that_one_refuses_comes_to_nothing_for_all() -> None:
    found = waiting("a", "b", "c")
    found.called("abc", 4, now=0.1)
    assert found.stands("abc", 4)
    found.refused("c", 4)
    assert not found.stands("abc", 4)
    found.abandoned()
    for peer in "abc":
        found.add(peer, 4, now=0.2)
    assert found.due(OTHERS, 0.2, 99.0) == {}, "c was not ready"
    found.add("c", 5, now=0.3)
    assert found.stands("abc", 4)
    assert found.due(OTHERS, 0.3, 99.0) == {"a": 4, "b": 4, "c": 5}
