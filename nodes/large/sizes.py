"""How large a message may be, and so which arrays travel in chunks, and of which size these are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from nervenet.broker.messages import Payload

from ..config.schema import NetworkConfig
from ..runtime.payload_checks import HEADER_BYTES

WINDOW = 4  # chunks that one sender is asked for ahead of the oldest that is not folded yet
ITEM_BYTES = {"float32": 4, "float64": 8, "uint8": 1}


@dataclass(frozen=True)
class Sizes:
    """The limits of this node; what it asks for in one piece is at most `chunk_bytes`."""

    message_bytes: int = NetworkConfig.max_message_bytes
    chunk_bytes: int = NetworkConfig.chunk_bytes

    @classmethod
    def of(cls, network: NetworkConfig) -> Self:
        return cls(network.max_message_bytes, network.chunk_bytes)

    def too_large(self, payload: Payload) -> bool:
        """Whether no message can carry such an array."""
        return not self.fits(payload, payload.length)

    def fits(self, payload: Payload, length: int) -> bool:
        """Whether a message can carry so many numbers of an array."""
        return length * ITEM_BYTES[payload.dtype] + HEADER_BYTES <= self.message_bytes

    def chunk(self, payload: Payload) -> int:
        """Return how many numbers of an array are asked for at once."""
        nbytes = min(self.chunk_bytes, self.message_bytes - HEADER_BYTES)
        return max(1, nbytes // ITEM_BYTES[payload.dtype])
