"""Rows of nothing but numbers, from text to an array of float64 without an object of Python's for each number.

simdjson parses them, where it is installed, a few thousand at a time: a long call would keep all other threads waiting.
Whatever is not as regular as a program writes it is left to the readers that say what is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from nervenet.models.extras import installed

from .refusals import FIELD

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK_BYTES = 1 << 17

_HEAD = re.compile(rb'\s*\{\s*"%b"\s*:\s*\[\s*(?=\[)' % FIELD.encode())
_TAIL = re.compile(rb"\]\s*\]\s*\}\s*\Z")
_ENDS_BYTES = 64  # in which a head, and a tail, are looked for
_BETWEEN = re.compile(rb"\],\s?(?=\[)")


def numbers_in_json(body: bytes | bytearray, width: int, max_rows: int) -> NDArray[np.float64] | None:
    """Return the rows of ``{"X_test": [[…], …]}`` as a table, shape (rows, width), all of them finite.

    None where it is anything else, or has more rows, or the parser is not installed.
    """
    head = _HEAD.match(body, 0, _ENDS_BYTES)
    tail = _TAIL.search(body, max(0, len(body) - _ENDS_BYTES))
    if head is None or tail is None:
        return None
    return _table(_chunks_of_json(body, head.end(), tail.start() + 1), len(body), width, max_rows)


def numbers_in_csv(lines: memoryview, width: int, max_rows: int) -> NDArray[np.float64] | None:
    """Return lines of numbers, without a header, as `numbers_in_json` does; None of no lines, too."""
    return _table(_chunks_of_csv(lines), len(lines), width, max_rows)


def _chunks_of_json(body: bytes | bytearray, start: int, end: int) -> Iterator[bytes]:
    """Yield rows between these places as JSON, several in a list; what lies between two chunks is a comma."""
    while start < end:
        cut = _BETWEEN.search(body, start + CHUNK_BYTES, end)
        stop, after = (end, end) if cut is None else (cut.start() + 1, cut.end())
        yield b"".join((b"[", memoryview(body)[start:stop], b"]"))
        start = after


def _chunks_of_csv(lines: memoryview) -> Iterator[bytes]:
    """Yield lines as JSON, several in a list."""
    start, end = 0, len(lines)
    while start < end:
        stop = start + CHUNK_BYTES
        chunk = bytes(lines[start:stop])
        if stop < end:
            length = chunk.rfind(b"\n")
            if length < 0:  # a line that is longer
                yield b""
                return
            chunk, stop = chunk[:length], start + length + 1
        else:
            chunk = chunk.rstrip()
        if chunk:
            yield b"[[%b]]" % chunk.replace(b"\n", b"],[")
        start = stop


def _table(chunks: Iterator[bytes], size: int, width: int, max_rows: int) -> NDArray[np.float64] | None:
    made = _parser()
    if made is None:
        return None
    parser = made()
    most = min(max_rows, size // (2 * width) + 1)  # a number and what parts it from the next one are two bytes
    table, rows = np.empty((most, width)), 0  # memory that is not written is none
    for chunk in chunks:
        try:
            found = parser.parse(chunk)
            more = rows_in(found, chunk, width)
            numbers = np.frombuffer(found.as_buffer(of_type="d"))
        except (ValueError, TypeError, RuntimeError):  # no JSON, no numbers, or an integer beyond 64 bits
            return None
        del found  # whose memory the next chunk is parsed into
        if not more or rows + more > most:
            return None
        table[rows : rows + more] = numbers.reshape(more, width)
        rows += more
    return table[:rows] if rows else None


def rows_in(found: Any, text: bytes, width: int) -> int:
    """Return how many rows a parsed list of lists has if each of them has this width, and no list within; else 0.

    Raises TypeError where it is no list of lists.
    """
    brackets = np.count_nonzero(np.frombuffer(text, np.uint8) == ord("["))
    return len(found) if set(map(len, found)) == {width} and brackets == len(found) + 1 else 0


@cache
def _parser() -> Any:
    """Return the class of the parser; None where it is not installed."""
    if not installed("simdjson"):
        return None
    import simdjson

    return simdjson.Parser
