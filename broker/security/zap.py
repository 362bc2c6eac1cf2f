"""ZAP (RFC 27), the protocol by which ZeroMQ asks who may connect: its frames, and the answer. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zmq.utils import z85

from ..transport_events import ConnectionRefused
from .allow_list import AllowList, Entry
from .roles import wrong_role

ENDPOINT = "inproc://zeromq.zap.01"
_VERSION = b"1.0"
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class ZapRequest:
    """Who wants to connect: to which domain (a service of a node), from where, how, and with which key in Z85."""

    id: bytes
    domain: str
    address: str
    mechanism: str
    key: str = ""

    @property
    def service(self) -> str:
        return self.domain.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Malformed:
    """A request that is none: ZeroMQ itself sends them, so that this is not expected to happen."""

    id: bytes
    reason: str


def parse_request(frames: Sequence[bytes]) -> ZapRequest | Malformed:
    """Return the request of its frames, those behind the envelope; raises nothing, whatever they are."""
    id_ = frames[1] if len(frames) > 1 and len(frames[1]) <= 255 else b""
    if len(frames) < 6 or frames[0] != _VERSION:
        return Malformed(id_, f"a request of {len(frames)} frames, expected 6 or more of version 1.0")
    try:
        domain, address, mechanism = (frames[place].decode() for place in (2, 3, 5))
    except UnicodeDecodeError:
        return Malformed(id_, "a request that is not text")
    if mechanism != "CURVE":
        return ZapRequest(id_, domain, address, mechanism)
    if len(frames) != 7 or len(frames[6]) != _KEY_BYTES:
        return Malformed(id_, "a CURVE request without a key of 32 bytes")
    return ZapRequest(id_, domain, address, mechanism, z85.encode(frames[6]).decode())


def decide(request: ZapRequest, allowed: AllowList) -> Entry | ConnectionRefused:
    """Return who is accepted, or why nobody is."""
    if request.mechanism != "CURVE":
        return _refused(request, "", f"does not encrypt (mechanism {request.mechanism})")
    entry = allowed.by_key.get(request.key)
    if entry is None:
        return _refused(request, "", f"the key {request.key} is not allowed here")
    reason = wrong_role(request.service, entry.roles)
    return entry if reason is None else _refused(request, entry.name, f"{entry.name} {reason}")


def accepted(request: ZapRequest, entry: Entry) -> list[bytes]:
    """Return the frames that accept: ZeroMQ attaches the key to every message of that connection, as its User-Id."""
    return [_VERSION, request.id, b"200", b"OK", entry.public.encode(), b""]


def refused(id_: bytes, code: bytes = b"400") -> list[bytes]:
    """Return the frames that refuse; the reason is for this side, the other one learns the code alone."""
    return [_VERSION, id_, code, b"refused", b"", b""]


def _refused(request: ZapRequest, name: str, reason: str) -> ConnectionRefused:
    return ConnectionRefused(request.service, request.address, request.key, name, reason)
