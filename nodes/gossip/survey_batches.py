"""Many sites' answers to one question of round 0 in one message, and out of it again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import msgpack
import numpy as np
from nervenet.broker import messages as m
from nervenet.broker.codec import plain

from ..runtime import events as ev

NUMBERS_AT_ONCE = 1 << 20  # in one message, but for a longer answer, which goes alone
BYTES_AT_ONCE = 500_000  # of fields, half of what a header may have


class SiteAnswer(NamedTuple):
    """Whose answer, its fields and its vector."""

    origin: str
    fields: Mapping[str, Any]
    body: ev.Body


def messages_of(answers: Sequence[SiteAnswer], step: int) -> Iterator[tuple[m.PeerSurvey | m.PeerSurveys, ev.Body]]:
    """Yield the messages that carry answers to question `step`, each with its array, in as few as fit the limits."""
    for part, packed in _parts(answers):
        if len(part) == 1:
            ((origin, fields, body),) = part
            yield m.PeerSurvey(origin, dict(fields), _payload(len(body)), step), body
            continue
        alike = {key for key, value in packed[0].items() if all(each.get(key) == value for each in packed)}
        told = tuple(
            m.SiteFields(origin, len(body), {key: value for key, value in fields.items() if key not in alike})
            for origin, fields, body in part
        )
        common = {key: value for key, value in part[0].fields.items() if key in alike}
        body = _joined([answer.body for answer in part])
        yield m.PeerSurveys(told, common, _payload(len(body)), step), body


def origins_of(message: m.PeerSurvey | m.PeerSurveys) -> list[str]:
    return [message.origin] if isinstance(message, m.PeerSurvey) else [each.origin for each in message.answers]


def answers_of(message: m.PeerSurvey | m.PeerSurveys, body: ev.Body) -> list[SiteAnswer]:
    """Return the answers that a message carries. Raises ValueError: it says of them what its array does not hold."""
    if isinstance(message, m.PeerSurvey):
        return [SiteAnswer(message.origin, message.fields, body)]
    if sum(each.length for each in message.answers) != message.payload.length:
        lengths = sum(each.length for each in message.answers)
        raise ValueError(f"its answers have {lengths} numbers, found {message.payload.length} in its payload")
    found, start = [], 0
    for each in message.answers:
        end = start + each.length
        found.append(SiteAnswer(each.origin, {**message.common, **each.fields}, body[start:end]))
        start = end
    return found


def _parts(answers: Iterable[SiteAnswer]) -> Iterator[tuple[list[SiteAnswer], list[dict[str, bytes]]]]:
    """Yield the answers by message, and their fields as they are sent: what is alike there is the same to the bit."""
    part, packed = list[SiteAnswer](), list[dict[str, bytes]]()
    numbers = size = 0
    for answer in answers:
        fields = {key: msgpack.packb(value, default=plain) for key, value in answer.fields.items()}
        length, bytes_ = len(answer.body), sum(map(len, fields.values()))
        if part and (numbers + length > NUMBERS_AT_ONCE or size + bytes_ > BYTES_AT_ONCE):
            yield part, packed
            part, packed, numbers, size = [], [], 0, 0
        part.append(answer)
        packed.append(fields)
        numbers, size = numbers + length, size + bytes_
    if part:
        yield part, packed


def _joined(bodies: Sequence[ev.Body]) -> ev.Body:
    if all(isinstance(body, np.ndarray) for body in bodies):
        return np.concatenate(bodies)
    return tuple(chain.from_iterable(bodies))


def _payload(length: int) -> m.Payload:
    return m.Payload(layout="survey", dtype="float64", length=length)
