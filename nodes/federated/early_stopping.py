"""When a run has learned enough: a goal that is reached, patience that is used up, a budget of time that is spent."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from nervenet.models.plugins import suggest

from ..config.schema import EvaluationConfig

Reason: TypeAlias = Literal["until", "patience", "budget"]
"""The names under which a run may end before its last round."""

LOSS = "loss"
BUILT_IN = {"classification": ("accuracy", LOSS), "regression": ("r2", LOSS)}
"""What every evaluation reports, by task; the score first. The names of an experiment's scorers come on top."""

_GOAL = re.compile(r"\s*(?P<metric>[^\s<>=]+)\s*(?P<sign><=|>=|=)\s*(?P<value>\S+)\s*")


class GoalError(ValueError):
    """What is no goal, or none that can be reached; the message says what was found and what is allowed."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A metric and its threshold: a score must come to at least that, a loss to at most that."""

    metric: str
    threshold: float

    @classmethod
    def parse(cls, text: str) -> Goal:
        """Read ``accuracy=0.97`` or ``accuracy>=0.97``, ``loss=0.1`` or ``loss<=0.1``.

        Raises
        ------
        GoalError
        """
        found = _GOAL.fullmatch(text)
        if not found:
            raise GoalError("expected METRIC=THRESHOLD, as in accuracy=0.97 or loss=0.1")
        try:
            goal = cls(found["metric"], float(found["value"]))
        except ValueError:
            goal = cls(found["metric"], math.nan)
        if not math.isfinite(goal.threshold):
            raise GoalError(f"expected a number for the threshold, found {found['value']!r}")
        if found["sign"] not in ("=", goal.sign):
            rises = "a loss is to fall" if lower_is_better(goal.metric) else "a score is to rise"
            raise GoalError(f"{rises}: expected {goal.metric}{goal.sign}{goal.threshold:g}")
        return goal

    @property
    def sign(self) -> str:
        """``<=`` for a loss, ``>=`` for a score."""
        return "<=" if lower_is_better(self.metric) else ">="

    def reached(self, value: float) -> bool:
        return value <= self.threshold if lower_is_better(self.metric) else value >= self.threshold

    def check(self, reported: Sequence[str]) -> None:
        """Raise `GoalError` for a metric that is not among those `reported`, suggesting the near one."""
        if self.metric in reported:
            return
        raise GoalError(f"{self.metric} is not reported, {', '.join(reported)} are{suggest(self.metric, reported)}")

    def __str__(self) -> str:
        return f"{self.metric} {self.sign} {self.threshold:g}"


@dataclass(frozen=True, slots=True)
class Stop:
    by: Reason
    reason: str


class EarlyStopping:
    """Follows the evaluations of a run and decides when it may end. Pure: figures and times in, a verdict out.

    Raises `GoalError` for what is no goal. The metric of the goal is watched; without a goal, the score is.
    """

    def __init__(self, config: EvaluationConfig) -> None:
        self.config = config
        self.goal = Goal.parse(config.until) if config.until else None
        self.metric: str | None = self.goal.metric if self.goal else None
        self.best: tuple[int, float] | None = None  # round and value, the earlier of two that are equal
        self.judged = 0  # the last round
        self._reference: float | None = None  # the value at the last improvement that counted
        self._waited = 0  # evaluations since then
        self._began: float | None = None
        self._spent = 0.0  # in previous incarnations

    @property
    def watches(self) -> bool:
        return self.goal is not None or self.config.patience is not None

    def judge(self, round: int, metrics: Mapping[str, Any]) -> Stop | None:  # noqa: A002
        """Take in what the model of a round was found to be; return why the run may end with it, or None.

        The last round judged may be judged once more, with the same verdict; one before it changes nothing. A metric
        that is missing, as one that is not finite is, counts as no improvement.
        """
        if round < self.judged:
            return None
        value = self._watched(metrics)
        if round > self.judged:
            self._take_in(round, value)
        goal, patience = self.goal, self.config.patience
        if goal and value is not None and goal.reached(value):
            return Stop("until", f"{goal} was reached in round {round}: {value:.4g}")
        if patience is not None and self._waited >= patience:
            return Stop("patience", self._impatience(round))
        return None

    def _take_in(self, number: int, value: float | None) -> None:
        self.judged = number
        if value is not None and (self.best is None or self._better(value, self.best[1])):
            self.best = (number, value)
        if value is not None and (
            self._reference is None or self._better(value, self._reference, self.config.min_delta)
        ):
            self._reference, self._waited = value, 0
        else:
            self._waited += 1

    def begin(self, now: float) -> float | None:
        """Start the clock of the budget; return the time at which it is spent, None where there is no budget."""
        self._began = now
        return None if self.config.budget_s is None else now + self.config.budget_s - self._spent

    def out_of_time(self) -> Stop:
        return Stop("budget", f"the budget of {self.config.budget_s or 0:g} s is spent")

    def to_dict(self, now: float) -> dict[str, Any]:
        return {
            "metric": self.metric,
            "best": None if self.best is None else list(self.best),
            "judged": self.judged,
            "reference": self._reference,
            "waited": self._waited,
            "spent_s": self._spent + (0.0 if self._began is None else max(0.0, now - self._began)),
        }

    def restore(self, record: Mapping[str, Any]) -> None:
        """Go on from what `to_dict` returned; the best by another metric than is watched now is forgotten."""
        self._spent = float(record.get("spent_s", 0.0))
        if self.goal is not None and record.get("metric") not in (None, self.goal.metric):
            return
        self.metric = record.get("metric") or self.metric
        best = record.get("best")
        self.best = None if best is None else (int(best[0]), float(best[1]))
        self.judged = int(record.get("judged", 0))
        self._reference = record.get("reference")
        self._waited = int(record.get("waited", 0))

    def _watched(self, metrics: Mapping[str, Any]) -> float | None:
        if self.metric is None:
            self.metric = next((name for name in ("accuracy", "r2", LOSS) if name in metrics), None)
        value = metrics.get(self.metric) if self.metric else None
        return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None

    def _better(self, value: float, than: float, by: float = 0.0) -> bool:
        return value < than - by if lower_is_better(self.metric) else value > than + by

    def _impatience(self, number: int) -> str:
        times = f"{self._waited} evaluation{'s' if self._waited > 1 else ''}"
        by = f" by more than {self.config.min_delta:g}" if self.config.min_delta else ""
        best = f"; the best was {self.best[1]:.4g} in round {self.best[0]}" if self.best else ""
        return f"{self.metric or 'the score'} has not improved{by} in {times}, up to round {number}{best}"


def lower_is_better(metric: str | None) -> bool:
    """Whether a metric is a loss. scikit-learn's scorers are all scores: its losses come negated, under ``neg_``."""
    return metric == LOSS


def reported(task: str | None, scorers: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the metrics that an evaluation of a task reports; where the task is not known yet, of either."""
    built_in = BUILT_IN[task] if task else tuple(dict.fromkeys(name for names in BUILT_IN.values() for name in names))
    return tuple(dict.fromkeys((*built_in, *scorers)))
