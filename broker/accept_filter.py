"""Which connection attempts the system drops at a listening socket, before anybody accepts them. Linux, and TCP, alone.

ZeroMQ accepts whoever comes and has no way to pause: a connection that is ended at once has cost its two threads as
much as a handshake. A classic BPF program (Linux's networking/filter.rst) that is attached to the listening socket sees
each segment that is not for a connection yet, and so the first of each attempt. It drops those of some addresses; who
dialed is told nothing, and its system tries again, after a second the first time.

Connections that are accepted meanwhile inherit the program, which lets pass all that is no attempt.
"""

from __future__ import annotations

import ctypes
import ipaddress
import socket
import struct
import sys
from collections.abc import Collection, Iterator
from contextlib import suppress

from . import kernel

MOST = 64
"""Addresses at the most: of IPv6 each takes nine of the 4,096 instructions that there may be, and time."""

# Of asm-generic/socket.h, which Python does not have.
_ATTACH, _DETACH = 26, 27
_INSTRUCTION, _PROGRAM = struct.Struct("=HBBI"), struct.Struct("@HP")
# Load a byte or a word, compare, mask, jump, return; what is loaded is counted from the TCP header, or from that of IP.
_BYTE, _WORD, _EQUAL, _AND, _JUMP, _RETURN = 0x30, 0x20, 0x15, 0x54, 0x05, 0x06
_FROM_IP = 0xFFF00000
_FLAGS_AT, _SYN, _ACK = 13, 0x02, 0x10
_SOURCE_V4, _SOURCE_V6 = 12, 8
_DROP, _PASS = 0, 0xFFFFFFFF

_Instruction = tuple[int, int, int, int]  # code, how many to skip if it holds, and if not, value


def drop_from(descriptor: int, inode: int, addresses: Collection[str]) -> bool:
    """Have attempts to connect to a listening socket dropped if they come from these addresses, and no others.

    Returns whether the system does that; ``inode`` is that of the socket, without which it is another one by now.
    """
    if sys.platform != "linux" or not inode or kernel.inode(descriptor) != inode:
        return False
    try:
        listening = kernel.socket_of(descriptor)
    except OSError:
        return False
    try:
        if not addresses:
            with suppress(FileNotFoundError):  # there was none
                listening.setsockopt(socket.SOL_SOCKET, _DETACH, 0)
            return True
        instructions = program(addresses)
        code = ctypes.create_string_buffer(b"".join(_INSTRUCTION.pack(*each) for each in instructions))
        listening.setsockopt(socket.SOL_SOCKET, _ATTACH, _PROGRAM.pack(len(instructions), ctypes.addressof(code)))
    except OSError:
        return False
    else:
        return True
    finally:
        listening.detach()  # it is ZeroMQ's


def program(addresses: Collection[str]) -> list[_Instruction]:
    """Return what drops the attempts that come from up to `MOST` addresses."""
    v4, v6 = list[int](), list[bytes]()
    for text in list(addresses)[:MOST]:
        with suppress(ValueError):
            address = ipaddress.ip_address(text.partition("%")[0])  # a link-local one has its interface behind it
            mapped = getattr(address, "ipv4_mapped", None) or address
            if isinstance(mapped, ipaddress.IPv4Address):
                v4.append(int(mapped))
            else:
                v6.append(mapped.packed)
    of_v6 = [*_compare_v6(v6), (_RETURN, 0, 0, _PASS)]
    return [
        (_BYTE, 0, 0, _FLAGS_AT),
        (_AND, 0, 0, _SYN | _ACK),
        (_EQUAL, 1, 0, _SYN),
        (_RETURN, 0, 0, _PASS),
        (_BYTE, 0, 0, _FROM_IP),
        (_AND, 0, 0, 0xF0),
        (_EQUAL, 0, 1, 0x40),  # version 4
        (_JUMP, 0, 0, len(of_v6)),
        *of_v6,
        *_compare_v4(v4),
        (_RETURN, 0, 0, _PASS),
    ]


def _compare_v4(addresses: Collection[int]) -> Iterator[_Instruction]:
    if addresses:
        yield _WORD, 0, 0, _FROM_IP + _SOURCE_V4
    for address in addresses:
        yield _EQUAL, 0, 1, address
        yield _RETURN, 0, 0, _DROP


def _compare_v6(addresses: Collection[bytes]) -> Iterator[_Instruction]:
    for address in addresses:
        for part, word in enumerate(struct.unpack(">4I", address)):
            yield _WORD, 0, 0, _FROM_IP + _SOURCE_V6 + 4 * part
            yield _EQUAL, 0, 2 * (3 - part) + 1, word  # to the next address
        yield _RETURN, 0, 0, _DROP
