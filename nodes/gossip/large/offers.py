"""What a peer has announced in place of sending it, and hands out to those who were told, until they need it no more;
pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, get_args

from msgspec import structs
from nervenet.broker import messages as m

from ...large.offer import Offer, refused
from ...large.sizes import Sizes
from ...runtime import effects as e

KEPT = 2  # announcements of one kind that a neighbor may not have fetched yet: the oldest and the newest
ANNOUNCED: tuple[type[m.Announced], ...] = get_args(m.Announced)

T = TypeVar("T")


def superseded(alike: Sequence[T]) -> Sequence[T]:
    """Return which of what is alike, in the order in which it was announced, make room for the newest.

    Never the oldest, which is being fetched: over a slow way none would ever come.
    """
    return alike[1 : max(1, len(alike) - KEPT + 1)]


@dataclass(slots=True)
class Announcing:
    """One message whose array is handed out, and when those who were told were last seen to move."""

    message: m.Announced
    offer: Offer
    moved_at: dict[str, float] = field(default_factory=dict)

    def announce(self, to: Iterable[str]) -> e.Announce:
        return e.Announce(tuple(to), m.Announcement(self.offer.generation, self.message), self.offer.body)


class Offers:
    """All that is handed out: of each kind of message at most `KEPT` a neighbor."""

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self._open: dict[int, Announcing] = {}
        self._generation = 0
        self._superseded: list[tuple[str, m.Announced]] = []

    def __len__(self) -> int:
        return len(self._open)

    def withhold(self, effects: Iterable[e.Effect], now: float) -> list[e.Effect]:
        """Return the effects, with what no message can carry announced in place of being sent."""
        return [self._announced(effect, now) if type(effect) is e.Send else effect for effect in effects]

    def _announced(self, send: e.Send, now: float) -> e.Effect:
        message = send.message
        if not isinstance(message, ANNOUNCED) or not self.sizes.too_large(message.payload):
            return send
        announcing = self._of(message, send.body)
        offer = announcing.offer
        offer.told.update(send.to)
        offer.asked.difference_update(send.to)
        announcing.moved_at |= dict.fromkeys(send.to, now)
        for name in send.to:
            self._make_room(name, type(message))
        return announcing.announce(send.to)

    def _of(self, message: m.Announced, body: object) -> Announcing:
        for announcing in self._open.values():
            if announcing.offer.body is body and announcing.message == message:
                return announcing  # said again
        self._generation += 1
        # Its bytes, if it is encoded: no range of those can be decoded by itself.
        payload = structs.replace(message.payload, encoding="")
        offer = Offer(self._generation, body, payload, int(getattr(message, "round", 0)))
        self._open[self._generation] = announcing = Announcing(message, offer)
        return announcing

    def _make_room(self, name: str, kind: type[m.Announced]) -> None:
        for announcing in superseded([each for each in self._told(name) if type(each.message) is kind]):
            self._release(name, announcing)
            self._superseded.append((name, announcing.message))

    def take_superseded(self) -> list[tuple[str, m.Announced]]:
        """Return what has made room for newer ones, and to whom it was announced; each once."""
        found, self._superseded = self._superseded, []
        return found

    def again(self, name: str) -> list[e.Effect]:
        """Announce once more what is still handed out: a connection that has ended may have taken that with it, or the
        word that no more of it is needed.
        """
        return [each.announce((name,)) for each in self._told(name)]

    def serve(self, sender: str, asked: m.GetChunk, now: float) -> list[e.Effect]:
        """Answer a request for a range, or refuse it by name."""
        announcing = self._open.get(asked.generation)
        if announcing is None:
            return refused(sender, asked, "stale", f"array {asked.generation} is no longer offered")
        self.moved(sender, now)
        return announcing.offer.serve(sender, asked, self.sizes)

    def moved(self, name: str, now: float) -> None:
        """Take note that something is on its way to one of those who were told."""
        for announcing in self._told(name):
            announcing.moved_at[name] = now

    def fetched(self, name: str, generation: int) -> None:
        """Take note that one of those who were told needs no more of an array."""
        announcing = self._open.get(generation)
        if announcing is not None:
            self._release(name, announcing)

    def unsent(self, name: str, round_: int) -> m.Announced | None:
        """Take back the last announcement of a round, which has not gone out; return its message."""
        for announcing in reversed(list(self._told(name))):
            if announcing.offer.round == round_ and name not in announcing.offer.asked:
                self._release(name, announcing)
                return announcing.message
        return None

    def forget(self, name: str) -> None:
        """Hand out nothing more to one that has gone, or was started again."""
        for announcing in list(self._told(name)):
            self._release(name, announcing)

    def told(self) -> set[str]:
        """Return who has been told of something, and may still ask for it."""
        return {name for announcing in self._open.values() for name in announcing.offer.told}

    def owed(self, since: float) -> set[str]:
        """Return those of them to whom something has moved since a time."""
        return {
            name
            for announcing in self._open.values()
            for name in announcing.offer.told
            if announcing.moved_at.get(name, since) > since
        }

    def _told(self, name: str) -> Iterator[Announcing]:
        return (each for each in list(self._open.values()) if name in each.offer.told)

    def _release(self, name: str, announcing: Announcing) -> None:
        offer = announcing.offer
        offer.told.discard(name)
        offer.asked.discard(name)
        announcing.moved_at.pop(name, None)
        if not offer.told:
            self._open.pop(offer.generation, None)
