"""The end of a client that makes the final model its own, as far as the last task asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nervenet.broker import messages as m

from ..runtime import effects as e
from ..runtime import events as ev

DEADLINES = 10  # of the last task: how long a client works on a model of its own, for which nobody waits
FINE_TUNE = "fine_tune"  # of the last task's settings: epochs of training alone, once the final model is there


def wanted(settings: Mapping[str, Any]) -> bool:
    return any(settings.get(name) for name in ("personal", "ditto", FINE_TUNE))


class Personalization:
    """Decides what a client does after its last task: whatever others do is nothing to it any more.

    Parameters
    ----------
    task, body
        The last task, and the handle of the final model.
    """

    def __init__(self, task: m.Task, body: ev.Body) -> None:
        self.task, self.body = task, body
        self._overdue = False

    def begin(self, now: float) -> list[e.Effect]:
        """Ask for the work, which may take longer than a round, but not forever."""
        return [*self._deadline(now), e.Personalize(self.task.round, self.body, self.task.settings, self.task.clock)]

    def handle(self, event: ev.Event, now: float) -> list[e.Effect]:
        match event:
            case ev.TimerFired(("own", _, _)) if not self._overdue:
                self._overdue = True  # whatever the work has come to by now is this client's own model
                limit = f"{DEADLINES * self.task.deadline_s:g} s"
                warning = {"reason": f"a model of its own was not made within {limit}: it ends here"}
                return [e.Publish("warning", warning), e.CancelTraining(), *self._deadline(now)]
            case ev.TimerFired(("own", _, _)):
                return [e.Finish("failed", "the work on a model of its own does not stop")]
            case ev.Personalized(number, metrics):
                return [e.Publish("metric.personal", {"round": number, **metrics}), e.Finish("completed")]
            case ev.WorkFailed("personalize", _, _, reason):
                warning = {"reason": f"no model of its own was made of the final one, which stays: {reason}"}
                return [e.Publish("warning", warning), e.LoadWeights(self.body), e.Finish("completed")]
            case _:
                return []

    def _deadline(self, now: float) -> list[e.Effect]:
        key = (self.task.round, self.task.attempt)
        return [e.CancelTimer(("task", *key)), e.SetTimer(("own", *key), now + DEADLINES * self.task.deadline_s)]
