"""Addressed randomness: every draw names what it is for, so that no draw depends on what happened before it."""

from hashlib import blake2b

import numpy as np


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
    parts = bytearray()
    for part in (seed, *address):
        text = part.encode() if isinstance(part, str) else str(int(part)).encode()
        # The length in front keeps ("ab", "c") and ("a", "bc") apart.
        parts += b"%c%d:%b" % (b"s" if isinstance(part, str) else b"i", len(text), text)
    words = np.frombuffer(blake2b(parts, digest_size=16).digest(), "<u4")
    # As numpy.random.default_rng of the digest as a number, which it would take apart again.
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))
