"""Discovery of the members of a run through the address of one live peer, without a broker."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import zmq
from msgspec.structs import replace

from .channel import Channel, Envelope
from .codec import decode
from .errors import JoinRefused, NameTaken, PeerUnreachable, ProtocolError
from .handshake import identity_of, secret_identity_of
from .messages import GetPeers, Hello, Message, Peers, Refused
from .security.plain import LOCAL, Plain
from .security.roles import VISITOR
from .sockets import CONTROL_QUEUE, Security, dial
from .transport_events import Counters

NO_ANSWER = "no peer answered"


async def discover_peers(
    address: str,
    hello: Hello,
    shared_config: Mapping[str, Any],
    deadline_s: float,
    context: zmq.Context[zmq.Socket[bytes]],
    security: Security = LOCAL,
    server: str = "",
) -> Peers:
    """Introduce this node at the control address of a live peer, and return the members of its run.

    The request is sent under a temporary name: HELLO under that of ``hello`` would close the connections of this node's
    previous incarnation, which must continue if this one is refused. With keys, ``server`` is the name of that peer.

    Raises
    ------
    BadAddress
        The address is malformed.
    PeerUnreachable
        No peer answered within ``deadline_s`` seconds.
    JoinRefused
        The peer is of another run or version, or of another shared configuration, or knows a newer incarnation of
        this name.
    """
    problem = NO_ANSWER
    said: list[str] = []
    at = (address, hello, context, security, server, said.append)
    try:
        async with asyncio.timeout(deadline_s), _introduced(*at) as (channel, answers, alias):
            while True:
                match await answers.get():
                    case Hello(role=role):
                        problem = f"a {role} answered, but does not list its run (only a peer that goes by rounds does)"
                        channel.send(b"", Envelope.of(GetPeers(dict(shared_config))))
                    case Peers() as peers:
                        return _if_newest(hello, peers)
                    case Refused(code="stranger"):  # the peer has been restarted since
                        channel.send(b"", Envelope.of(alias))
                    case Refused(code=code, reason=reason):
                        raise JoinRefused(code, f"the peer at {address}: {reason}")
                    case _:
                        pass
    except TimeoutError:
        problem = said[-1] if said else problem
        raise PeerUnreachable(address, f"{problem} within {deadline_s:g} s", problem) from None


async def check_name_free(
    hello: Hello,
    peers: Peers,
    deadline_s: float,
    context: zmq.Context[zmq.Socket[bytes]],
    security: Security = LOCAL,
) -> None:
    """Wait up to ``deadline_s`` seconds for the member that has the name of ``hello``, if there is one, to answer.

    Raises
    ------
    NameTaken
        It does.
    """
    held = {member.node: member for member in peers.members if member.state in ("alive", "suspect")}
    member = held.get(hello.node)
    if member is None or "control" not in member.addresses:
        return
    address = member.addresses["control"]
    with suppress(TimeoutError):
        async with (
            asyncio.timeout(deadline_s),
            _introduced(address, hello, context, security, hello.node) as (_, answers, _alias),
        ):
            while True:
                answer = await answers.get()
                # By its incarnation: this node itself may have got the port of one that died.
                if isinstance(answer, Hello) and answer.incarnation == member.incarnation:
                    reason = (
                        f"the name {hello.node} is taken in run '{hello.run}' by a node that answers (at {address})"
                    )
                    raise NameTaken(f"{reason}: choose another --name, or end that node by --replace")


@asynccontextmanager
async def _introduced(
    address: str,
    hello: Hello,
    context: zmq.Context[zmq.Socket[bytes]],
    security: Security,
    server: str,
    refused: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[tuple[Channel, asyncio.Queue[Message], Hello]]:
    """Say HELLO to a peer under a temporary name; yield the connection, what comes over it, and that HELLO."""
    alias = replace(hello, node=f"{VISITOR}{secrets.token_hex(6)}")
    answers: asyncio.Queue[Message] = asyncio.Queue()

    def deliver(_: Channel, _identity: bytes, frames: list[Any]) -> None:
        try:
            answers.put_nowait(decode(frames)[0])
        except ProtocolError as error:
            answers.put_nowait(Refused("hello", 0, error.code, error.reason))

    make = identity_of if isinstance(security, Plain) else secret_identity_of
    identity = make(alias.node, alias.incarnation)
    socket, dialer = dial(
        context, "link.control", address, identity=identity, security=security, server=server, refused=refused
    )
    channel = Channel(socket, deliver=deliver, counters=Counters(), queue=CONTROL_QUEUE)
    try:
        channel.send(b"", Envelope.of(alias))
        yield channel, answers, alias
    finally:
        if dialer is not None:
            dialer.close()
        channel.close(0.0)


def _if_newest(hello: Hello, peers: Peers) -> Peers:
    for member in peers.members:
        if member.node == hello.node and member.incarnation > hello.incarnation:
            reason = f"{hello.node} has been started again since (incarnation {member.incarnation})"
            raise JoinRefused("stale", reason)
    return peers
