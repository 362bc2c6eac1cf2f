"""What listens at a tcp address, from the first bytes that it sends: ZeroMQ with or without keys, or something else.

A ZMTP greeting (RFC 23) is a signature of 10 bytes, a version of two and the name of the mechanism, in 20. The other
side tells its own as soon as it has a signature and a version; it learns nothing else, and no handshake begins.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass

from .security.plain import Plain
from .sockets import Security

_OPENING = b"\xff" + bytes(8) + b"\x7f" + b"\x03"
_SIGNATURE, _VERSION, _MECHANISM = 10, 2, 20


@dataclass(frozen=True, slots=True)
class Reached:
    """What came of a tcp connection: why there was none, or the mechanism that is spoken there.

    `mechanism` is that of ZeroMQ (``NULL``: not encrypted; ``CURVE``), or empty where something else listens.
    """

    address: str
    why: str = ""
    mechanism: str = ""

    @property
    def connected(self) -> bool:
        return not self.why


def mechanism_of(greeting: bytes) -> str:
    """Return the mechanism that a greeting names; empty if it is none."""
    if len(greeting) < _SIGNATURE + _VERSION + _MECHANISM or greeting[0] != 0xFF or greeting[9] & 1 != 1:
        return ""
    name = greeting[_SIGNATURE + _VERSION :][:_MECHANISM].rstrip(b"\0")
    return name.decode("ascii") if name.isalnum() else ""


async def greet(address: str, within_s: float) -> Reached:
    """Connect to ``tcp://HOST:PORT``, read the greeting, and close."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    try:
        async with asyncio.timeout(within_s):
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except TimeoutError:
        return Reached(address, f"no answer within {within_s:g} s: something on the way drops what is sent there")
    except (OSError, ValueError, OverflowError) as error:  # a name, or a port, that cannot be one
        number = getattr(error, "errno", 0) or 0  # below 0: of the look-up of a name, which says why itself
        return Reached(address, os.strerror(number) if number > 0 else getattr(error, "strerror", None) or str(error))
    greeting = b""
    try:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(within_s):
                writer.write(_OPENING)
                greeting = await reader.readexactly(_SIGNATURE + _VERSION + _MECHANISM)
    except asyncio.IncompleteReadError as error:
        greeting = error.partial
    finally:
        writer.close()
    return Reached(address, mechanism=mechanism_of(greeting))


async def not_encrypted_here(address: str, security: Security, within_s: float = 1.0) -> str:
    """Return that a node without keys dials one that has some, or nothing: ZeroMQ itself would be silent about it."""
    if not isinstance(security, Plain) or not address.startswith("tcp://"):
        return ""
    reached = await greet(address, within_s)
    return "it encrypts, and this one was started without keys (--keys)" if reached.mechanism == "CURVE" else ""
