"""What a coordinator makes of its evaluations: those that are on their way, the best model so far, and whether to go
on. The same for every machine that has models evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..effects import Body
from .stopping import Stop, Stopping, StoppingRules


@dataclass(frozen=True, slots=True)
class Best:
    """The model that was judged best.

    Attributes
    ----------
    round : int
        After which round it was the global model.
    weights : flat vector
        To a machine, a handle.
    metrics : mapping
        What its evaluation found.
    """

    round: int
    weights: Body
    metrics: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """A model whose evaluation is still to come, and what else is known of its round."""

    body: Body = None
    fields: Mapping[str, Any] = field(default_factory=dict)


class Judging:
    """Holds the models that are being evaluated, and keeps the best.

    Parameters
    ----------
    rules
        What may end the run early.
    scorers
        Names of metrics that every evaluation should report beside the house's own.
    """

    def __init__(self, rules: StoppingRules, scorers: Sequence[str] = ()) -> None:
        self.stopping = Stopping(rules)
        self.best: Best | None = None
        self._expected = set(scorers) | ({rules.goal.metric} if rules.goal else set())
        self._asked: dict[int, Asked] = {}

    @property
    def pending(self) -> bool:
        """Whether an evaluation is still to come."""
        return bool(self._asked)

    @property
    def holds(self) -> bool:
        """Whether the next round must not be folded yet.

        What an evaluation says may end the run with the very model it was made of, and that must not depend on how
        long it takes.
        """
        return self.pending and self.stopping.rules.watches

    def ask(self, number: int, body: Body, fields: Mapping[str, Any]) -> None:
        """Note that the model of a round is being evaluated."""
        self._asked[number] = Asked(body, fields)

    def answered(self, number: int) -> Asked:
        """Give what was noted when the evaluation was asked for, and note it no longer."""
        return self._asked.pop(number, Asked())

    def judge(self, number: int, body: Body, metrics: Mapping[str, Any]) -> Stop | None:
        """Take the figures of a round's model in; say why the run may end with it, or None."""
        if not metrics:
            return None  # it could not be evaluated, which says nothing of it
        stop = self.stopping.judge(number, metrics)
        if self.stopping.best is not None and self.stopping.best[0] == number:
            self.best = Best(number, body, figures(metrics))
        return stop

    def complaint(self, metrics: Mapping[str, Any]) -> str | None:
        """Say, once, which of the metrics that were asked for an evaluation does not report; None if all are there."""
        missing, self._expected = sorted(self._expected - set(metrics)), set()
        if not missing or not metrics:
            return None
        known = ", ".join(sorted(figures(metrics)))
        return f"{', '.join(missing)}: not defined for this model and these rows; the evaluation reports {known}"

    def memory(self, now: float) -> dict[str, Any]:
        """Give what later verdicts depend on, as JSON can say it; the best weights are kept apart, as an array."""
        best = None if self.best is None else {"round": self.best.round, "metrics": dict(self.best.metrics)}
        return {"stopping": self.stopping.memory(now), "best": best}

    def restore(self, memory: Mapping[str, Any], weights: Body) -> None:
        """Go on from a `memory`, with the best model's weights (None: they were not kept)."""
        self.stopping.restore(memory.get("stopping", {}))
        best = memory.get("best")
        if best is not None and weights is not None:
            self.best = Best(int(best["round"]), weights, dict(best["metrics"]))


def figures(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Leave out what is no figure of the model itself: how many rows, who was worst, a sketch of the weights."""
    known = {k: v for k, v in metrics.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}
    return {k: float(v) for k, v in known.items() if k not in ("examples", "round", "sites")}
