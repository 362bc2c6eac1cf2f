"""Text files as sites have them: gzip or not, in one of four encodings, cells separated by one of four marks."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

from ..data.data import DataError
from .suffixes import kind_of

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
QUOTES = ('"', "'")
SAMPLE = 65_536  # bytes, of which the separator is recognized
SAMPLE_ROWS = 200


@dataclass(frozen=True)
class Dialect:
    """How a file of cells is written."""

    encoding: str
    separator: str
    quote: str = '"'

    def __str__(self) -> str:
        """Return what is unusual of it in words; empty where nothing is."""
        parts = []
        if self.separator != ",":
            parts.append(f"cells separated by {SEPARATORS[self.separator]}")
        if self.quote == "'":
            parts.append("single quotes")
        if self.encoding not in ("utf-8", "utf-8-sig"):
            parts.append(f"encoding {self.encoding}")
        return ", ".join(parts)


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading its bytes, those of a .gz file unpacked. Raises DataError where that cannot be done."""
    try:
        with path.open("rb") as plain:
            if path.suffix.lower() == ".gz":
                with gzip.GzipFile(fileobj=plain) as unpacked:
                    yield cast(BinaryIO, unpacked)
            else:
                yield plain
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not a readable {kind_of(path)} file ({error})") from error


def encodings(sample: bytes) -> list[str]:
    """Return the encodings that a file which begins so may have, the likeliest first.

    UTF-16 is known by its mark, or by the zero bytes of its first letters. Of the old 8-bit ones cp1252 is tried, and
    latin-1 where that has no such letters: bytes alone do not tell them apart.
    """
    if sample.startswith((b"\xff\xfe", b"\xfe\xff")):
        return ["utf-16"]
    if sample.startswith(b"\xef\xbb\xbf"):
        return ["utf-8-sig"]
    head = sample[:64]
    if head[1::2].count(0) * 2 > len(head[1::2]):
        return ["utf-16-le"]
    if head[::2].count(0) * 2 > len(head[::2]):
        return ["utf-16-be"]
    return ["utf-8", "cp1252", "latin-1"]


@contextmanager
def decoded(path: Path, encoding: str) -> Iterator[TextIO]:
    """Open a file of text, line ends as they are. Decoding errors are the caller's."""
    with opened(path) as binary, io.TextIOWrapper(binary, encoding, newline="") as text:
        yield text


def find_marks(sample: str) -> tuple[str, str]:
    """Return what separates the cells, and what is around those that hold it.

    Of what divides the first line, that which divides most others alike; single quotes where they divide more of them
    alike than double ones, or all cells of a column stand in them.
    """
    best, score = (",", '"'), (0.0, 0, False)
    for mark in filter(sample.__contains__, SEPARATORS):
        for quote in QUOTES if _quoted_singly(sample, mark) else QUOTES[:1]:
            rows = _divided(sample, mark, quote)
            width = len(rows[0]) if rows else 0
            alike = sum(len(row) == width for row in rows) / max(1, len(rows))
            around = quote == "'" and _stands_around(_divided(sample, mark, None), quote)
            if width > 1 and (alike, width, around) > score:
                best, score = (mark, quote), (alike, width, around)
    return best


def _quoted_singly(sample: str, mark: str) -> bool:
    """Whether single quotes stand around some cell."""
    edge = re.escape(mark)
    return re.search(rf"(?m)(?:^|{edge})'(?:[^']|'')*'(?:{edge}|\r?$)", sample) is not None


def _divided(sample: str, mark: str, quote: str | None) -> list[list[str]]:
    """Return the first lines' cells, but for empty lines; none where they cannot be divided so."""
    how: Any = {"quoting": csv.QUOTE_NONE} if quote is None else {"quotechar": quote}
    lines = csv.reader(io.StringIO(sample, newline=""), delimiter=mark, **how)
    try:
        return [row for row, _ in zip(lines, range(SAMPLE_ROWS), strict=False) if row]
    except csv.Error:
        return []


def _stands_around(rows: list[list[str]], quote: str) -> bool:
    """Whether all cells of some column stand in quotes, header and empty ones aside."""
    for cells in zip(*rows[1:], strict=False):
        present = [cell.strip() for cell in cells if cell.strip()]
        if present and all(len(cell) > 1 and cell[0] == cell[-1] == quote for cell in present):
            return True
    return False
