"""Who is shut out, and for how long; and that the system then drops what comes from there, and nothing else."""

from __future__ import annotations

import asyncio
import dataclasses
import ipaddress
import select
import socket
import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nervenet.broker.accept_filter import MOST, drop_from, program
from nervenet.broker.guard import guard, shut_out
from nervenet.broker.guard.shut_out import SHUT_S, ShutOut
from nervenet.broker.kernel import inode
from nervenet.broker.limits import LIMITS
from nervenet.broker.transport_events import LinkLost, LinkUp

linux = pytest.mark.skipif(sys.platform != "linux", reason="no other system has filters for a listening socket")
DEADLINE_S = 60.0
NEVER = 1e-9  # a second: what was taken is not filled up again, however slow this machine is


def test_an_address_is_let_in_again_when_its_pace_allows_some():
    kept_out = ShutOut(8)
    assert kept_out.beyond("10.0.0.7", 100, 1.0)
    assert list(kept_out.addresses) == ["10.0.0.7"]
    assert not kept_out.over(1.0 + SHUT_S - 0.01)
    assert kept_out.next() == 1.0 + SHUT_S
    assert kept_out.over(1.0 + SHUT_S)
    assert not kept_out.addresses
    assert kept_out.next() is None


def test_what_comes_in_spite_of_that_takes_of_what_is_allowed_later():
    kept_out = ShutOut(8)
    kept_out.beyond("10.0.0.7", 100, 1.0)
    assert not any(kept_out.beyond("10.0.0.7", 100, 1.0) for _ in range(10))
    assert kept_out.next() == pytest.approx(1.0 + SHUT_S + 10 / 100)
    for _ in range(10_000):
        kept_out.beyond("10.0.0.7", 100, 1.0)
    assert kept_out.next() <= 6.0


def test_so_many_addresses_at_the_most_and_none_that_has_no_name():
    kept_out = ShutOut(2)
    assert [kept_out.beyond(each, 100, 0.0) for each in ("a", "b", "c", "")] == [True, True, False, False]


V4 = st.ip_addresses(v=4).map(str)
V6 = st.ip_addresses(v=6).filter(lambda address: address.ipv4_mapped is None).map(str)


@given(st.sets(V4 | V6, max_size=8), V4 | V6, st.integers(0, 255))
def test_attempts_from_the_addresses_are_dropped_and_nothing_else(addresses, source, flags):
    attempt = flags & 0x12 == 0x02
    assert dropped(program(addresses), source, flags) == (attempt and source in addresses)
    assert dropped(program([*addresses, source]), source, flags) == attempt


def test_an_address_of_version_4_may_be_written_as_one_of_version_6():
    assert dropped(program(["::ffff:10.0.0.7"]), "10.0.0.7", 0x02)


def test_the_program_is_of_a_length_that_the_system_takes():
    many = [f"fd00::{number:x}" for number in range(1, 200)]
    assert len(program(many)) <= 4096
    assert dropped(program(many), many[MOST - 1], 0x02)


def dropped(instructions: list[tuple[int, int, int, int]], source: str, flags: int) -> bool:
    """Run a program, as the system does, on a segment of these flags that comes from an address."""
    address = ipaddress.ip_address(source)
    ip = bytearray(40)
    ip[0] = address.version << 4
    at = 12 if address.version == 4 else 8
    ip[at : at + len(address.packed)] = address.packed
    tcp = bytes(13) + bytes([flags]) + bytes(6)
    value = place = 0
    while True:
        code, if_so, if_not, operand = instructions[place]
        place += 1
        data, start = (ip, operand - 0xFFF00000) if operand >= 0xFFF00000 else (tcp, operand)
        match code:
            case 0x30:
                value = data[start]
            case 0x20:
                (value,) = struct.unpack_from(">I", data, start)
            case 0x54:
                value &= operand
            case 0x15:
                place += if_so if value == operand else if_not
            case 0x05:
                place += operand
            case 0x06:
                return operand == 0


@pytest.fixture
def limit(monkeypatch):
    """Sets a row of the table."""

    def set_(name: str, value: int) -> None:
        monkeypatch.setitem(LIMITS, name, dataclasses.replace(LIMITS[name], value=value))

    return set_


class Dialer:
    """Dials without waiting, from an address of the loopback."""

    def __init__(self, place: tuple[str, int], source: str) -> None:
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.bind((source, 0))
        self.socket.connect_ex(place)

    def connected(self, within_s: float = 0.0) -> bool:
        _, writable, _ = select.select([], [self.socket], [], within_s)
        return bool(writable) and self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0

    def ended(self) -> bool:
        """Whether the other side has ended it; what that has sent is read."""
        try:
            while self.socket.recv(1 << 12):
                pass
        except BlockingIOError:
            return False
        except OSError:
            pass
        return True


@pytest.fixture
def dial():
    made: list[Dialer] = []

    def make(place: tuple[str, int], source: str = "127.0.0.1") -> Dialer:
        made.append(Dialer(place, source))
        return made[-1]

    yield make
    for one in made:
        one.socket.close()


@linux
def test_the_system_takes_the_program(dial):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        place, known = listening.getsockname(), (listening.fileno(), inode(listening.fileno()))
        assert drop_from(*known, ["127.0.0.2", "10.0.0.7"])
        kept_out, other = dial(place, "127.0.0.2"), dial(place, "127.0.0.3")
        assert other.connected(DEADLINE_S)
        assert not kept_out.connected()  # the answer to the other one, which came later, is there
        assert drop_from(*known, [])
        assert dial(place, "127.0.0.2").connected(DEADLINE_S)
        assert drop_from(*known, [])  # there is none any more
        assert not drop_from(listening.fileno(), known[1] + 1, ["127.0.0.2"])  # another socket's descriptor by now


@linux
@pytest.mark.parametrize("filters", [True, False])
async def test_who_comes_too_often_is_not_accepted_any_more(tcp, limit, dial, monkeypatch, filters):
    """Else each costs an accept, a handshake and what a guard does about it."""
    limit("handshakes", 2)
    limit("handshakes_s", NEVER)
    monkeypatch.setattr(shut_out, "SHUT_S", 1e6)
    if not filters:
        monkeypatch.setattr(guard, "drop_from", lambda *_: False)
    server, _ = await tcp.open("server", binds=True)
    host, _, port = server.addresses["control"].removeprefix("tcp://").rpartition(":")
    place, kept_out = (host, int(port)), server._inbound._guards["control"]._shut_out
    for _ in range(3):
        dial(place)
    await until(lambda: kept_out.addresses)
    again, other = dial(place), dial(place, "127.0.0.2")
    assert other.connected(DEADLINE_S)
    assert again.connected() != filters


@linux
@pytest.mark.parametrize("cut_off", [True, False])
async def test_where_one_was_cut_off_nobody_is_kept_out_until_it_is_back(tcp, limit, dial, monkeypatch, cut_off):
    """It would have to try again and again, among those of a flood."""
    limit("handshakes", 3)
    limit("handshakes_s", NEVER)
    monkeypatch.setattr(shut_out, "SHUT_S", 1e6)
    if not cut_off:
        limit("unknown_s", 0)
    server, at_server = await tcp.open("server", binds=True)
    client, _ = await tcp.open("client")
    client.link("server", server.addresses)
    await at_server.first(LinkUp)
    watched = server._inbound._guards["control"]
    await client.close(0.0)
    await at_server.first(LinkLost)
    host, _, port = server.addresses["control"].removeprefix("tcp://").rpartition(":")
    many = [dial((host, int(port))) for _ in range(4)]
    if cut_off:
        await until(lambda: sum(one.ended() for one in many) >= 2)
    else:  # who is unknown for no time at all is ended for that, too
        await until(lambda: watched._shut_out.addresses)
    assert bool(watched._shut_out.addresses) != cut_off


@linux
async def test_and_after_a_while_is_let_in_again(tcp, limit, dial, monkeypatch):
    limit("handshakes", 1)
    limit("handshakes_s", 10)
    monkeypatch.setattr(shut_out, "SHUT_S", 0.05)
    newly: list[str] = []
    drop = guard.drop_from
    monkeypatch.setattr(guard, "drop_from", lambda *here: newly.extend(here[2]) or drop(*here))
    server, _ = await tcp.open("server", binds=True)
    host, _, port = server.addresses["control"].removeprefix("tcp://").rpartition(":")
    place, watched = (host, int(port)), server._inbound._guards["control"]

    def shut() -> list[str]:
        for _ in range(0 if newly else 8):  # until they come fast enough for that
            dial(place)
        return newly

    await until(shut)
    await until(lambda: not watched._shut_out.addresses)
    assert dial(place).connected(DEADLINE_S)


async def until(done) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not done():  # noqa: ASYNC110  (ZeroMQ's own thread accepts)
            await asyncio.sleep(0.005)
