"""A task that a client has been given: its deadlines, the answer that it will not be done, and whether it can be."""

from __future__ import annotations

from msgspec import UNSET, Struct
from nervenet.broker import messages as m

from ..runtime import effects as e
from ..runtime import events as ev

PARTIAL = 0.8  # share of a task's deadline after which a client answers with the work it has done, where it may


class Assignment(Struct, frozen=True):
    """A task with the handle of the weights that came with it."""

    task: m.Task
    body: ev.Body

    @property
    def key(self) -> tuple[int, int]:
        return self.task.round, self.task.attempt

    @property
    def partial(self) -> bool:
        """Whether a client that has no time left may answer with the work it has done."""
        return self.task.work == "train" and self.task.settings.get("partial") is True

    def set_timers(self, now: float) -> list[e.Effect]:
        deadline_s = self.task.deadline_s
        effects: list[e.Effect] = [e.SetTimer(("task", *self.key), now + deadline_s)]
        if self.partial:
            effects.append(e.SetTimer(("partial", *self.key), now + PARTIAL * deadline_s))
        return effects

    def cancel_timers(self) -> list[e.Effect]:
        effects: list[e.Effect] = [e.CancelTimer(("task", *self.key))]
        if self.partial:
            effects.append(e.CancelTimer(("partial", *self.key)))
        return effects

    def decline(self, to: str, reason: str, key: str = "") -> e.Effect:
        number, attempt = self.key
        return e.Send((to,), m.Declined(round=number, attempt=attempt, reason=reason, key=key or UNSET))

    def busy(self, since: float, now: float) -> str:
        return f"still busy with {self.task.work} of round {self.task.round}, for {now - since:.1f} s"

    def leave(self, to: str, failure: str = "") -> list[e.Effect]:
        """Return how a client ends after its last task."""
        task = self.task
        if failure:
            return [e.Send((to,), m.Goodbye(round=task.round, reason="done")), e.Finish("failed", failure)]
        return [
            e.Send((to,), m.Goodbye(round=task.round, reason="done")),
            e.Publish("node.finished", {"round": task.rounds or task.round}),
            e.Finish("completed"),
        ]


def misfit(task: m.Task, model: ev.ModelReady | None, *, sends_own: bool = False) -> str | None:
    """Return why what a task brings does not fit the client's model, or is not wanted here; None if it is fine.

    `sends_own`: a model of this site's rows only may leave it.
    """
    if model is None:
        return "no agreement has reached this client"
    if task.work == "alone":
        return None if sends_own else "evaluation.site_matrix is not true at this site, whose model stays there"
    layout = model.payload.layout
    if task.payload is None or task.payload.layout != layout:
        found = task.payload.layout if task.payload else "no payload"
        return f"layout must be {layout}, found {found}"
    return None
