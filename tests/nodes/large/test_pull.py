"""Ranges come from several senders, in any order and not always: each is used once, and little is held."""

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nervenet.broker import messages as m
from nervenet.nodes.large.pull import WINDOW, Pull
from nervenet.nodes.large.sizes import Sizes
from nervenet.nodes.runtime import effects as e

SIZES = Sizes(message_bytes=1 << 16, chunk_bytes=8)  # two numbers of float32


def model(length: int) -> m.Payload:
    return m.Payload("a1b2", "float32", length)


def asked(effects: list[e.Effect]) -> list[tuple[str, int, int]]:
    """Return who is asked for which range, as start and length."""
    sends = [effect for effect in effects if isinstance(effect, e.Send)]
    return [(send.to[0], send.message.start, send.message.length) for send in sends]  # type: ignore[union-attr]


def chunk(start: int, length: int, generation: int = 1, **other: Any) -> m.Chunk:
    return m.Chunk(1, generation, start, m.Payload(**{"layout": "a1b2", "dtype": "float32", "length": length, **other}))


@given(st.integers(1, 40), st.integers(1, 3), st.integers(0, 2**32))
def test_whatever_is_lost_and_whatever_comes_first_all_ranges_are_used_once(
    length: int, senders: int, seed: int
) -> None:
    drawn = Random(seed)
    names = [f"c{k}" for k in range(senders)]
    pull = Pull(1, 1, model(length), SIZES, dict.fromkeys(names, 1), 0.0)
    on_their_way, given_out, used = asked(pull.request()), [], set()
    while not pull.finished:
        choice = drawn.choice(["come", "lose", "use"])
        if choice == "come" and on_their_way:
            name, start, count = on_their_way.pop(drawn.randrange(len(on_their_way)))
            assert pull.take(name, chunk(start, count), f"{name} {start}", 0.0) is None
            for ready, bodies in pull.complete():
                assert bodies == {each: f"{each} {ready}" for each in names}
                given_out.append(ready)
        elif choice == "lose" and on_their_way:
            on_their_way.pop()
        elif choice == "use" and given_out:
            start = given_out.pop(drawn.randrange(len(given_out)))
            assert start not in used
            used.add(start)
            pull.used(start, 0.0)
            on_their_way += asked(pull.request())
        elif not on_their_way:
            on_their_way += [each for name in names for each in asked(pull.again(name, 0.0))]
        assert sum(map(len, pull._held.values())) + len(given_out) * senders <= WINDOW * senders
    assert used == set(range(0, length, 2))
    assert pull.share == 1.0


def test_a_sender_that_is_ahead_waits_for_the_others() -> None:
    pull = Pull(1, 1, model(100), SIZES, {"fast": 1, "slow": 1}, 0.0)
    first = asked(pull.request())
    assert [start for name, start, _ in first if name == "fast"] == [0, 2, 4, 6]
    for start in (0, 2, 4, 6):
        pull.take("fast", chunk(start, 2), "", 0.0)
    assert pull.request() == []
    assert (pull.awaited(), pull.behind()) == (["slow"], ["slow"])
    pull.take("slow", chunk(0, 2), "", 0.0)
    assert [start for start, _ in pull.complete()] == [0]
    pull.used(0, 0.0)
    assert asked(pull.request()) == [("fast", 8, 2), ("slow", 8, 2)]


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"length": 3}, "length of the range from 2 on must be 2, found 3"),
        ({"layout": "ffff"}, "layout of the range from 2 on must be a1b2, found ffff"),
        ({"dtype": "float64"}, "dtype"),
        ({"encoding": "int8"}, "encoding"),
        ({"parts": ("weights", "control")}, "parts"),
    ],
)
def test_what_was_not_asked_for_is_named(other: dict[str, Any], reason: str) -> None:
    pull = Pull(1, 1, model(100), SIZES, {"a": 1}, 0.0)
    pull.request()
    found = pull.take("a", chunk(**{"start": 2, "length": 2, **other}), "", 0.0)
    assert found is not None
    assert reason in found


def test_what_nobody_waits_for_is_passed_over() -> None:
    pull = Pull(1, 1, model(100), SIZES, {"a": 1}, 0.0)
    pull.request()
    for sender, late in (("b", chunk(0, 2)), ("a", chunk(0, 2, generation=9)), ("a", chunk(50, 2)), ("a", chunk(1, 9))):
        assert pull.take(sender, late, "", 0.0) is None
    assert list(pull.complete()) == []
    pull.take("a", chunk(0, 2), "first", 0.0)
    pull.take("a", chunk(0, 2), "again", 0.0)
    assert [dict(bodies) for _, bodies in pull.complete()] == [{"a": "first"}]
