"""The upper half of an aggregator: a client to the coordinator above, whose work is done by its region; pure."""

from __future__ import annotations

from nervenet.broker import messages as m

from ...large.sizes import Sizes
from ...runtime import effects as e
from ...runtime import events as ev
from ..client_machine import ClientMachine
from .composing import unsuited

_OF_THE_REGION = (e.Survey, e.ApplyAgreement, e.Train, e.TrainAlone, e.Evaluate, e.CancelTraining, e.LoadWeights)


class UpwardMachine:
    """Wraps a `ClientMachine`: what that has its worker do, the other half of the aggregator is ordered to.

    A task that no region can do ends the aggregator with the reason, at the first of them: before any training.
    """

    def __init__(self, client: ClientMachine, deadline_s: float | None, sizes: Sizes) -> None:
        self.client = client
        self._deadline_s = deadline_s  # of a region's round, where its own experiment says it
        self._sizes = sizes
        self._incarnation = 0
        self._origin = 0  # incarnation of the coordinator at the top

    def handle(self, event: ev.Event, now: float) -> list[e.Effect]:
        match event:
            case ev.LinkUp(peer, _, incarnation) if peer == self.client.config.coordinator:
                self._incarnation = incarnation
            case ev.Arrived(sender, m.Task() as task) if sender == self.client.config.coordinator:
                self._origin = task.origin if isinstance(task.origin, int) else self._incarnation
                reason = None if self.client.finished else unsuited(task, self._deadline_s, self._sizes)
                if reason is not None:
                    return self._leave(sender, task, reason)
            case _:
                pass
        effects: list[e.Effect] = []
        for effect in self.client.handle(event, now):
            if isinstance(effect, _OF_THE_REGION):
                effects.append(e.Pass(self._ordered(effect)))
            else:
                if isinstance(effect, e.Finish):
                    effects.append(e.Pass(self._ordered(effect)))
                effects.append(effect)
        return effects

    def _leave(self, coordinator: str, task: m.Task, reason: str) -> list[e.Effect]:
        self.client.finished = True
        finish = e.Finish("failed", reason)
        goodbye = e.Send((coordinator,), m.Goodbye(round=task.round, reason=reason))
        return [goodbye, e.Pass(ev.Ordered(finish, task, self._origin)), finish]

    def _ordered(self, effect: e.Effect) -> ev.Ordered:
        current = self.client.current
        return ev.Ordered(effect, None if current is None else current.task, self._origin)
