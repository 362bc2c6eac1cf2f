"""What a node announces in place of sending it, and serves range by range to those it was announced to; pure."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import structs
from nervenet.broker import messages as m

from ...large.offer import Offer, refused
from ...large.sizes import Sizes
from ...runtime import effects as e

_WITH_MODEL = (m.Task, m.Update)


class Offers:
    """The newest array that this node has announced: of those before it nobody needs more."""

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self.offer: Offer | None = None
        self._generation = 0

    def withhold(self, effects: Iterable[e.Effect]) -> list[e.Effect]:
        """Return the effects, with what no message can carry announced in place of being sent."""
        return [self._announced(effect) if type(effect) is e.Send else effect for effect in effects]

    def _announced(self, send: e.Send) -> e.Effect:
        message = send.message
        if not isinstance(message, _WITH_MODEL):
            return send
        payload = message.payload
        if payload is None or not self.sizes.too_large(payload):
            return send
        offer = self.offer
        if offer is None or offer.body is not send.body:
            self._generation += 1
            offer = self.offer = Offer(self._generation, send.body, payload, message.round)
        offer.round = message.round
        offer.told.update(send.to)
        offer.asked.difference_update(send.to)
        manifest = m.Manifest(payload, offer.generation)
        told = structs.replace(message, payload=None, manifest=manifest)
        offer.last |= {name: e.Announce((name,), told, send.body) for name in send.to}
        return e.Announce(send.to, told, send.body)

    def again(self, name: str, key: tuple[int, int] | None = None) -> list[e.Effect]:
        """Announce once more what was announced last, by a message of `key`, unless a range of it was asked for since.

        A connection that has ended may have taken the announcement with it.
        """
        told = self.offer.last.get(name) if self.offer is not None and name not in self.offer.asked else None
        if told is None or not isinstance(told.message, m.Task | m.Update):
            return []
        return [told] if key in (None, (told.message.round, told.message.attempt)) else []

    def forget(self) -> None:
        self.offer = None

    def serve(self, sender: str, asked: m.GetChunk) -> list[e.Effect]:
        """Answer a request for a range, or refuse it by name."""
        offer = self.offer
        if offer is None or asked.generation != offer.generation:
            there = "none is" if offer is None else f"array {offer.generation} is"
            return refused(sender, asked, "stale", f"array {asked.generation} is no longer offered; {there}")
        return offer.serve(sender, asked, self.sizes)
