"""What a node's worker does in a simulation, and how long it takes there."""

from __future__ import annotations

from math import exp
from typing import Any

from nervenet.models.model import LocalWork
from nervenet.models.rng import generator

from ..config.simulation import SimulationConfig
from ..federated.personalization import FINE_TUNE
from ..runtime import effects as e
from ..runtime import events as ev
from ..runtime.model_worker import ModelWorker
from ..runtime.simulator import Answer
from ..runtime.worker import Cancellation, Worker
from .stacking import Stacks, planned

WORK = ("epochs", "local_steps", "batch_size")


class VirtualWorker:
    """The deployed worker of a node. Training takes `step_s` a mini-batch; all else no time at all.

    A training is done when it is due, or when something else is asked of the worker: what is cancelled before is never
    done. Those of other nodes that wait by then are done with it, as `stacks` has them.
    """

    def __init__(self, site: ModelWorker, step_s: float, stacks: Stacks) -> None:
        self.site = site
        self.step_s = step_s
        self._stacks = stacks
        self._worker = Worker(site)
        self._pending: Training | None = None

    def __call__(self, effect: e.Effect) -> tuple[float, Answer]:
        if isinstance(effect, e.Train):
            self._settle()
            self._pending = training = Training(self._worker, effect, self._stacks)
            return self._seconds(effect.settings), training
        if isinstance(effect, e.Combine | e.Merge | e.CopyPart):  # concurrently with training
            return 0.0, self._worker.answer(effect)
        self._settle()
        answer = self._worker.answer(effect)
        match effect:
            case e.TrainAlone(settings=settings, rounds=rounds):
                return rounds * self._seconds(settings), answer
            case e.Personalize(settings=settings):
                return self._seconds({**settings, "epochs": settings.get(FINE_TUNE, 0), "local_steps": None}), answer
        return 0.0, answer

    def cancel(self, elapsed_s: float | None = None) -> ev.Event | None:
        """Forget the training that is under way; after `elapsed_s` of it, return what is done so far."""
        pending, self._pending = self._pending, None
        if pending is None:
            return None
        pending.drop()
        if elapsed_s is None:
            return None
        self._worker.cancellation = Countdown(int(elapsed_s / self.step_s) if self.step_s else 0)
        found = self._worker.answer(pending.effect)
        self._worker.cancellation = Cancellation()
        return found

    def _settle(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending()

    def _seconds(self, settings: Any) -> float:
        work = LocalWork(**{key: settings[key] for key in WORK if settings.get(key) is not None})
        return self.step_s * work.steps(max(1, self.site.site_model.examples))


class Training:
    """A training that is done once, when it is called for the first time."""

    def __init__(self, worker: Worker, effect: e.Train, stacks: Stacks) -> None:
        self.effect = effect
        self._worker, self._stacks = worker, stacks
        self._answer: ev.Event | None = None
        self._done = False
        self._planned = planned(worker.role, effect) if isinstance(worker.role, ModelWorker) else None
        if self._planned is not None:
            stacks.add(self._planned)

    def __call__(self) -> ev.Event | None:
        if not self._done:
            if self._planned is not None:
                self._stacks.settle(self._planned)
            self._answer, self._done = self._worker.answer(self.effect), True
        return self._answer

    def drop(self) -> None:
        """Take it back: it will not be called."""
        if self._planned is not None:
            self._stacks.drop(self._planned)
            self._planned.model.done = None


class Countdown(Cancellation):
    """Asks a training for its end, and for what is done so far, after so many mini-batches."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self._left = steps

    def requested(self) -> bool:
        self._left -= 1
        return self._left < 0


def step_s(config: SimulationConfig, seed: int, name: str) -> float:
    """Return how long a mini-batch takes at a node."""
    if not config.spread:
        return config.step_s
    return config.step_s * exp(config.spread * float(generator(seed, "simulation", name, "speed").standard_normal()))
