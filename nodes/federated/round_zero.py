"""Round 0 at a coordinator: which question is open, who has answered those before it, and who is left out.

The sites are those that answered question 0; each question after it wants the answer of every one of them. Where one is
missing the dialog starts again, with those who are left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..runtime import effects as e
from ..runtime import events as ev
from ..runtime.question_progress import QuestionProgress
from .client_registry import ClientRegistry
from .round import Round, closing_fields


class RoundZero:
    """What of round 0 outlives one question; `question` is the open one, empty for the statistics of the sites."""

    def __init__(self, first_question: Mapping[str, Any]) -> None:
        self._first_question = first_question
        self.question = first_question
        self.opened: Round | None = None  # the round in which question 0 was answered
        self.rows: dict[str, int] = {}  # with which each site had enrolled by then
        self._left_out: set[str] = set()  # those at fault that it could not go on
        self._progress = QuestionProgress()

    def pool(self, living: Sequence[str], least: int) -> list[str]:
        """Return who is asked question 0: nobody for whose fault the dialog has started again, if enough others are."""
        found = [name for name in living if name not in self._left_out]
        return list(living) if len(found) < least else found

    def begin(self, current: Round, registry: ClientRegistry) -> None:
        """Take note of who has answered question 0."""
        self.opened = current
        self.rows = {name: registry[name].examples for name in current.admitted if name in registry}

    def next(self, event: ev.NextQuestion, registry: ClientRegistry, attempt: int, now: float) -> Round:
        """Return the attempt in which the sites are asked the next question."""
        self.question = event.question
        sites = () if self.opened is None else tuple(sorted(self.opened.admitted))
        current = Round(0, attempt, "survey", sites, len(sites), 1.0, len(sites), now, step=event.step)
        for name in sites:
            if not registry.here(name):
                current.excuse(name, "left")
            elif not registry.liveness.living(name):
                current.excuse(name, "silent", silent=True)
        return current

    def changed(self, name: str, examples: int) -> str | None:
        """Return why a site that has come back cannot go on, None if it can."""
        before = self.rows.get(name, examples)
        return None if before == examples else f"came back with {examples} rows; it answered with {before} before"

    def restart(self, current: Round) -> None:
        """Begin anew after a question that not all have answered, without those at fault."""
        self._left_out.update(current.given_up())
        self.question, self.opened, self.rows = self._first_question, None, {}

    def close(self, decided: Mapping[str, Any], now: float) -> list[e.Effect]:
        """Say that it is over: who took part, and what was decided."""
        fields = closing_fields(self.opened, now)
        return [e.CancelTimer(("work", "agreement", 0)), e.Publish("round.completed", {**fields, **decided})]

    def progress(self, current: Round) -> list[e.Effect]:
        """Say which question is open and who has not answered it, where that is news."""
        waiting = [] if current.closing else sorted(current.missing(""))
        return self._progress.show(current.step, self.question, waiting)
