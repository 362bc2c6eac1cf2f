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
from ..runtime.worker import Worker

WORK = ("epochs", "local_steps", "batch_size")


class VirtualWorker:
    """The deployed worker of a node. Training takes `step_s` a mini-batch; all else no time at all.

    A training is done when it is due, or when something else is asked of the worker: what is cancelled before is never
    done.
    """

    def __init__(self, site: ModelWorker, step_s: float) -> None:
        self.site = site
        self.step_s = step_s
        self._worker = Worker(site)
        self._pending: Training | None = None

    def __call__(self, effect: e.Effect) -> tuple[float, Answer]:
        if isinstance(effect, e.Train):
            self._settle()
            self._pending = training = Training(self._worker, effect)
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

    def cancel(self) -> None:
        """Forget the training that is under way."""
        self._pending = None

    def _settle(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending()

    def _seconds(self, settings: Any) -> float:
        work = LocalWork(**{key: settings[key] for key in WORK if settings.get(key) is not None})
        return self.step_s * work.steps(max(1, self.site.site_model.examples))


class Training:
    """A training that is done once, when it is called for the first time."""

    def __init__(self, worker: Worker, effect: e.Train) -> None:
        self._worker, self._effect = worker, effect
        self._answer: ev.Event | None = None
        self._done = False

    def __call__(self) -> ev.Event | None:
        if not self._done:
            self._answer, self._done = self._worker.answer(self._effect), True
        return self._answer


def step_s(config: SimulationConfig, seed: int, name: str) -> float:
    """Return how long a mini-batch takes at a node."""
    if not config.spread:
        return config.step_s
    return config.step_s * exp(config.spread * float(generator(seed, "simulation", name, "speed").standard_normal()))
