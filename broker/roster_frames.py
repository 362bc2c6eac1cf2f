"""The frame of a roster apart from the id of the request that it answers: the rest is the same for all who ask.

Of 500 members each is told of 500. So a broker encodes a roster once, and a process decodes it once for all its nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgpack
from msgspec.structs import replace

from .channel import Envelope
from .codec import decode, encode
from .messages import Message, Roster, tag_of

_MAP_AT = 3  # behind the signature and the version
_HEAD = b"".join(msgpack.packb(text) for text in ("t", "roster", "id"))
_ID_AT = _MAP_AT + 1 + len(_HEAD)
_SIZES = {0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9}  # of MessagePack's integers above 127, by their first byte


class _Parts(NamedTuple):
    begun: bytes
    rest: bytes


class RosterFrames:
    """Encodes rosters: `frame` returns what `encode` would, in one go for those that share members and terms."""

    def __init__(self) -> None:
        self._last: tuple[Roster, _Parts] | None = None

    def envelope(self, message: Message) -> Envelope | None:
        """Return what a roster is sent as; None of another message."""
        if not isinstance(message, Roster):
            return None
        frame = self.frame(message)
        return Envelope([frame], tag_of(message), 0, len(frame))

    def frame(self, roster: Roster) -> bytes:
        if self._last is None or not _alike(roster, self._last[0]):
            (frame,) = encode(replace(roster, id=0))
            self._last = roster, _Parts(bytes(frame[:_ID_AT]), bytes(frame[_ID_AT + 1 :]))
        begun, rest = self._last[1]
        return b"".join((begun, msgpack.packb(roster.id), rest))


class RosterReader:
    """Decodes what a broker answers; rosters that differ in nothing but the id have all else in common.

    Nobody may change what they share.
    """

    def __init__(self) -> None:
        self._last: tuple[_Parts, Roster] | None = None

    def decode(self, frames: Sequence[Any]) -> Message:
        """Return the message of untrusted frames; raises what `decode` of the codec raises."""
        found = _parted(bytes(frames[0])) if len(frames) == 1 else None
        if found is None:
            return decode(frames)[0]
        id_, parts = found
        if self._last is not None and parts == self._last[0]:
            return replace(self._last[1], id=id_)
        message = decode(frames)[0]
        if isinstance(message, Roster):
            self._last = parts, message
        return message


def _alike(one: Roster, other: Roster) -> bool:
    """Return whether two rosters are made of the same; what is merely equal may be encoded in another way."""
    same = one.members is other.members and one.shared_config is other.shared_config and one.founders is other.founders
    return same and (one.run, one.version) == (other.run, other.version)


def _parted(frame: bytes) -> tuple[int, _Parts] | None:
    """Return the id of a roster's frame, and what is before and behind it; None if it is not written as ours are."""
    if frame[_MAP_AT + 1 : _ID_AT] != _HEAD or len(frame) <= _ID_AT:
        return None
    first = frame[_ID_AT]
    size = 1 if first < 0x80 else _SIZES.get(first, 0)
    encoded = frame[_ID_AT : _ID_AT + size]
    if not size or len(encoded) < size:
        return None
    id_ = first if size == 1 else int.from_bytes(encoded[1:], "big")
    return id_, _Parts(frame[:_ID_AT], frame[_ID_AT + size :])
