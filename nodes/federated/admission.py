"""Whether an update counts: what is wrong with it, by the round that is open, the roll, and what it says of itself."""

from __future__ import annotations

from nervenet.broker import messages as m

from ..runtime import effects as e
from ..runtime import events as ev
from ..runtime.payload_checks import Fault, update_fault
from .client_registry import ClientRegistry
from .round import Admitted, Round
from .rules import RoundRules
from .task_dispatch import expected


def misplaced(sender: str, update: m.Update, current: Round | None) -> Fault | None:
    """Say why an update belongs to no question that is open; None if it does."""
    if current is None or current.closing or (update.round, update.attempt) != current.key:
        stands = f"round {current.number} is open" if current and not current.closing else "no round is open"
        return "stale", f"round {update.round}, attempt {update.attempt} is closed; {stands}"
    if sender not in current.asked:
        return "uninvited", f"{sender} was not asked in round {update.round}"
    if sender in current.admitted:
        return "duplicate", f"{sender} has answered round {update.round} already"
    return None


def unfit(
    event: ev.Arrived,
    update: m.Update,
    work: str,
    settled: ev.ModelReady | None,
    rules: RoundRules,
    roll: ClientRegistry,
) -> Fault | None:
    """Say why an update cannot count for what it holds; None if it can."""
    sender = event.sender
    # Who has left in the meantime is no longer on the list; what it sent before counts as it stands.
    enrolled = roll[sender].examples if sender in roll else update.examples
    fault = update_fault(
        update, event, work, expected(work, settled, rules), enrolled, roll.cap(rules.max_examples_ratio)
    )
    encoded = update.payload.encoding if update.payload else ""
    if fault is None and encoded not in ("", rules.compression):
        return "payload", f"encoding must be {rules.compression or 'none'}, found {encoded}"
    return fault


def admitted(event: ev.Arrived, update: m.Update) -> Admitted:
    """Keep of an update what its round needs."""
    relative = update.payload is not None and update.payload.encoding.startswith("delta")
    return Admitted(event.body, update.examples, dict(update.metrics), update.fields, relative)


def refuse(to: str, number: int, fault: Fault) -> list[e.Effect]:
    """Tell its sender, and everybody who listens, that an update does not count."""
    code, reason = fault
    return [
        e.Send((to,), m.Refused(about="update", round=number, code=code, reason=reason)),
        e.Publish("update.rejected", {"subject": to, "round": number, "reason": reason}),
    ]
