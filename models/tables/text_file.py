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
BLANK = " "  # as R separates cells, where nothing else does
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|NA|", re.ASCII)
QUOTES = ('"', "'")
SAMPLE = 65_536  # bytes, of which the separator is recognized
SAMPLE_ROWS = 200


@dataclass(frozen=True)
class Dialect:
    """How a file of cells is written."""

    encoding: str
    separator: str
    quote: str = '"'
    row_names: bool = False  # before the first column, which the header does not name, as R writes them

    @property
    def plain(self) -> bool:
        """Whether a reader of its own kind needs to know no more than the separator."""
        return self.quote == '"' and not self.row_names

    def __str__(self) -> str:
        """Return what is unusual of it in words; empty where nothing is."""
        parts = []
        if self.separator != ",":
            parts.append(f"cells separated by {SEPARATORS.get(self.separator, 'blanks')}")
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


def dialect_of_text(sample: str, encoding: str) -> Dialect:
    """Return how a text that begins so is written.

    Of what divides the first line, that which divides most others alike, or into one cell more; single quotes where
    they divide more of them alike than double ones, or all cells of a column stand in them. Blanks are taken where
    nothing else divides the first line, all lines are divided alike, and numbers are among the cells.
    """
    best, score = Dialect(encoding, ","), (0.0, 0, False)
    for mark in filter(sample.__contains__, SEPARATORS):
        for quote in QUOTES if _quoted_singly(sample, mark) else QUOTES[:1]:
            rows = _divided(sample, mark, quote)
            width = len(rows[0]) if rows else 0
            row_names = _row_names(rows)
            alike = 1.0 if row_names else sum(len(row) == width for row in rows) / max(1, len(rows))
            around = quote == "'" and _stands_around(_divided(sample, mark, None), quote)
            if width > 1 and (alike, width, around) > score:
                best, score = Dialect(encoding, mark, quote, row_names), (alike, width, around)
    return best if score[1] else _blanks(sample, encoding) or best


def _blanks(sample: str, encoding: str) -> Dialect | None:
    single = _stands_around(_divided(sample, BLANK, None), "'")
    for quote in reversed(QUOTES) if single else QUOTES:
        rows = _divided(sample, BLANK, quote)
        row_names = _row_names(rows)
        widths = {len(row) - row_names for row in rows[1:]}
        if len(rows) > 1 and len(rows[0]) > 1 and widths == {len(rows[0])} and _has_numbers(rows[1:]):
            return Dialect(encoding, BLANK, quote, row_names)
    return None


def _has_numbers(rows: list[list[str]]) -> bool:
    return any(all(_NUMBER.fullmatch(cell) for cell in column) for column in zip(*rows, strict=True))


def _row_names(rows: list[list[str]]) -> bool:
    """Whether each line has a name of its own before the cells that the header names: there are none behind them."""
    width, lines = len(rows[0]) if rows else 0, rows[1:]
    more = len(lines) > 1 and all(len(row) == width + 1 for row in lines)
    return more and len({row[0] for row in lines} - {""}) == len(lines) and any(row[-1].strip() for row in lines)


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
    """Whether all cells of the header, or of some column below it, stand in quotes, empty ones aside."""
    for cells in (*rows[:1], *zip(*rows[1:], strict=False)):
        present = [cell.strip() for cell in cells if cell.strip()]
        if present and all(len(cell) > 1 and cell[0] == cell[-1] == quote for cell in present):
            return True
    return False
