"""What writer and reader of shared memory say to each other over their Unix socket. Pure.

The reader connects and shows the secret that the writer has told it. The writer passes each region once, with its
descriptor; the reader answers whether it has mapped it, and releases each reference.
"""

from __future__ import annotations

import struct
from typing import NamedTuple, TypeAlias

SECRET_BYTES = 32
LONGEST = 64  # bytes of one
_KIND = struct.Struct("<B")
_REGION, _MAPPED, _GIVEN_UP, _RELEASED = (struct.Struct(form) for form in ("<BIQ", "<BI?", "<BI", "<BIQ"))


class Shown(NamedTuple):
    """The first that a reader says: the secret of its offer."""

    secret: bytes


class Passed(NamedTuple):
    """A region, with its descriptor."""

    region: int
    size: int


class Mapped(NamedTuple):
    """Whether a reader has mapped a region; if not, nothing in it is referred to."""

    region: int
    done: bool


class GivenUp(NamedTuple):
    """Nothing in this region will be referred to any more."""

    region: int


class Released(NamedTuple):
    """A reader is done with one reference."""

    region: int
    generation: int


LocalMessage: TypeAlias = Shown | Passed | Mapped | GivenUp | Released


def pack(message: LocalMessage) -> bytes:
    match message:
        case Shown(secret):
            return _KIND.pack(0) + secret
        case Passed():
            return _REGION.pack(1, *message)
        case Mapped():
            return _MAPPED.pack(2, *message)
        case GivenUp():
            return _GIVEN_UP.pack(3, *message)
        case Released():
            return _RELEASED.pack(4, *message)


def unpack(packed: bytes) -> LocalMessage | None:
    """Return what `pack` has made; None for anything else."""
    try:
        match packed[:1]:
            case b"\0":
                return Shown(packed[1:]) if len(packed) == 1 + SECRET_BYTES else None
            case b"\1":
                return Passed(*_REGION.unpack(packed)[1:])
            case b"\2":
                return Mapped(*_MAPPED.unpack(packed)[1:])
            case b"\3":
                return GivenUp(*_GIVEN_UP.unpack(packed)[1:])
            case b"\4":
                return Released(*_RELEASED.unpack(packed)[1:])
    except struct.error:
        pass
    return None
