"""What several nodes of one process have agreed on in round 0, computed once: all of them hold the same answers.

256 peers that each merge the statistics of 256 sites take longer for that than for everything else in round 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b
from threading import Lock
from typing import Any, TypeVar

import msgpack
import numpy as np
from nervenet.broker.codec import plain

from . import effects as e
from .site_answer import SameAnswers

Made = TypeVar("Made")


class SharedAgreements:
    """The end of a dialog of one question, by the answers to it: `of` returns the last one, or makes it.

    The nodes must be of one run, with one model. Their workers may ask from several threads; nobody may change what
    they share.
    """

    def __init__(self) -> None:
        self.answers = SameAnswers()  # on the event loop alone
        self._lock = Lock()
        self._key = b""
        self._asked: e.ApplyAgreement | None = None  # of which the last one was made
        self._found: Any = None
        self._of: object = None  # what `_made` was made of, on the event loop alone
        self._made: Any = None

    def made_of(self, source: object, make: Callable[[], Made]) -> Made:
        """Return what `make` makes of something that nobody changes, or has made of the very same for another node."""
        if source is not self._of:
            self._made, self._of = make(), source
        made: Made = self._made
        return made

    def of(self, effect: e.ApplyAgreement, make: Callable[[], Any], shareable: Callable[[Any], bool]) -> Any:
        """Return what `make` makes of the answers, or has made of the same ones for another node."""
        if effect.step or effect.surveys is None:
            return make()
        with self._lock:
            if self._asked is not None and _identical(effect, self._asked):
                return self._found
            key = digest_of(effect)
            if key == self._key:
                return self._found
            found = make()
            if shareable(found):
                self._key, self._asked, self._found = key, effect, found
            return found


def _identical(one: e.ApplyAgreement, other: e.ApplyAgreement) -> bool:
    """Whether both have the very same answers: to look for that is quicker than to look at all their bits."""
    if len(one.surveys) != len(other.surveys) or one.rows or other.rows:
        return False
    known = other.surveys
    return all(
        (same := known.get(origin)) is not None and same[0] is fields and same[1] is body
        for origin, (fields, body) in one.surveys.items()
    )


def digest_of(effect: e.ApplyAgreement) -> bytes:
    """Return what tells answers from others, to the bit."""
    digest = blake2b(digest_size=16)
    for origin, (fields, body) in sorted(effect.surveys.items()):
        vector = np.ascontiguousarray(body)
        told: Mapping[str, Any] = {"of": origin, "fields": fields, "dtype": str(vector.dtype), "size": vector.size}
        digest.update(msgpack.packb(told, default=plain))
        digest.update(vector.data)
    digest.update(msgpack.packb(dict(sorted(effect.rows.items()))))
    return digest.digest()
