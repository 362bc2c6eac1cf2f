"""Error feedback: what compression cut off is added to the next message.

Seide et al. 2014 (1-bit SGD); Karimireddy et al. 2019, Algorithm 2 (EF-SGD): with p = v + e, send Q(p), keep p - Q(p).
"""

import numpy as np

from ..weights import Vector
from .base import Bytes
from .codec import Codec


def error_feedback(
    vector: Vector, residual: Vector | None, codec: Codec, rng: np.random.Generator, parts: int = 1
) -> tuple[Bytes, Vector, Vector | None]:
    """Return the frame of a vector plus the residual of the previous one, with what the receiver decodes.

    `vector`, shape (parts * n,), and `residual`, what the previous call returned (None at first), are not changed, so
    that the call can be repeated.

    Returns
    -------
    frame : array of uint8
    decoded : (parts * n,) array
        What the receiver decodes. For a lossless codec without residual this is `vector` itself.
    residual : (parts * n,) array or None
        ``vector + residual - decoded``, so that ``||residual||`` is the error of this message; None if nothing was cut.
    """
    wanted = vector if residual is None else vector + residual
    frame = codec.encode(wanted, rng, parts)
    if not codec.lossy:
        return frame, wanted, None
    decoded = codec.decode(frame, vector.size // parts, vector.dtype, parts)
    left = np.subtract(wanted, decoded, out=None if wanted is vector else wanted)
    return frame, decoded, left
