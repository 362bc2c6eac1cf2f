"""An array that was announced in place of being sent, and is handed out range by range to those who were told; pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec import structs
from nervenet.broker import messages as m

from ..runtime import effects as e
from ..runtime import events as ev
from .sizes import Sizes

REFUSALS = frozenset({"stale", "uninvited", "length"})
"""Codes by which a request for a range is refused; others are the transport's, and it can be asked again."""


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

    def serve(self, sender: str, asked: m.GetChunk, sizes: Sizes) -> list[e.Effect]:
        """Answer a request for a range of this array, or refuse it by name."""
        fault = self._fault(sender, asked, sizes)
        if fault is not None:
            return refused(sender, asked, *fault)
        self.asked.add(sender)
        payload = structs.replace(self.payload, length=asked.length)
        return [e.SendRange(sender, m.Chunk(self.round, self.generation, asked.start, payload), self.body)]

    def _fault(self, sender: str, asked: m.GetChunk, sizes: Sizes) -> tuple[str, str] | None:
        if sender not in self.told:
            return "uninvited", f"array {self.generation} was not announced to {sender}"
        if not 1 <= asked.length <= self.payload.length - asked.start:
            found = f"{asked.length} from {asked.start} on"
            return "length", f"a range must lie within {self.payload.length} numbers, found {found}"
        if not sizes.fits(self.payload, asked.length):
            most = f"network.max_message_bytes = {sizes.message_bytes:,}"
            return "length", f"{asked.length:,} numbers are more than a message carries here ({most})"
        return None


def refused(sender: str, asked: m.GetChunk, code: str, reason: str) -> list[e.Effect]:
    """Refuse a request for a range; that names the generation as its round."""
    return [e.Send((sender,), m.Refused("get_chunk", asked.generation, code, reason))]
