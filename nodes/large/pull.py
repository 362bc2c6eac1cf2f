"""Fetching an array range by range, the same ranges from one sender or from several; pure.

Of each sender a few ranges are asked for ahead of the oldest one that is not used up yet, so that what is held is
(ranges ahead) x (senders), whatever the size of the arrays. A range that was asked for and has not come, after a cut,
say, is asked for again: what was there before it stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from nervenet.broker import messages as m

from ..runtime import effects as e
from ..runtime import events as ev
from .sizes import WINDOW, Sizes

AGAIN_S = 2.0  # without a chunk, and without a word that one is on its way, after which it is asked for again
CHECKED = ("layout", "dtype", "parts", "encoding", "length")


@dataclass(slots=True)
class Source:
    """One sender: its array's generation, what it was asked for and has not sent, and when something came last."""

    generation: int
    heard_at: float
    next: int = 0  # the first number that it was not asked for
    asked: set[int] = field(default_factory=set)  # starts of ranges
    again_at: float = 0.0  # when it was last asked again


class Pull:
    """Fetches arrays that are alike from `sources`; `number` names it among those of this node."""

    def __init__(
        self, number: int, round_: int, payload: m.Payload, sizes: Sizes, generations: Mapping[str, int], now: float
    ) -> None:
        self.number = number
        self.round = round_
        self.payload = payload
        self.chunk = sizes.chunk(payload)
        self.sources = {name: Source(generation, now) for name, generation in sorted(generations.items())}
        self.progress_at = now  # when something came, or was used up
        self._base = 0  # all before it is used up
        self._used: set[int] = set()  # ranges behind the first that is not
        self._held: dict[int, dict[str, ev.Body]] = {}
        self._given: set[int] = set()

    @property
    def finished(self) -> bool:
        return self._base >= self.payload.length

    @property
    def share(self) -> float:
        """The part of the array that is there."""
        return min(1.0, self._base / self.payload.length)

    def _length(self, start: int) -> int:
        return min(self.chunk, self.payload.length - start)

    def request(self) -> list[e.Effect]:
        """Ask each sender for what there is room for."""
        effects: list[e.Effect] = []
        end = min(self.payload.length, self._base + WINDOW * self.chunk)
        for name, source in self.sources.items():
            while source.next < end:
                effects.append(self._ask(name, source, source.next))
                source.next += self.chunk
        return effects

    def again(self, name: str, now: float) -> list[e.Effect]:
        """Ask a sender once more for all that it has been asked for and has not sent."""
        source = self.sources.get(name)
        if source is None:
            return []
        source.again_at = now
        return [self._ask(name, source, start) for start in sorted(source.asked)]

    def _ask(self, name: str, source: Source, start: int) -> e.Effect:
        source.asked.add(start)
        return e.Send((name,), m.GetChunk(self.round, source.generation, start, self._length(start)))

    def take(self, sender: str, chunk: m.Chunk, body: ev.Body, now: float) -> str | None:
        """Take what has come, unless nobody waits for it; return what is wrong with it, if anything is."""
        source = self.sources.get(sender)
        if source is None or chunk.generation != source.generation or chunk.start not in source.asked:
            return None  # of an array that was given up, or asked for twice
        expected = m.Payload(
            self.payload.layout,
            self.payload.dtype,
            self._length(chunk.start),
            self.payload.encoding,
            self.payload.parts,
        )
        for name in CHECKED:
            found, wanted = getattr(chunk.payload, name), getattr(expected, name)
            if found != wanted:
                return f"{name} of the range from {chunk.start} on must be {wanted}, found {str(found)[:100]}"
        source.asked.discard(chunk.start)
        source.heard_at = self.progress_at = now
        self._held.setdefault(chunk.start, {})[sender] = body
        return None

    def complete(self) -> Iterator[tuple[int, Mapping[str, ev.Body]]]:
        """Yield each range that all senders have sent, once."""
        for start in sorted(self._held):
            if len(self._held[start]) == len(self.sources):
                self._given.add(start)
                yield start, self._held.pop(start)

    def used(self, start: int, now: float) -> None:
        """Note that a range has been used up: there is room for another one."""
        if start not in self._given:
            return
        self._given.discard(start)
        self._used.add(start)
        self.progress_at = now
        while self._base in self._used:
            self._used.discard(self._base)
            self._base += self.chunk

    def awaited(self) -> list[str]:
        """Return who has been asked for something that has not come."""
        return [name for name, source in self.sources.items() if source.asked]

    def behind(self) -> list[str]:
        """Return for whom all others wait: those who have not sent the first range that is not used up."""
        return [name for name, source in self.sources.items() if self._base in source.asked]
