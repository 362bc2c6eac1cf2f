"""Many sites' answers to one question of round 0 in one message, and out of it again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

import numpy as np
from nervenet.broker import messages as m

from ..runtime import events as ev
from ..runtime.site_answer import SiteAnswer, packed_fields

NUMBERS_AT_ONCE = 1 << 20  # in one message, but for a longer answer, which goes alone
BYTES_AT_ONCE = 500_000  # of fields, half of what a header may have


def messages_of(answers: Sequence[SiteAnswer], step: int) -> Iterator[tuple[m.PeerSurvey | m.PeerSurveys, ev.Body]]:
    """Yield the messages that carry answers to question `step`, each with its array, in as few as fit the limits."""
    for part in _parts(answers):
        if len(part) == 1:
            ((origin, fields, body, _),) = part
            yield m.PeerSurvey(origin, dict(fields), _payload(len(body)), step), body
            continue
        first = part[0].packed.items()
        alike = {key for key, value in first if all(each.packed.get(key) == value for each in part)}
        told = tuple(
            m.SiteFields(origin, len(body), {key: value for key, value in fields.items() if key not in alike})
            for origin, fields, body, _ in part
        )
        common = {key: value for key, value in part[0].fields.items() if key in alike}
        body = _joined([answer.body for answer in part])
        yield m.PeerSurveys(told, common, _payload(len(body)), step), body


def origins_of(message: m.PeerSurvey | m.PeerSurveys) -> list[str]:
    return [message.origin] if isinstance(message, m.PeerSurvey) else [each.origin for each in message.answers]


def answers_of(message: m.PeerSurvey | m.PeerSurveys, body: ev.Body) -> list[SiteAnswer]:
    """Return the answers that a message carries.

    Raises ValueError: it says of them what its array does not hold, or more than a message may carry.
    """
    if isinstance(message, m.PeerSurvey):
        return [SiteAnswer.of(message.origin, message.fields, body)]
    if sum(each.length for each in message.answers) != message.payload.length:
        lengths = sum(each.length for each in message.answers)
        raise ValueError(f"its answers have {lengths} numbers, found {message.payload.length} in its payload")
    common, own = packed_fields(message.common), [packed_fields(each.fields) for each in message.answers]
    _check_size(message, common, own)
    found, start = [], 0
    for each, packed in zip(message.answers, own, strict=True):
        end = start + each.length
        fields = {**message.common, **each.fields}
        found.append(SiteAnswer(each.origin, fields, body[start:end], {**common, **packed}))
        start = end
    return found


def _check_size(message: m.PeerSurveys, common: Mapping[str, bytes], own: Sequence[Mapping[str, bytes]]) -> None:
    """Raise ValueError for too much: what is common is said once, and is held for each."""
    origins = Counter(each.origin for each in message.answers)
    if len(origins) < len(own):
        ((often, times),) = origins.most_common(1)
        raise ValueError(f"it has {times} answers of {often}, allowed is one")
    nbytes = len(own) * sum(map(len, common.values())) + sum(len(value) for each in own for value in each.values())
    if len(own) > 1 and nbytes > BYTES_AT_ONCE:  # each field has a byte at the least
        raise ValueError(f"the fields of {len(own)} answers take {nbytes:,} bytes, allowed are {BYTES_AT_ONCE:,}")


def _parts(answers: Iterable[SiteAnswer]) -> Iterator[list[SiteAnswer]]:
    """Yield the answers by message."""
    part = list[SiteAnswer]()
    numbers = size = 0
    for answer in answers:
        length, bytes_ = len(answer.body), sum(map(len, answer.packed.values()))
        if part and (numbers + length > NUMBERS_AT_ONCE or size + bytes_ > BYTES_AT_ONCE):
            yield part
            part, numbers, size = [], 0, 0
        part.append(answer)
        numbers, size = numbers + length, size + bytes_
    if part:
        yield part


def _joined(bodies: Sequence[ev.Body]) -> ev.Body:
    if all(isinstance(body, np.ndarray) for body in bodies):
        return np.concatenate(bodies)
    return tuple(chain.from_iterable(bodies))


def _payload(length: int) -> m.Payload:
    return m.Payload(layout="survey", dtype="float64", length=length)
