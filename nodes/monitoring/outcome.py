"""How a run has come out, in lines: whether it succeeded, who was lost and why, whose messages were refused."""

from __future__ import annotations

from typing import Any

from nervenet.broker.errors import see

from ..report.units import score, score_name
from ..runtime.event_fitting import fitted
from ..runtime.printable import listed, printable
from .event_fields import Fields
from .run_view import RunView

MOST = 10  # nodes of which each has a line
_KNOWN = 10_000  # nodes of which is remembered what happened to them


class Outcome:
    """What a run's events say of its end, beyond what its `RunView` holds."""

    def __init__(self) -> None:
        self._lost: dict[str, str] = {}
        self._failed: dict[str, str] = {}  # nodes that said themselves that it was over, and why
        self._refused: dict[str, tuple[int, str]] = {}  # by sender: how many updates, why the last
        self._declined: dict[str, str] = {}

    def update(self, event: Fields) -> None:
        event = fitted(event)
        node, reason = str(event.get("node")), str(event.get("reason") or "")
        subject = str(event.get("subject") or node)
        match event.get("type"):
            case "node.lost":
                _note(self._lost, subject, reason)
            case "node.ready":  # again, or of a run that was resumed
                self._lost.pop(subject, None)
                self._failed.pop(subject, None)
            case "run.failed" if event.get("role") != "launcher":
                _note(self._failed, node, reason)
            case "update.rejected":
                count = self._refused.get(subject, (0, ""))[0]
                _note(self._refused, subject, (count + 1, reason))
            case "site.declined":
                _note(self._declined, subject if event.get("role") == "coordinator" else node, reason)

    def troubled(self, view: RunView) -> bool:
        """Return whether there is more to say than that it succeeded."""
        return bool(self._lost) or (view.finished and view.status != "completed")

    def lines(self, view: RunView, files: str = "") -> list[str]:
        """Return the outcome's lines, the first of which is how it ended; none of a run of which nothing is known.

        `files` is where the run's files are.
        """
        if not view.run:
            return []
        lines = [_ended(view)]
        lines += _each("lost", {name: f"{reason}{see('node-lost')}".strip() for name, reason in self._lost.items()})
        lines += _each("failed", self._failed)
        lines += _each("declined", self._declined)
        counted = {
            name: f"{count} update{'s' * (count > 1)}, the last: {reason or 'no reason given'}"
            for name, (count, reason) in self._refused.items()
        }
        lines += _each("rejected", counted)
        return [*map(printable, lines), *([f"  files     {printable(files)}"] if files else [])]


def _ended(view: RunView) -> str:
    rounds = f"{view.round} of {view.rounds or '?'} rounds"
    reason = f": {view.reason}" if view.reason else ""
    match view.status:
        case "completed":
            judged = "" if view.score is None else f", {score_name(view.score_name)} {score(view.score)}"
            return f"succeeded: {rounds}{judged}{reason}"
        case "failed":
            return f"failed after {rounds}{reason}"
        case "interrupted":
            return f"aborted after {rounds}{reason}"
    return f"not known how it ends: {rounds} so far"


def _each(word: str, reasons: dict[str, str]) -> list[str]:
    names = sorted(reasons)
    lines = [f"  {word:<8}  {name}{f': {reasons[name]}' if reasons[name] else ''}" for name in names[:MOST]]
    return lines + ([f"  {word:<8}  and {listed(names[MOST:])}"] if len(names) > MOST else [])


def _note(known: dict[str, Any], name: str, value: Any) -> None:
    if name in known or len(known) < _KNOWN:
        known[name] = value
