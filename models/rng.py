"""Addressed randomness: every draw names what it is for, so that no draw depends on what happened before it."""

from functools import lru_cache
from hashlib import blake2b

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
