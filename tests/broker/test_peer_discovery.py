"""Discovery of the members of a run through one peer, and its errors."""

from __future__ import annotations

import asyncio

import pytest
from nervenet.broker.errors import JoinRefused, NameTaken, PeerUnreachable
from nervenet.broker.messages import VERSION, GetPeers, Heartbeat, Hello, MemberState, Peers, Refused
from nervenet.broker.peer_discovery import check_name_free, discover_peers
from nervenet.broker.transport_events import LinkLost


def hello(incarnation: int = 5, run: str = "demo") -> Hello:
    return Hello("zoe", "peer", run, incarnation, VERSION)


async def ask(tcp, seed, own: Hello | None = None, within_s: float = 60.0) -> Peers:
    return await discover_peers(seed.addresses["control"], own or hello(), {"seed": 0}, within_s, tcp.context)


def answering(transport, message):
    return lambda item: transport.send(item.sender, message) if isinstance(getattr(item, "message", 0), GetPeers) else 0


async def test_a_peer_lists_the_members_of_its_run(tcp):
    seed, box = await tcp.open("a", binds=True)
    there = Peers((MemberState("a", 1, "alive"),), ("a", "b"), "tcp://events:1")
    box.hook = answering(seed, there)
    assert await ask(tcp, seed) == there
    assert box.of(GetPeers)[0].message.shared_config == {"seed": 0}


async def test_a_refusal_does_not_end_the_previous_incarnation(tcp):
    seed, box = await tcp.open("a", binds=True)
    older, _ = await tcp.open("zoe", incarnation=1)
    older.link("a", seed.addresses)
    older.send("a", Heartbeat(1, "training", ()))
    await box.first(Heartbeat)
    box.hook = answering(seed, Refused("get_peers", 0, "config", "seed is 1 in this run; found 0"))
    with pytest.raises(JoinRefused, match="seed is 1"):
        await ask(tcp, seed)
    box.items.clear()
    older.send("a", Heartbeat(2, "training", ()))
    assert (await box.first(Heartbeat)).message.round == 2
    assert not box.of(LinkLost)


async def test_an_older_incarnation_is_refused(tcp):
    seed, box = await tcp.open("a", binds=True)
    box.hook = answering(seed, Peers((MemberState("a", 1, "alive"), MemberState("zoe", 9, "alive")), ("a",)))
    with pytest.raises(JoinRefused, match="zoe has been started again since"):
        await ask(tcp, seed)


async def test_another_run_is_refused_by_name(tcp):
    seed, _ = await tcp.open("a", binds=True)
    with pytest.raises(JoinRefused, match="belongs to run 'demo'"):
        await ask(tcp, seed, hello(run="other"))


async def test_a_node_without_a_member_list_is_distinguished_from_silence(tcp, pass_time):
    seed, box = await tcp.open("a", binds=True)
    asking = asyncio.create_task(ask(tcp, seed, within_s=60.0))
    await box.first(GetPeers)  # which is asked once it has answered
    pass_time(60.0)
    with pytest.raises(PeerUnreachable, match="a node answered, but does not list its run"):
        await asking
    with pytest.raises(PeerUnreachable, match=r"no peer answered within 0\.2 s"):
        await discover_peers("tcp://127.0.0.1:1", hello(), {}, 0.2, tcp.context)


async def test_the_name_of_a_peer_that_answers_is_taken(tcp):
    old, _ = await tcp.open("zoe", binds=True, incarnation=3)
    there = Peers((MemberState("zoe", 3, "alive", addresses=dict(old.addresses)),), ("zoe",))
    with pytest.raises(
        NameTaken, match=r"the name zoe is taken in run 'demo' by a node that answers \(at tcp://.*--replace"
    ):
        await check_name_free(hello(), there, 60.0, tcp.context)


async def test_that_of_one_that_is_silent_or_whose_port_another_has_is_free(tcp):
    other, _ = await tcp.open("zoe", binds=True, incarnation=4)
    for addresses in ({"control": "tcp://127.0.0.1:1"}, dict(other.addresses)):
        there = Peers((MemberState("zoe", 3, "alive", addresses=addresses),), ("zoe",))
        await check_name_free(hello(), there, 0.3, tcp.context)
