"""Checks of what a payload says of itself; its values have been looked at already (`Arrived.flaw`)."""

from __future__ import annotations

from nervenet.broker.messages import Payload, Update

from .events import Arrived

MOST_WEIGHT = 1e100  # of all rows of a site: sums over sites are finite
LONGEST = 500  # characters of what others say that are passed on
MOST_NUMBERS = 1 << 24  # of a survey: 128 MiB, where those of all sites are held together

HEADER_BYTES = 4_096  # of a message around an array

Fault = tuple[str, str]
"""An error code of the protocol, and the reason for people."""


def payload_fault(payload: Payload, expected: Payload | None, *, encodings: bool = False) -> Fault | None:
    """Compare what a payload says of itself with what is expected of it; None if it fits.

    The bytes of an encoding are of any number: whether they decode to as many numbers as there should be, has been
    looked at before.
    """
    if expected is None:
        return "layout", "no layout is settled yet"
    if payload == expected and not payload.encoding:
        return None
    if payload.encoding and not encodings:
        return "payload", f"no encoding was agreed, found {payload.encoding}"
    names = ("layout", "parts") if payload.encoding else ("layout", "parts", "dtype", "length")
    for name in names:
        found, wanted = getattr(payload, name), getattr(expected, name)
        if found != wanted:
            return ("payload" if name == "parts" else name), f"{name} must be {_shown(wanted)}, found {_shown(found)}"
    if payload.encoding and payload.dtype != "uint8":
        return "dtype", f"dtype of an encoding must be uint8, found {payload.dtype}"
    return None


def update_fault(update: Update, event: Arrived, work: str, expected: Payload | None, rows: int) -> Fault | None:
    """Check a client's answer to a task of this kind of work; None if it can be counted.

    `rows` is what the client has said that it trains on: the weight of its answers cannot grow afterwards.
    """
    if update.examples <= 0:
        return "examples", f"examples must be at least 1, found {update.examples}"
    if update.examples > rows:
        return "examples", f"examples must be at most {rows}, with which it enrolled, found {update.examples}"
    weight = update.metrics.get("weight", 1.0)
    if not 0 < weight <= MOST_WEIGHT:
        return "examples", f"the weight of all rows must be above 0 and at most {MOST_WEIGHT:g}, found {weight:g}"
    if event.flaw:
        return "values", event.flaw
    if work in ("evaluate", "judge"):
        return None
    if update.payload is None:
        return "payload", f"a {work} answer must carry a payload, found none"
    if work == "survey":
        return survey_fault(update.payload)
    return payload_fault(update.payload, expected, encodings=True)


def survey_fault(payload: Payload) -> Fault | None:
    """Check the payload of an answer of round 0, whose length only the question knows; None if it can be looked at."""
    fault = payload_fault(payload, Payload("survey", "float64", payload.length))
    if fault is None and payload.length > MOST_NUMBERS:
        return "length", f"length must be at most {MOST_NUMBERS}, found {payload.length}"
    return fault


def numbers_in(max_message_bytes: int) -> int:
    """Return how many numbers of float64 a message carries, be it of round 0 or of a model."""
    return min(MOST_NUMBERS, (max_message_bytes - HEADER_BYTES) // 8)


def brief(text: str) -> str:
    """Return a text of another node, cut to what messages, events and reports may hold."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _shown(value: object) -> object:
    return brief(", ".join(map(str, value)) if isinstance(value, tuple) else str(value))
