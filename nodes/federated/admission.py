"""Whether an update counts: what is wrong with it, by the round that is open, the registry, and its own description."""

from __future__ import annotations

from nervenet.broker import messages as m

from ..runtime import effects as e
from ..runtime import events as ev
from ..runtime.payload_checks import Fault, update_fault
from .client_registry import ClientRegistry
from .coordinator_config import CoordinatorConfig
from .round import Round
from .strategies import Contribution
from .task_dispatch import expected_payload


def misplaced(sender: str, update: m.Update, current: Round | None) -> Fault | None:
    """Return why an update answers no task that is open; None if it does."""
    if current is None or current.closing or (update.round, update.attempt) != current.key:
        status = f"round {current.number} is open" if current and not current.closing else "no round is open"
        return "stale", f"round {update.round}, attempt {update.attempt} is closed; {status}"
    if sender not in current.asked:
        return "uninvited", f"{sender} was not asked in round {update.round}"
    if sender in current.admitted:
        return "duplicate", f"{sender} has answered round {update.round} already"
    return None


def unfit(
    event: ev.Arrived,
    update: m.Update,
    work: str,
    model: ev.ModelReady | None,
    config: CoordinatorConfig,
    registry: ClientRegistry,
) -> Fault | None:
    """Return why an update cannot count for what it holds; None if it can."""
    sender, compression = event.sender, config.federated.compression
    # Who has left in the meantime is no longer on the list; what it sent before counts as it stands.
    enrolled = registry[sender].examples if sender in registry else update.examples
    fault = update_fault(update, event, work, expected_payload(work, model, config), enrolled)
    encoding = update.payload.encoding if update.payload else ""
    if fault is None and encoding not in ("", compression):
        return "payload", f"encoding must be {compression or 'none'}, found {encoding}"
    return fault


def admit(event: ev.Arrived, update: m.Update, work: str, base: ev.Body, most: int) -> Contribution:
    """Return what counts of an update, whose client started from `base`.

    The body of a survey goes with its fields; of an evaluation they are all there is.

    It counts for `most` rows at most: a site is never refused for its size alone, which it may well have.
    """
    relative = update.payload is not None and update.payload.encoding.startswith("delta")
    fields = update.fields or {}
    body = (fields, event.body) if work == "survey" else fields if work in ("evaluate", "judge") else event.body
    rows, metrics = min(update.examples, most), dict(update.metrics)
    return Contribution(event.sender, body, base, rows, metrics, relative, clock=update.clock)


def refuse(to: str, number: int, fault: Fault) -> list[e.Effect]:
    code, reason = fault
    return [
        e.Send((to,), m.Refused(about="update", round=number, code=code, reason=reason)),
        e.Publish("update.rejected", {"subject": to, "round": number, "reason": reason}),
    ]
