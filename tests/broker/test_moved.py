"""A node that was started again somewhere else is answered where it has dialed: the link leads to its old address."""

from __future__ import annotations

from typing import Any

import pytest
from nervenet.broker.messages import Heartbeat
from nervenet.broker.outbound import Outbound
from nervenet.broker.transport_events import LinkLost, LinkUp


async def check_it_is_heard_where_it_is(tcp: Any) -> None:
    here, at_here = await tcp.open("here", binds=True)
    old, _ = await tcp.open("there", binds=True, incarnation=1)
    here.link("there", old.addresses)
    old.link("here", here.addresses)
    await at_here.until(lambda: len(at_here.of(LinkUp)) == 2)
    await old.close(0.0)
    await at_here.first(LinkLost)
    new, at_new = await tcp.open("there", binds=True, incarnation=2)
    new.link("here", here.addresses)
    await at_here.first(LinkUp, lambda up: up.incarnation == 2)
    here.send("there", Heartbeat(1, "idle", ()))
    assert not here._outbound._links["there"].channels["control"].waiting, "for an address at which nobody is"
    await at_new.first(Heartbeat)


async def test_a_node_that_was_started_again_elsewhere_is_heard(tcp: Any) -> None:
    await check_it_is_heard_where_it_is(tcp)


async def test_else_what_is_said_to_it_would_wait_at_its_old_address(tcp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def leads_to(outbound: Outbound, peer: str) -> int:
        return outbound._links[peer].up or 0

    monkeypatch.setattr(Outbound, "incarnation_of", leads_to)
    with pytest.raises(AssertionError, match="at which nobody is"):
        await check_it_is_heard_where_it_is(tcp)
