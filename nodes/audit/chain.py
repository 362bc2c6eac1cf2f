"""The chain of an audit log: a line of JSON for each record, which holds the hash of the line before it and its own.

Pure: bytes in, bytes out. A line is a JSON object without spaces: `n`, counted from 1; `time`, UTC; `previous`, the
hash of the line before, `START` at the first; `kind`; further fields; and, last, `hash`, the SHA-256 of the text
without it, in hexadecimal digits. The hash of the last line is the head of the chain: it stands for all of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

START = "0" * 64
TORN = "torn"
"""Kind of the line behind what a power cut has left of one: its `bytes` and `sha256` are of those bytes."""

OPENED, CONTINUED = "opened", "continued"
"""Kinds of the first line of a node's life, and of a file that goes on where an older one was closed."""

_HASHED = 64 + len(',"hash":""}')  # characters of a line behind the text that is hashed


class Head(NamedTuple):
    """The end of a chain: the number and the hash of its last line."""

    n: int = 0
    hash: str = START


class Line(NamedTuple):
    """A line that is as it was written."""

    head: Head
    record: dict[str, Any]


class Broken(ValueError):
    """A chain that is not as it was written: the line's number in its file, and what differs."""

    def __init__(self, number: int, problem: str) -> None:
        super().__init__(f"line {number}: {problem}")
        self.number, self.problem = number, problem


def sealed(before: Head, kind: str, fields: Mapping[str, Any], time: float) -> tuple[bytes, Head]:
    """Return the next line of a chain, with its line break, and the head that it makes."""
    when = datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    record = {"n": before.n + 1, "time": when, "previous": before.hash, "kind": kind, **fields}
    text = json.dumps(record, ensure_ascii=True, separators=(",", ":"))
    found = hashlib.sha256(text.encode()).hexdigest()
    return f'{text[:-1]},"hash":"{found}"}}\n'.encode(), Head(before.n + 1, found)


def parse(line: bytes, number: int = 0) -> Line:
    """Return a line, given without its break. Raises Broken for one that is not as it was written."""
    try:
        record = json.loads(line)
        text, said = line[:-_HASHED] + b"}", record["hash"]
        n, previous, kind = record["n"], record["previous"], record["kind"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Broken(number, "changed: it is no record") from None
    found = hashlib.sha256(text).hexdigest()
    if line[-_HASHED:] != f',"hash":"{found}"}}'.encode():
        raise Broken(number, f"changed: its hash is {found[:12]}…, and it says {str(said)[:12]}…")
    if type(n) is not int or not isinstance(previous, str) or not isinstance(kind, str):
        raise Broken(number, "changed: it is no record")
    return Line(Head(n, found), record)


def follows(before: Head, line: bytes) -> bool:
    """Whether this is the next line of a chain, given without its break."""
    try:
        found = parse(line)
    except Broken:
        return False
    return (found.head.n, found.record["previous"]) == (before.n + 1, before.hash)


@dataclass
class Verifier:
    """Goes through a chain, file after file; `head` is where it has come to, `known` all the heads before it."""

    head: Head = field(default_factory=Head)
    known: dict[str, int] = field(default_factory=dict)
    lives: int = 0
    torn: int = 0

    def take(self, content: bytes, *, whole: bool = True) -> None:
        """Go on with a file's content; not `whole`: it may begin in the middle of its chain.

        Raises Broken at the first line that is changed, removed, reordered, or cut off.
        """
        lines = content.split(b"\n")
        rest = lines.pop()
        fragment: bytes | None = None
        for number, text in enumerate(lines, 1):
            try:
                line = parse(text, number)
            except Broken:
                if fragment is not None or number == len(lines) or not _is_torn(lines[number], text):
                    raise
                fragment = text
                continue
            if number == 1 and not whole and line.record["kind"] == CONTINUED:
                self.head = Head(line.head.n - 1, str(line.record["previous"]))
            self._follow(line, number)
            fragment = None
        if rest:
            raise Broken(len(lines) + 1, f"cut off after {len(rest)} bytes: a power cut, or the end is missing")

    def _follow(self, line: Line, number: int) -> None:
        n, record = line.head.n, line.record
        if n != self.head.n + 1 or record["previous"] != self.head.hash:
            raise Broken(number, self._out_of_place(n, str(record["previous"])))
        self.head = line.head
        self.known[line.head.hash] = n
        self.lives += record["kind"] == OPENED
        self.torn += record["kind"] == TORN

    def _out_of_place(self, n: int, previous: str) -> str:
        expected = self.head.n + 1
        if n > expected:
            missing = f"record {expected} is" if n == expected + 1 else f"records {expected} to {n - 1} are"
            return f"removed: {missing} missing before record {n}"
        if n < expected:
            return f"reordered: record {n} comes after record {self.head.n}"
        return f"removed: record {n} follows {previous[:12]}…, and the one before it is {self.head.hash[:12]}…"

    def check_head(self, head: str) -> int:
        """Return how many records there are since a head that was noted. Raises Broken where none has it."""
        if head not in self.known:
            lost = f"no record has the hash {head}; the last of {self.head.n} has {self.head.hash}"
            raise Broken(self.head.n, f"the end is missing, or all was written anew: {lost}")
        return self.head.n - self.known[head]


def torn_fields(fragment: bytes) -> dict[str, Any]:
    """Return what the line behind a fragment says of it."""
    return {"bytes": len(fragment), "sha256": hashlib.sha256(fragment).hexdigest()}


def _is_torn(line: bytes, fragment: bytes) -> bool:
    """Whether a line says that the one before it is what a power cut has left of another."""
    try:
        record = parse(line).record
    except Broken:
        return False
    return record["kind"] == TORN and torn_fields(fragment).items() <= record.items()


def records(contents: Iterable[bytes]) -> list[dict[str, Any]]:
    """Return the records of files that are not verified, without what is none."""
    found = []
    for content in contents:
        for line in content.split(b"\n"):
            try:
                found.append(parse(line).record)
            except Broken:
                continue
    return found
