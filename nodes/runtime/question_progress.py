"""How far round 0 is, for those who watch: which question is open, and who has not answered it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import effects as e

MOST_NAMES = 20  # in one event
LONGEST_ASK = 64


class QuestionProgress:
    """Publishes what has changed since it was asked last; where round 0 takes no time, nothing."""

    def __init__(self) -> None:
        self._shown: tuple[object, ...] = ()

    def show(self, step: int, question: Mapping[str, Any], waiting: Sequence[str]) -> list[e.Effect]:
        """Return an event if it is news; where nobody is waited for, the next question is being made."""
        shown = (step, *waiting)
        if shown == self._shown:
            return []
        self._shown = shown
        fields: dict[str, Any] = {
            "round": 0,
            "question": step,
            "unanswered": len(waiting),
            "waiting": list(waiting[:MOST_NAMES]),
        }
        if question:
            fields["ask"] = str(question.get("ask", ""))[:LONGEST_ASK]
        return [e.Publish("round.progress", fields)]
