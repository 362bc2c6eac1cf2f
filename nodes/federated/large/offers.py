"""What a node announces in place of sending it, and serves range by range to those it was announced to; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec import structs
from nervenet.broker import messages as m

from ...runtime import effects as e
from ...runtime import events as ev
from .sizes import Sizes

REFUSALS = frozenset({"stale", "uninvited", "length"})
"""Codes by which a request for a range is refused; others are the transport's, and it can be asked again."""


_WITH_MODEL = (m.Task, m.Update)


@dataclass(slots=True)
class Offer:
    """One array under its generation; `told` may ask for it."""

    generation: int
    body: ev.Body
    payload: m.Payload
    round: int
    told: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)  # whoever has asked for a range, of those who were told last
    last: dict[str, e.Announce] = field(default_factory=dict)  # what each was told last


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
        """Answer a request for a range, or refuse it by name; a refusal names the generation as its round."""
        fault = self._fault(sender, asked)
        if fault is not None or self.offer is None:
            code, reason = fault or ("stale", "nothing is offered")
            return [e.Send((sender,), m.Refused("get_chunk", asked.generation, code, reason))]
        offer = self.offer
        offer.asked.add(sender)
        payload = structs.replace(offer.payload, length=asked.length)
        return [e.SendRange(sender, m.Chunk(offer.round, offer.generation, asked.start, payload), offer.body)]

    def _fault(self, sender: str, asked: m.GetChunk) -> tuple[str, str] | None:
        offer = self.offer
        if offer is None or asked.generation != offer.generation:
            there = "none is" if offer is None else f"array {offer.generation} is"
            return "stale", f"array {asked.generation} is no longer offered; {there}"
        if sender not in offer.told:
            return "uninvited", f"array {offer.generation} was not announced to {sender}"
        if not 1 <= asked.length <= offer.payload.length - asked.start:
            found = f"{asked.length} from {asked.start} on"
            return "length", f"a range must lie within {offer.payload.length} numbers, found {found}"
        if not self.sizes.fits(offer.payload, asked.length):
            most = f"network.max_message_bytes = {self.sizes.message_bytes:,}"
            return "length", f"{asked.length:,} numbers are more than a message carries here ({most})"
        return None
