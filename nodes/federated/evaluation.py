"""What a coordinator makes of its evaluations: asked for and published, the best model, and whether to go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..runtime import effects as e
from ..runtime import events as ev
from .coordinator_config import CoordinatorConfig
from .early_stopping import EarlyStopping, GoalError, Stop, reported
from .round import site_metrics
from .strategies import Contribution

SHARE = 0.25  # of the worker's time for evaluations of an asynchronous run; where steps are faster, some are left out


@dataclass(frozen=True, slots=True)
class Best:
    round: int  # after which it was the global model
    weights: ev.Body  # (n,) array; to a machine, a handle
    metrics: Mapping[str, Any]
    clock: float = 0.0  # how far its learning-rate schedule had come


class Evaluation:
    """Has models evaluated, publishes what was found, keeps the best, and decides when the run may end."""

    def __init__(self, config: CoordinatorConfig) -> None:
        self.config = config
        self.stopping = EarlyStopping(config.evaluation)
        self.best: Best | None = None
        self.sited = 0  # the last round whose model the sites have judged
        self.counted = 0  # the round whose predictions are in `counts`, by site: what reports are made of
        self.counts: dict[str, Mapping[str, Any]] = {}
        self.pause_until = float("-inf")  # an evaluation before that would take the worker too much of its time
        goal = self.stopping.goal
        self._expected = {*config.evaluation.scorers, *([goal.metric] if goal else [])}
        # The model with its clock, and what else is known of its round.
        self._asked: dict[int, tuple[ev.Body, float, Mapping[str, Any]]] = {}
        self._asked_at = 0.0
        self._unjudged: dict[int, Mapping[str, Any]] = {}  # rounds that only the sites judge, with the next one's tasks

    @property
    def pending(self) -> int:
        return len(self._asked)

    @property
    def holds(self) -> bool:
        """Whether the next round must not be folded yet: the run may end with the model being evaluated."""
        return bool(self._asked) and self.stopping.watches

    def due(self, number: int, *, last: bool = False) -> bool:
        """Whether the model of a round is to be evaluated on the test set; the last one always is."""
        last = last or number >= self.config.rounds
        return self.config.evaluate_test and number > 0 and (last or number % self.config.evaluation.every == 0)

    def ask(self, number: int, body: ev.Body, clock: float, fields: Mapping[str, Any], now: float) -> e.Effect:
        self._asked[number], self._asked_at = (body, clock, fields), now
        return e.Evaluate(number, "test", body)

    def answered(self, number: int, metrics: Mapping[str, Any], now: float) -> tuple[list[e.Effect], Stop | None]:
        """Take in what an evaluation has found, nothing where it failed; return why the run may end, if it may."""
        self.pause_until = now + (now - self._asked_at) * (1 / SHARE - 1)
        body, clock, fields = self._asked.pop(number, (None, 0.0, {}))
        effects: list[e.Effect] = [e.Completed(number, fields, {"test": metrics} if metrics else {})]
        if not metrics:
            return effects, None
        effects += [e.Publish("metric.test", {"round": number, **metrics}), *self._undefined(metrics)]
        return effects, self._judge(number, body, clock, metrics)

    def completed(self, number: int, fields: Mapping[str, Any]) -> list[e.Effect]:
        """Report a round that is not evaluated on a test set: once the sites have judged it, where they will."""
        if not self.config.evaluate_sites or self.config.evaluate_test:
            return [e.Completed(number, fields)]
        self._unjudged[number] = fields
        return []

    def report_unjudged(self, number: int, found: Mapping[str, Any]) -> list[e.Effect]:
        """Report all rounds that wait for the sites' judgment; `found` is of the model of round `number`."""
        waiting, self._unjudged = self._unjudged, {}
        judged = {"holdout": found} if found else {}
        return [e.Completed(n, fields, judged if n == number else {}) for n, fields in sorted(waiting.items())]

    def of_sites(
        self, number: int, body: ev.Body, clock: float, admitted: Mapping[str, Contribution]
    ) -> tuple[list[e.Effect], Stop | None]:
        """Publish what the sites found of a round's model on rows of their own; return why the run may end, if it may.

        Where there is a common test set, that is what the run is judged by, and this is published beside it.
        """
        asked = self.config.evaluate_sites and number
        found = site_metrics(admitted, self.config.federated.max_examples_ratio) if asked else {}
        reports = self.report_unjudged(number, found) if asked else []
        if not found:
            return reports, None
        self.sited = number
        if self.config.evaluate_test:
            return [e.Publish("metric.sites", {"round": number, **found})], None
        effects = [*reports, e.Publish("metric.test", {"round": number, **found}), *self._undefined(found)]
        return effects, self._judge(number, body, clock, found)

    def take_counts(self, number: int, admitted: Mapping[str, Contribution], classes: int | None) -> list[e.Effect]:
        """Keep what sites have counted of a model's predictions, as far as it is that."""
        from nervenet.models.score_counts import flaw

        told = {name: each.body.get("counts") for name, each in admitted.items() if each.body}
        flaws = {name: flaw(counts, classes) for name, counts in told.items() if counts}
        self.counted = number
        self.counts = {name: told[name] for name, found in flaws.items() if found is None}
        reason = "the counts of {}'s hold-out are left out: {}".format
        wrong = {name: reason(name, found) for name, found in sorted(flaws.items()) if found}
        return [e.Publish("warning", {"subject": name, "reason": line}) for name, line in wrong.items()]

    def unreachable_goal(self, task: str | None) -> str | None:
        """Return why a task that all have agreed on can never reach the goal; None where it can."""
        goal = self.stopping.goal
        if goal is None or task is None:
            return None
        try:
            goal.check(reported(task, self.config.evaluation.scorers))
        except GoalError as error:
            return f"evaluation.until = {str(goal)!r}: of a {task}, {error}"
        return None

    def to_dict(self, now: float) -> dict[str, Any]:
        """Return what later verdicts depend on, as JSON can say it; the best weights are kept apart, as an array."""
        best = None if self.best is None else {"round": self.best.round, "metrics": dict(self.best.metrics)}
        if best and self.best and self.best.clock:
            best["clock"] = self.best.clock
        found = {"stopping": self.stopping.to_dict(now), "best": best, "sited": self.sited}
        return found | ({"counted": self.counted, "counts": dict(self.counts)} if self.counted else {})

    def restore(self, record: Mapping[str, Any], completed: int, weights: ev.Body, best: ev.Body = None) -> None:
        """Go on from what `to_dict` returned when a round was complete, with the weights of then.

        The best weights are those, or `best`; if they are lost, others are to be found.
        """
        self.stopping.restore(record["stopping"])
        self.sited = int(record["sited"])
        self.counted, self.counts = int(record.get("counted", 0)), dict(record.get("counts", {}))
        if self.sited < completed:  # nobody has reported that round yet, if it is for the sites to judge
            self.completed(completed, {"round": completed})
        known = record["best"]
        if known is not None and best is None and known["round"] == completed:
            best = weights
        if known is None or best is None or self.stopping.best is None:
            self.stopping.best = None
        else:
            self.best = Best(int(known["round"]), best, dict(known["metrics"]), float(known.get("clock", 0.0)))

    def _judge(self, number: int, body: ev.Body, clock: float, metrics: Mapping[str, Any]) -> Stop | None:
        stop = self.stopping.judge(number, metrics)
        if self.stopping.best is not None and self.stopping.best[0] == number:
            self.best = Best(number, body, figures(metrics), clock)
        return stop

    def _undefined(self, metrics: Mapping[str, Any]) -> list[e.Effect]:
        missing, self._expected = sorted(self._expected - set(metrics)), set()
        if not missing:
            return []
        known = ", ".join(sorted(figures(metrics)))
        reason = f"{', '.join(missing)}: not defined for this model on these rows; evaluated are {known}"
        return [e.Publish("warning", {"reason": reason})]


def figures(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Leave out what is no figure of the model itself, such as how many rows it was judged on."""
    known = {k: v for k, v in metrics.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}
    return {k: float(v) for k, v in known.items() if k not in ("examples", "weight", "round", "sites")}
