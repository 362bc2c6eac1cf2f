"""What is wrong with something that wants to be counted: by its own description, before anybody looks at more of it.

The shell has looked at the values already (`Arrived.flaw`), because a machine may not.
"""

from __future__ import annotations

from nervenet.broker.messages import Payload, Update

from .effects import Arrived, Settled

Fault = tuple[str, str]
"""An error code of the protocol, and the reason for people."""


def payload_fault(payload: Payload, settled: Settled | None) -> Fault | None:
    """Compare what a payload says of itself with what round 0 settled; None if it fits."""
    if settled is None:
        return "layout", "no layout is settled yet"
    for name in ("rule", "layout", "dtype", "length"):
        found, expected = getattr(payload, name), getattr(settled.payload, name)
        if found != expected:
            return name, f"{name} must be {expected}, found {found}"
    return None


def update_fault(update: Update, event: Arrived, work: str, settled: Settled | None, rows: int) -> Fault | None:
    """Check a client's answer to a task of this kind of work; None if it can be counted.

    `rows` is what the client has said that it trains on: the weight of its answers cannot grow afterwards.
    """
    if update.examples <= 0:
        return "examples", f"examples must be at least 1, found {update.examples}"
    if update.examples > rows:
        return "examples", f"examples must be at most {rows}, with which it enrolled, found {update.examples}"
    if event.flaw:
        return "values", event.flaw
    if work == "evaluate":
        return None
    if update.payload is None:
        return "payload", f"a {work} answer must carry a payload, found none"
    if work == "survey":
        rule = update.payload.rule
        return None if rule == "survey" else ("rule", f"rule must be survey, found {rule}")
    return payload_fault(update.payload, settled)
