"""Addressed randomness: every draw names what it is for, so that no draw depends on what happened before it."""

from functools import lru_cache
from hashlib import blake2b
from typing import Any, cast

import numpy as np

_WORD = np.dtype("<u4")


@lru_cache(maxsize=1_024)  # most of an address is what it was for the draw before
def _encoded(part: str | int) -> bytes:
    text = part.encode() if isinstance(part, str) else str(int(part)).encode()
    # The length in front keeps ("ab", "c") and ("a", "bc") apart.
    return b"%c%d:%b" % (b"s" if isinstance(part, str) else b"i", len(text), text)


def generator(seed: int, *address: str | int) -> np.random.Generator:
    """Return the generator of one address.

    Two calls with the same seed and address give the same stream; any difference gives an independent one. A node that
    trained late, twice or not at all therefore changes no other node's draws, as a stream shared between rounds would.

    Parameters
    ----------
    seed : int
        The run's; it may be negative.
    *address : str or int
        What the draws are for, from the general to the particular: ``("init",)`` or ``(node, round, "batches")``.
        ``1`` and ``"1"`` are different addresses.

    Returns PCG64, seeded with the BLAKE2b digest of seed and address.
    """
    parts = b"".join(map(_encoded, (seed, *address)))
    words = np.frombuffer(blake2b(parts, digest_size=16).digest(), _WORD)
    # As numpy.random.default_rng of the digest as a number, which it would take apart again.
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))


def generator_when_drawn(seed: int, *address: str | int) -> np.random.Generator:
    """Return what makes `generator` of an address as soon as something is drawn, and hands on to it from then.

    To seed one takes as long as all else of a small training, and what is exact draws nothing. For code of our own: it
    is no instance of the class, which a user's may ask for.
    """
    return cast(np.random.Generator, _WhenDrawn(seed, *address))


class _WhenDrawn:
    def __init__(self, seed: int, *address: str | int) -> None:
        self._seed, self._address = seed, address

    def __getattr__(self, name: str) -> Any:
        made = self.__dict__.get("_made")
        if made is None:
            made = self._made = generator(self._seed, *self._address)
        return getattr(made, name)
