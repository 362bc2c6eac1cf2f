"""Which rounds are evaluated on the coordinator's test set, and which evaluations are still to come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import effects as e
from .rules import RoundRules


class Judging:
    """Asks for evaluations and matches them with what is told of their rounds.

    They run while the next round trains, so that several may be on their way.
    """

    def __init__(self, rules: RoundRules) -> None:
        self._rules = rules
        self._open: dict[int, Mapping[str, Any]] = {}  # by round, what else its owner is told

    @property
    def busy(self) -> bool:
        """Whether an evaluation is still to come."""
        return bool(self._open)

    def due(self, number: int) -> bool:
        """Whether the model of a round is evaluated: every so often, and always the last."""
        last = number >= self._rules.rounds
        return self._rules.evaluate_test and number > 0 and (last or number % self._rules.evaluate_every == 0)

    def ask(self, number: int, body: e.Body, fields: Mapping[str, Any], now: float) -> list[e.Effect]:
        """Have the model of a round evaluated."""
        self._open[number] = fields
        return [e.SetTimer(self._timer(number), now + self._rules.work_deadline_s), e.Evaluate(number, "test", body)]

    def ended(self, number: int, metrics: Mapping[str, Any]) -> list[e.Effect]:
        """Tell what came of it; no metrics if it failed."""
        done = e.Completed(number, {**self._open.pop(number, {}), **metrics})
        told = [e.Publish("metric.test", {"round": number, **metrics})] if metrics else []
        return [e.CancelTimer(self._timer(number)), done, *told]

    @staticmethod
    def _timer(number: int) -> e.Key:
        return ("work", "evaluate", number)
