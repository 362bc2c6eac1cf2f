"""The last event of each kind that a broker has relayed, as its publisher encoded it, within bounds of bytes."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence

import msgpack

from .codec import SIGNATURE
from .events import Event
from .limits import allowed
from .messages import Snapshot, tag_of

_PART_BYTES = 262_144
_APIECE = 512  # bytes that an event takes besides those of its own
_NAME = 64  # characters by which publishers are told apart


class LastValues:
    """The last event of each (run, node, type, subject); beyond the limits the least recent is evicted.

    One publisher has a share of its own, within which its events displace each other.
    """

    def __init__(self) -> None:
        self.nbytes = 0
        self._events: OrderedDict[bytes, tuple[str, str, bytes]] = OrderedDict()  # publisher, type, body
        self._of: dict[str, tuple[int, OrderedDict[bytes, None]]] = {}  # by publisher: bytes, and keys

    def put(self, event: Event, body: bytes) -> None:
        """Keep an event, whose body holds it as MessagePack behind the signature."""
        about = (event["run"], event["node"], event["type"], str(event.get("subject", "")))
        key = hashlib.blake2b(repr(about).encode(), digest_size=16).digest()
        self._drop(key)
        publisher = event["node"][:_NAME]
        size = len(body) + _APIECE
        held, keys = self._of.get(publisher, (0, OrderedDict()))
        keys[key] = None
        self._of[publisher] = (held + size, keys)
        self._events[key] = (publisher, event["type"], body[len(SIGNATURE) :])
        self.nbytes += size
        while self._of[publisher][0] > allowed("last_values_of_one") and len(keys) > 1:
            self._drop(next(iter(keys)))
        while self.nbytes > allowed("last_values_bytes") and len(self._events) > 1:
            self._drop(next(iter(self._events)))

    def parts(self, prefix: str) -> Iterator[tuple[list[bytes], bool]]:
        """Yield the events whose type begins with ``prefix``, encoded and oldest first, a message at a time."""
        part: list[bytes] = []
        size = 0
        for _, type_, body in self._events.values():
            if not type_.startswith(prefix):
                continue
            if part and size + len(body) > _PART_BYTES:
                yield part, False
                part, size = [], 0
            part.append(body)
            size += len(body)
        yield part, True

    def _drop(self, key: bytes) -> None:
        found = self._events.pop(key, None)
        if found is None:
            return
        publisher, _, body = found
        size = len(body) + len(SIGNATURE) + _APIECE
        self.nbytes -= size
        held, keys = self._of[publisher]
        del keys[key]
        if keys:
            self._of[publisher] = (held - size, keys)
        else:
            del self._of[publisher]


def snapshot_frame(id_: int, events: Sequence[bytes], last: bool) -> bytes:
    """Return the frame of a `Snapshot` of encoded events, which are not decoded for it."""
    packer = msgpack.Packer(autoreset=False)
    packer.pack_map_header(4)
    for key, value in (("t", tag_of(Snapshot(id_, ()))), ("id", id_), ("last", last)):
        packer.pack(key)
        packer.pack(value)
    packer.pack("events")
    packer.pack_array_header(len(events))
    return b"".join((SIGNATURE, packer.bytes(), *events))
