"""Error feedback: what compression cut off is not lost, it goes with the next message.

Seide et al. 2014 (1-bit SGD); Karimireddy et al. 2019, Algorithm 2 (EF-SGD): with p = v + e, send Q(p), keep p - Q(p).
"""

import numpy as np

from ..weights import Vector
from .base import Bytes
from .codec import Codec


def error_feedback(
    vector: Vector, residual: Vector | None, codec: Codec, rng: np.random.Generator, parts: int = 1
) -> tuple[Bytes, Vector, Vector | None]:
    """Encode a vector and what the last time left behind.

    Parameters
    ----------
    vector : (parts * n,) array
        Left as it is.
    residual : (parts * n,) array or None
        What the call before returned; None at first. Left as it is, for a caller who may have to do it again.
    codec : Codec
    rng : numpy.random.Generator
    parts : int

    Returns
    -------
    frame : array of uint8
        To be sent.
    decoded : (parts * n,) array
        What the receiver will make of it. For a lossless codec without residual this is `vector` itself.
    residual : (parts * n,) array or None
        ``vector + residual - decoded``, so that ``||residual||`` is the error of this message; None if nothing was cut.

    Raises
    ------
    CodecError
        As `Codec.encode`.
    """
    wanted = vector if residual is None else vector + residual
    frame = codec.encode(wanted, rng, parts)
    if not codec.lossy:
        return frame, wanted, None
    decoded = codec.decode(frame, vector.size // parts, vector.dtype, parts)
    left = np.subtract(wanted, decoded, out=None if wanted is vector else wanted)
    return frame, decoded, left
