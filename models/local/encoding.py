"""Encoding of an update, and the error that it makes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..weights import Vector


def encoded(
    spec: str, vector: Vector, base: Vector, residual: Vector | None, rng: np.random.Generator
) -> tuple[NDArray[Any], Vector | None, dict[str, float]]:
    """Return the frame of a vector of one or more parts, encoded with error feedback.

    The first part of `vector` is weights, whose difference to `base` a relative codec encodes. `residual` is what the
    last encoding cut off; of another length, as after a change of strategy, it is dropped. Returns the frame of uint8,
    the next residual (None if nothing was cut off), and the metrics ``raw_bytes``, ``sent_bytes`` and ``codec_error``.
    """
    from ..compress import error_feedback, parse

    codec = parse(spec)
    if codec.relative:
        vector = vector.copy()
        vector[: base.size] -= base
    if residual is not None and residual.shape != vector.shape:
        residual = None
    frame, decoded, left = error_feedback(vector, residual, codec, rng, vector.size // base.size)
    error = 0.0
    if left is not None:
        whole = float(np.linalg.norm(decoded + left))
        error = float(np.linalg.norm(left)) / whole if whole else 0.0
    return frame, left, {"raw_bytes": vector.nbytes, "sent_bytes": frame.nbytes, "codec_error": error}
