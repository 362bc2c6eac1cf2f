"""What an answer of another site must be before anything is computed from it."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..agreement.questions import Answer
from ..moments import IncompatibleSites

LARGEST_COUNT = 2**53
LONGEST_TEXT = 100_000


def vector_of(site: str, answer: Answer, length: int) -> NDArray[np.float64]:
    """Return an answer's vector of finite numbers, shape (length,), or raise IncompatibleSites naming the site."""
    vector = answer.vector
    if vector.dtype != np.float64 or vector.shape != (length,):
        raise IncompatibleSites(
            f"site {site} has sent {vector.dtype} of shape {vector.shape}; expected {length} numbers of float64", site
        )
    if not np.isfinite(vector).all():
        raise IncompatibleSites(f"site {site} has sent a number that is not finite", site)
    return vector


def counts_of(site: str, numbers: NDArray[np.float64], least: int = 0) -> NDArray[np.float64]:
    """Return numbers that are counts, or raise IncompatibleSites naming the site."""
    if not ((numbers >= least) & (numbers <= LARGEST_COUNT) & (numbers == np.floor(numbers))).all():
        raise IncompatibleSites(f"site {site} has sent a count that is no whole number from {least}", site)
    return numbers


def list_of(site: str, answer: Answer, key: str, length: int | None = None) -> list[Any]:
    """Return a list among an answer's fields, or raise IncompatibleSites naming the site."""
    found = answer.fields.get(key)
    if not isinstance(found, list | tuple) or (length is not None and len(found) != length):
        raise IncompatibleSites(
            f"site {site} has sent no list {key!r}{'' if length is None else f' of {length}'}", site
        )
    return list(found)


def is_value(value: object) -> bool:
    """Whether this may stand for a cell: a finite number, a text that is not too long, or None for a gap."""
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, str):
        return len(value) <= LONGEST_TEXT
    return isinstance(value, int | float) and abs(value) <= sys.float_info.max
