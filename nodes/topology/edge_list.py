"""A graph of one's own: a file with an edge a line.

Two members a line, by name or by number (from 0, in name order), with a comma or space between them. ``#`` begins a
comment. A line ``directed`` before the first edge makes each edge one-way, from the first to the second.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nervenet.models.plugins import suggest

from .base import Neighbors, Schedule, TopologyError, check_connected


@dataclass(frozen=True)
class EdgeList:
    """What a file says: pairs of words with the line that each stands in."""

    path: Path
    directed: bool
    pairs: tuple[tuple[int, str, str], ...]

    @property
    def words(self) -> list[str]:
        return sorted({word for _, one, other in self.pairs for word in (one, other)})


def read(path: str | Path) -> EdgeList:
    """Read a file of edges; a `TopologyError` names the line."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8 text"
        raise TopologyError(f"edges = {str(path)!r}: cannot be read: {reason}") from None
    directed = False
    pairs: list[tuple[int, str, str]] = []
    for number, words in _lines(text):
        if not pairs and words == ["directed"]:
            directed = True
        elif len(words) == 2 and all(words):
            pairs.append((number, words[0], words[1]))
        else:
            raise TopologyError(
                f"edges = {str(path)!r}: line {number}: expected two members with a comma or space between them, "
                f"or 'directed' before the first edge; found {' '.join(words)!r}"
            )
    if not pairs:
        raise TopologyError(f"edges = {str(path)!r}: holds no edge; expected two members a line")
    return EdgeList(path, directed, tuple(pairs))


def edges_digest(path: str) -> str:
    """Return a name for the contents of a file of edges, by which peers find out that theirs differ."""
    try:
        return hashlib.blake2b(Path(path).read_bytes(), digest_size=8).hexdigest()
    except OSError as error:
        raise TopologyError(f"edges = {path!r}: cannot be read: {error.strerror}") from None


def lay(listed: EdgeList, names: Sequence[str]) -> Schedule:
    """Lay the edges over the members, in name order; connected, or the components are named."""
    where = f"edges = {str(listed.path)!r}"
    out: dict[str, set[str]] = {name: set() for name in names}
    for number, first, second in listed.pairs:
        one, other = (_member(word, names, f"{where}: line {number}") for word in (first, second))
        if one == other:
            raise TopologyError(f"{where}: line {number}: joins {one} with itself; no member is its own neighbor")
        out[one].add(other)
        if not listed.directed:
            out[other].add(one)
    graph: Neighbors = {name: tuple(sorted(others)) for name, others in out.items()}
    check_connected(graph, listed.directed, where)
    return Schedule.of(graph, directed=listed.directed)


def _member(word: str, names: Sequence[str], where: str) -> str:
    if word in names:
        return word
    if word.isdecimal() and int(word) < len(names):
        return names[int(word)]
    members = ", ".join(names) if len(names) <= 8 else f"{', '.join(names[:3])} … {names[-1]}"
    raise TopologyError(
        f"{where}: there is no member {word!r}{suggest(word, names)}; expected one of {members}, or a number from 0 to "
        f"{len(names) - 1}"
    )


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.partition("#")[0].strip()
        if content:
            yield number, [word.strip("\"'") for word in re.split(r"\s*,\s*|\s+", content)]
