"""What is announced is handed out to those who were told, and forgotten as soon as they need it no more."""

from typing import Any

import numpy as np
from nervenet.broker import messages as m
from nervenet.nodes.gossip.large.offers import KEPT, Offers
from nervenet.nodes.large.sizes import Sizes
from nervenet.nodes.runtime import effects as e

SIZES = Sizes(message_bytes=4_096 + 8, chunk_bytes=8)  # two numbers of float32
LARGE = m.Payload("a1b2", "float32", 5)


def sent(offers: Offers, number: int, *to: str, body: Any = "w", payload: m.Payload = LARGE) -> e.Effect:
    (effect,) = offers.withhold([e.Send(to, m.Exchange(number, payload), body)], 0.0)
    return effect


def asked(offers: Offers, sender: str, generation: int, start: int = 0, length: int = 2) -> e.Effect:
    (effect,) = offers.serve(sender, m.GetChunk(1, generation, start, length), 1.0)
    return effect


def test_what_fits_is_sent_and_what_does_not_is_announced() -> None:
    offers, small = Offers(SIZES), m.Payload("a1b2", "float32", 2)
    assert isinstance(sent(offers, 1, "b", payload=small), e.Send)
    assert sent(offers, 1, "b", "c") == e.Announce(("b", "c"), m.Announcement(1, m.Exchange(1, LARGE)), "w")
    heartbeat = e.Send(("b",), m.Heartbeat(1, "waiting", ()))
    assert offers.withhold([heartbeat], 0.0) == [heartbeat]


def test_ranges_go_to_those_who_were_told_and_all_else_is_refused_by_name() -> None:
    offers = Offers(SIZES)
    sent(offers, 1, "b")
    given = asked(offers, "b", 1, 2)
    assert given == e.SendRange("b", m.Chunk(1, 1, 2, m.Payload("a1b2", "float32", 2)), "w")
    for sender, generation, start, length, code in (
        ("x", 1, 0, 2, "uninvited"),
        ("b", 2, 0, 2, "stale"),
        ("b", 1, 4, 2, "length"),
        ("b", 1, 0, 0, "length"),
        ("b", 1, 0, 3, "length"),  # more than a message carries
    ):
        refusal = asked(offers, sender, generation, start, length)
        assert isinstance(refusal, e.Send)
        assert isinstance(refusal.message, m.Refused)
        assert (refusal.message.code, refusal.message.round) == (code, generation)


def test_an_array_is_held_until_all_who_were_told_have_it_or_are_gone() -> None:
    offers = Offers(SIZES)
    sent(offers, 1, "b", "c", "d")
    offers.fetched("b", 1)
    offers.fetched("b", 1)
    offers.forget("c")
    assert offers.told() == {"d"}
    offers.fetched("x", 1)
    offers.fetched("d", 9)
    assert len(offers) == 1
    offers.fetched("d", 1)
    assert len(offers) == 0


def test_of_too_many_the_oldest_is_held_which_is_being_fetched_and_the_newest() -> None:
    offers = Offers(SIZES)
    for number in range(1, 10):
        sent(offers, number, "slow", "quick", body=f"w{number}")
        offers.fetched("quick", number)
        assert len(offers) <= KEPT
    late = offers.take_superseded()
    assert [(name, message.round) for name, message in late] == [  # type: ignore[union-attr]
        ("slow", number) for number in range(2, 9)
    ]
    assert offers.take_superseded() == []
    assert [isinstance(asked(offers, "slow", number), e.SendRange) for number in (1, 8, 9)] == [True, False, True]


def test_another_kind_of_message_takes_no_place_of_theirs() -> None:
    offers = Offers(SIZES)
    offers.withhold([e.Send(("b",), m.Model(1, {}, LARGE), "m")], 0.0)
    for number in range(1, 10):
        sent(offers, number, "b", body=f"w{number}")
    assert isinstance(asked(offers, "b", 1), e.SendRange)


def test_what_is_said_again_is_the_same_array() -> None:
    offers, weights = Offers(SIZES), np.ones(5, np.float32)
    first = sent(offers, 1, "b", "c", body=weights)
    asked(offers, "b", 1)
    again = sent(offers, 1, "b", body=weights)
    assert isinstance(first, e.Announce)
    assert isinstance(again, e.Announce)
    assert again.message == first.message
    assert [effect.to for effect in offers.again("c") if isinstance(effect, e.Announce)] == [("c",)]
    offers.fetched("c", 1)
    assert offers.again("c") == []


def test_what_is_encoded_is_handed_out_as_bytes() -> None:
    offers = Offers(SIZES)
    encoded = m.Payload("a1b2", "uint8", 20, "int8")
    announced = sent(offers, 1, "b", payload=encoded)
    assert isinstance(announced, e.Announce)
    assert isinstance(announced.message, m.Announcement)
    assert announced.message.message.payload == encoded
    given = asked(offers, "b", 1, 8, 8)
    assert isinstance(given, e.SendRange)
    assert given.message.payload == m.Payload("a1b2", "uint8", 8)


def test_who_moves_is_owed_something() -> None:
    offers = Offers(SIZES)
    sent(offers, 1, "b", "c")
    asked(offers, "c", 1)
    assert offers.owed(0.5) == {"c"}
    offers.moved("b", 2.0)
    assert offers.owed(0.5) == {"b", "c"}
    assert offers.owed(3.0) == set()
