"""Weights as a safetensors file, written as they lie in memory: no second copy of what may be larger than that."""

from __future__ import annotations

import json
import os
from hashlib import blake2b
from math import prod
from pathlib import Path

import numpy as np

from .atomic_file import replacing
from .weights import Layout, Vector

BLOCK = 1 << 24
"""Bytes hashed and written at a time."""

CODES = {"float32": "F32", "float64": "F64"}


def header_of(layout: Layout) -> bytes:
    """Return what stands before the numbers: the format's own header, the arrays in the order of the layout.

    One key of metadata, the hash of the layout.
    """
    fields: dict[str, object] = {"__metadata__": {"layout": layout.hash}}
    end, width = 0, np.dtype(layout.dtype).itemsize
    for name, shape in zip(layout.names, layout.shapes, strict=True):
        start, end = end, end + prod(shape) * width
        fields[name] = {"dtype": CODES[layout.dtype], "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(fields, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def plain_weights(content: bytes, layout: Layout) -> Vector | None:
    """Return the numbers of a file that `write_weights` has written, a view of its content; None of another one."""
    header, kind = header_of(layout), np.dtype(layout.dtype).newbyteorder("<")
    if not content.startswith(header) or len(content) != len(header) + layout.size * kind.itemsize:
        return None
    return np.frombuffer(content, kind, offset=len(header)).astype(layout.dtype, copy=False)


def write_weights(path: Path, layout: Layout, vector: Vector) -> str:
    """Write a checked vector, whole or not at all, and return the digest of the file (BLAKE2b, 16 bytes).

    Raises OSError where the system refuses.
    """
    header, digest = header_of(layout), blake2b(digest_size=16)
    numbers = np.ascontiguousarray(vector).astype(np.dtype(layout.dtype).newbyteorder("<"), copy=False)
    content = numbers.data.cast("B")
    with replacing(path) as temporary, temporary.open("wb") as stream:
        digest.update(header)
        stream.write(header)
        for start in range(0, len(content), BLOCK):
            digest.update(content[start : start + BLOCK])
            stream.write(content[start : start + BLOCK])
        stream.flush()
        os.fsync(stream.fileno())
    return digest.hexdigest()
