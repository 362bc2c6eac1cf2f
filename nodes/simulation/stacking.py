"""Trainings of many nodes that wait for their time, done together: as one stack of matrices, with the same bits.

A node's worker does a training when it is due. Whoever is due first has all those done that are alike, and each finds
its own result in its model when its turn comes; what is cancelled before is never looked at.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from nervenet.models.base import FitJob
from nervenet.models.fednova import fednova_normalizer
from nervenet.models.mlp.mlp import MLP
from nervenet.models.mlp.stacked import STACK_BYTES, StackedMLP
from nervenet.models.model import FitReport, LocalWork
from nervenet.models.rng import generator
from nervenet.models.site_model import training_rows
from numpy.typing import NDArray

from ..gossip.worker import GossipWorker
from ..runtime import effects as e
from ..runtime.model_worker import ModelWorker

Vector = NDArray[Any]

PLAIN = frozenset(("epochs", "local_steps", "batch_size", "learning_rate", "carry_optimizer"))
"""Settings of a training that is nothing but that; with others a client does more than to train a model."""

MOST_AT_ONCE = 256
KEPT = 8  # sizes of stacks whose buffers are kept


@dataclass(frozen=True, eq=False)
class Done:
    """A training that has been done: from which weights, for how much work, and what came of it."""

    start: Vector
    work: LocalWork
    weights: Vector
    state: dict[str, Vector]
    report: FitReport


class PreparedMLP(MLP):
    """A network whose next training may have been done already, in a stack with others.

    What was done from other weights, or for other work, is not taken.
    """

    done: Done | None = None

    def run(self, job: FitJob) -> FitReport:
        done, self.done = self.done, None
        plain = job.correction is None and job.sample_weight is None
        if done is None or not plain or done.work != job.work or not np.array_equal(done.start, self.weights):
            return super().run(job)
        self.weights[:] = done.weights
        self.set_state(done.state)
        return done.report


@dataclass(frozen=True, eq=False)
class Planned:
    """A training that can be stacked with those of the same `key`."""

    site: ModelWorker
    model: PreparedMLP
    effect: e.Train
    work: LocalWork
    key: Hashable


def planned(site: ModelWorker, effect: e.Train) -> Planned | None:
    """Return how a training can be stacked; None where it is more than a plain one of the built-in network."""
    site_model, settings = site.site_model, effect.settings
    model = site_model.model
    if not isinstance(model, PreparedMLP) or site_model.weight is not None or not site_model.built:
        return None
    if not settings.keys() <= PLAIN or (isinstance(site, GossipWorker) and site.algorithm.needs.correction):
        return None
    work = LocalWork(**settings)
    if work.carry_optimizer and effect.body is not None:  # a client's moments are in its own store
        return None
    rows = site_model.examples
    before = model.get_state() if work.carry_optimizer else {}
    clock = int(before["t"][0]) if "t" in before else 0
    return Planned(site, model, effect, work, (rows, work, clock))


class Stacks:
    """The trainings that wait for their time."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, list[Planned]] = {}
        self._stacks: dict[int, StackedMLP] = {}

    def add(self, each: Planned) -> None:
        self._waiting.setdefault(each.key, []).append(each)

    def drop(self, each: Planned) -> None:
        """Forget a training that was cancelled, or done by itself."""
        waiting = self._waiting.get(each.key, [])
        if each in waiting:
            waiting.remove(each)

    def settle(self, each: Planned) -> None:
        """Do a training that is due, if that has not been done, with all those that wait and are like it."""
        waiting = self._waiting.pop(each.key, [])
        if each not in waiting:
            self._waiting[each.key] = waiting
            return
        size = each.model.layout.size * each.model.weights.itemsize
        most = max(1, min(MOST_AT_ONCE, STACK_BYTES // size))
        for start in range(0, len(waiting), most):
            some = waiting[start : start + most]
            if len(some) > 1:
                self._train(some)

    def _train(self, some: list[Planned]) -> None:
        first = some[0]
        work, count = first.work, len(some)
        starts = [np.array(each.effect.body if each.effect.body is not None else each.model.weights) for each in some]
        parameters = np.stack(starts)
        states = [each.model.get_state() for each in some]
        carried = work.carry_optimizer
        moments = {
            name: np.stack([state[name] for state in states]) if carried else np.zeros_like(parameters)
            for name in states[0]
            if name != "t"
        }
        before = int(states[0]["t"][0]) if carried and "t" in states[0] else 0
        rows = [training_rows(each.site.site_model, each.site.site_model.preprocessing) for each in some]
        X, y = np.stack([each[0] for each in rows]), np.stack([each[1] for each in rows])
        n = X.shape[1]
        steps, batches = work.steps(n), -(-n // min(work.batch_size, n))
        draws = [generator(each.site.seed, each.site.node, each.effect.round, "batches") for each in some]
        orders = [np.array([each.permutation(n) for each in draws]) for _ in range(-(-steps // batches))]
        losses = self._stack(first.model, count).train(parameters, moments, (X, y), orders, work, before)
        model = first.model
        rate = model.learning_rate if work.learning_rate is None else work.learning_rate
        reach = fednova_normalizer(model.optimizer, steps, model.momentum, rate, 0.0)
        clock = {"t": np.array([before + steps], np.float64)} if "t" in states[0] else {}
        for k, each in enumerate(some):
            report = FitReport(float(losses[k]), n, steps, False, reach, rate)
            state = {name: moment[k] for name, moment in moments.items()} | clock
            each.model.done = Done(starts[k], work, parameters[k], state, report)

    def _stack(self, model: MLP, count: int) -> StackedMLP:
        if count not in self._stacks:
            if len(self._stacks) >= KEPT:
                self._stacks.clear()
            self._stacks[count] = StackedMLP(model, count)
        return self._stacks[count]
