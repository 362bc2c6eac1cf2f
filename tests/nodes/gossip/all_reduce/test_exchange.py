"""One all-reduce at a peer of its group: parts in name order, who is in the mean of each, and what is kept."""

import numpy as np
from nervenet.broker import messages as m
from nervenet.nodes.gossip.all_reduce.exchange import Contribution, EarlyParts, Exchange, Part
from nervenet.nodes.runtime import effects as e

CALL = m.Call("a", 1, 1)
WHOLE = m.Payload("a1b2", "float64", 7)
VECTOR = np.arange(7.0)


def exchange(me: str = "b", group: tuple[str, ...] = ("a", "b", "c")) -> Exchange:
    found = Exchange(1, CALL, 5, group, me, WHOLE, Contribution(VECTOR, 10, 2.0))
    found.split(tuple(np.split(VECTOR, found.ends[:-1])))
    return found


def sent(length: int, examples: int = 20, clock: float = 5.0) -> Part:
    payload = m.Payload("a1b2", "float64", length)
    return Part(m.ReducePart(5, CALL, payload, examples, clock), np.ones(length), 8 * length)


def told(length: int, missing: tuple[str, ...] = ()) -> Part:
    return Part(m.ReducedPart(5, CALL, m.Payload("a1b2", "float64", length), 4.0, missing), np.zeros(length), 8)


def test_each_of_the_group_owns_the_part_of_its_place() -> None:
    found = exchange()
    assert found.ends == (2, 4, 7)
    sends = [found.part_for(owner) for owner in found.others]
    assert [send.to for send in sends if send] == [("a",), ("c",)]
    assert [send.body.tolist() for send in sends if send] == [[0.0, 1.0], [4.0, 5.0, 6.0]]


def test_the_mean_is_asked_for_once_all_have_come_and_in_name_order() -> None:
    found = exchange()
    assert found.take("c", sent(2, 30)) is None
    assert found.reduce() is None
    assert found.take("a", sent(2, 20)) is None
    asked = found.reduce()
    assert isinstance(asked, e.Reduce)
    assert list(asked.examples) == [20, 10, 30]
    assert found.reduce() is None, "once"
    found.reduced(np.full(2, 0.5))
    result = found.result_for(found.others)
    assert result is not None
    assert result.message == m.ReducedPart(5, CALL, m.Payload("a1b2", "float64", 2), (20 * 5 + 10 * 2 + 30 * 5) / 60)


def test_a_sender_that_is_gone_is_left_out_of_the_part_that_it_did_not_reach() -> None:
    found = exchange()
    found.take("a", sent(2))
    found.gone["c"] = "silent"
    assert found.reduce() is not None
    found.reduced(np.zeros(2))
    assert found.results["b"].missing == ("c",)
    assert found.missing("late") == {"a": "late", "c": "silent"}, "a has not told the mean of its part"
    assert found.take("c", sent(2)) is None
    found.take("a", told(2))
    assert found.complete
    assert found.left_out == {"b": ["c"]}


def test_where_an_owner_is_gone_a_peer_keeps_what_it_has() -> None:
    found = exchange()
    found.take("a", told(2))
    found.results["b"] = found.results["a"]
    assert not found.complete
    found.gone["c"] = "silent"
    assert found.complete
    assert found.unreduced == ["c"]
    assert np.concatenate(found.gather().bodies).tolist() == [0.0] * 4 + [4.0, 5.0, 6.0]


def test_what_does_not_fit_is_refused_and_its_sender_expected_no_more() -> None:
    found = exchange()
    assert found.take("zoe", sent(2)) == ("payload", "zoe is not of the group that was called")
    assert found.take("c", sent(3)) == ("length", "length must be 2, found 3")
    assert found.gone == {"c": "length must be 2, found 3"}
    fault = ("payload", "missing must be some of the group that was called")
    assert found.take("a", told(2, ("zoe",))) == found.take("a", told(2, ("a", "b", "c"))) == fault
    assert found.results == {}


def test_of_more_peers_than_numbers_some_own_nothing() -> None:
    group = tuple("abcdefghi")
    found = exchange("a", group)
    assert found.ends == (0, 1, 2, 3, 3, 4, 5, 6, 7)
    assert found.reduce() is None
    assert found.part_for("b") is not None
    assert "a" not in found.unreduced


def test_of_each_sender_what_comes_early_is_of_one_call() -> None:
    early = EarlyParts()
    early.keep("c", sent(2))
    early.keep("c", told(3))
    assert [sender for sender, _ in early.take(CALL)] == ["c", "c"]
    early.keep("c", sent(2))
    later = Part(m.ReducePart(6, m.Call("a", 1, 2), WHOLE, 1), VECTOR, 8)
    early.keep("c", later)
    assert early.take(CALL) == []
    assert early.take(m.Call("a", 1, 2)) == [("c", later)]
