"""A site's answer to a question of round 0, which several peers of one process keep once.

Of 500 peers each holds 500 answers as long as it runs, for those who may still want them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgpack
import numpy as np
from nervenet.broker.codec import plain

from . import events as ev

STEPS = 3  # questions whose answers are known: no peer is further from another


class SiteAnswer(NamedTuple):
    """Whose answer, its fields and its vector, and the fields as they are sent; `of` makes it.

    `packed` tells one from another to the bit, as 1 from 1.0.
    """

    origin: str
    fields: Mapping[str, Any]
    body: ev.Body
    packed: Mapping[str, bytes]

    @classmethod
    def of(cls, origin: str, fields: Mapping[str, Any], body: ev.Body) -> SiteAnswer:
        return cls(origin, fields, body, packed_fields(fields))


class SameAnswers:
    """The answers that came to any of the peers; nobody may change what they share."""

    def __init__(self) -> None:
        self._known: dict[int, dict[str, SiteAnswer]] = {}

    def of(self, step: int, answer: SiteAnswer) -> SiteAnswer:
        """Return the one that is held already, if it is the same to the bit, or this one, which is held from now on."""
        known = self._known.setdefault(step, {})
        found = known.get(answer.origin)
        if found is not None and found.packed == answer.packed and _same(found.body, answer.body):
            return found
        if isinstance(answer.body, np.ndarray):  # on its own, not with the whole message that it came in
            body = answer.body.copy()
            body.flags.writeable = False
            answer = answer._replace(body=body)
        known[answer.origin] = answer
        for old in [each for each in self._known if each <= step - STEPS]:
            del self._known[old]
        return answer


def _same(one: ev.Body, other: ev.Body) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    return bool(one == other)


def packed_fields(fields: Mapping[str, Any]) -> dict[str, bytes]:
    """Return each field as it is sent."""
    return {key: msgpack.packb(value, default=plain) for key, value in fields.items()}
