"""What travels in place of an array that lies in shared memory: where it lies, in 40 bytes. Pure."""

from __future__ import annotations

import struct
from typing import NamedTuple, Self

from ..errors import ProtocolError

MAGIC = b"NVSM"
_FORM = struct.Struct("<4sIQQQQ")
REFERENCE_BYTES = _FORM.size


class ReferenceLost(ProtocolError):
    """What a message refers to is not here any more: it is lost, as those of a connection that was cut."""


class Reference(NamedTuple):
    """Names bytes of a region of its sender.

    ``generation`` counts what has been written into the region, and ``number`` the references of its sender: each is
    released by itself.
    """

    region: int
    generation: int
    offset: int
    length: int
    number: int

    def pack(self) -> bytes:
        return _FORM.pack(MAGIC, *self)

    @classmethod
    def unpack(cls, frame: bytes) -> Self:
        """Return what `pack` has made. Raises ProtocolError for anything else."""
        if len(frame) != REFERENCE_BYTES or frame[:4] != MAGIC:
            raise ProtocolError("malformed", "a reference to shared memory has 40 bytes and begins with NVSM")
        return cls(*_FORM.unpack(frame)[1:])
