"""Events in words: what a user should read of them."""

from __future__ import annotations

from nervenet.broker.errors import see

from ..runtime.event_fitting import fitted
from ..runtime.event_types import INTERRUPTED
from .event_fields import Fields


def agreeing(event: Fields) -> str:
    """Return how far round 0 is: which question is open, and who has not answered it."""
    waiting = event.get("waiting")
    names = [str(name) for name in waiting[:3]] if isinstance(waiting, list | tuple) else []
    open_ = event.get("unanswered")
    more = open_ - len(names) if isinstance(open_, int) else 0
    text = f"agreeing, question {event.get('question')}"
    return text + (f", waiting for {', '.join(names)}" if names else "") + (f" and {more} more" if more > 0 else "")


def notice(event: Fields) -> str | None:
    """Return the line for an event that a user should read even if no table shows it; None for all others."""
    event = fitted(event)
    subject, number = event.get("subject") or event.get("node"), event.get("round")
    text = {
        "gap": f"missed {event.get('missed')} events of {subject}",
        "malformed": f"{event.get('count')} malformed events {event.get('about')} of {subject}",
        "node.suspect": f"{subject} is suspected",
        "node.lost": f"{subject} is lost",
        "round.failed": f"round {number} failed",
        "update.rejected": f"an update of {subject} was rejected" + ("" if number is None else f" in round {number}"),
        "site.declined": f"{event.get('node')}: {subject} declined"
        if event.get("role") == "coordinator"
        else f"{event.get('node')} declined what {subject} asks",
        "run.stopping": f"the run ends with round {number}",
        "run.failed": "the run failed",
        "warning": str(event.get("node")),
        "connection.refused": f"refused at the {event.get('service')} of {event.get('node')}",
    }.get(str(event.get("type")))
    if event.get("type") == "run.failed" and str(event.get("reason")).startswith(INTERRUPTED):
        return f"the run was {event.get('reason')}"
    page = see("node-lost") if event.get("type") == "node.lost" else ""
    return f"{text}: {event.get('reason')}{page}" if text and event.get("reason") else text
