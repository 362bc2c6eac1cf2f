"""A text file in pieces that end with a row, so that each can be parsed by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

SLAB = 16 * 2**20
"""Bytes that are parsed together: enough for all threads, and little beside a large table."""

LONGEST = 16
"""Slabs without the end of a row after which a file is taken for one whose quotes do not pair."""


class NoEnd(ValueError):
    """A file in which no row seems to end."""


def slabs(stream: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield the bytes of a file, each piece up to the last end of a row in it; line ends within quotes are none.

    Raises NoEnd: the quotes of the file do not pair.
    """
    pieces: list[bytes] = []
    while piece := stream.read(size):
        block = b"".join([*pieces, piece]) if pieces else piece
        end = _end_of_rows(block)
        if end:
            yield block[:end] if end < len(block) else block
            pieces = [block[end:]] if end < len(block) else []
        elif len(block) > LONGEST * size:
            raise NoEnd("no end of a row")
        else:
            pieces = [block]
    if pieces:
        yield b"".join(pieces)


def _end_of_rows(block: bytes) -> int:
    """Return where the last whole row of a block ends that begins with one; 0 where none does."""
    mark = b"\n" if b"\n" in block else b"\r"
    end = block.rfind(mark)
    if b'"' not in block:
        return end + 1
    before = block.count(b'"', 0, end + 1) if end >= 0 else 0
    while end >= 0 and before % 2:  # within quotes
        earlier = block.rfind(mark, 0, end)
        before -= block.count(b'"', earlier + 1, end + 1)
        end = earlier
    return end + 1
