"""Around a machine without rounds: what made room for a newer announcement is none of an open proposal's."""

from __future__ import annotations

from typing import Any

import pytest
from nervenet.broker import messages as m
from nervenet.nodes.gossip.asynchronous.ad_psgd import AdPsgd, AdPsgdMachine
from nervenet.nodes.gossip.large.cycles import LargeCycles
from nervenet.nodes.gossip.large.offers import Offers
from nervenet.nodes.gossip.rules import PeerRules
from nervenet.nodes.large.sizes import Sizes
from nervenet.nodes.runtime import events as ev

MODEL = m.Payload("a1b2", "float32", 5)
SIZES = Sizes(message_bytes=4_096 + 8, chunk_bytes=8)  # two numbers


def unanswered() -> AdPsgdMachine:
    """Return the machine of peer b, which in each of five cycles has proposed to a, who fetches nothing of it."""
    machine = AdPsgdMachine(PeerRules("b", ("a", "b"), neighbors=("a",)), AdPsgd())
    state = LargeCycles(machine, SIZES)
    for event in (ev.Started(), ev.LinkUp("a", "peer", 1), ev.Proceed(10), ev.ModelReady({}, MODEL, "w0")):
        state.handle(event, 0.0)
    for cycle in range(1, 5):
        if machine.proposal is not None:
            state.handle(ev.TimerFired(("proposal", machine.proposal.number), 5.0 * cycle), 5.0 * cycle)
        state.handle(ev.Trained(cycle, 0, f"w{cycle}", 10, {}), 5.0 * cycle)
    return machine


def test_a_proposal_that_is_superseded_leaves_the_open_one_alone() -> None:
    open_ = unanswered().proposal
    assert open_ is not None
    assert open_.number == 5


def test_without_that_it_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    take = Offers.take_superseded

    def as_others(offers: Offers) -> list[tuple[str, Any]]:
        return [(name, m.Accept(message.number, MODEL)) for name, message in take(offers)]  # type: ignore[union-attr]

    monkeypatch.setattr(Offers, "take_superseded", as_others)
    monkeypatch.setattr(m, "tag_of", lambda _: "propose")
    assert unanswered().proposal is None
