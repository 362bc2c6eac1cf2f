"""The worker of a peer that gossips without rounds: trains, and combines models concurrently with training."""

from __future__ import annotations

from collections.abc import Callable

from nervenet.models.aggregate import combine
from nervenet.models.model import LocalWork
from nervenet.models.rng import generator
from nervenet.models.weights import checked_finite

from ...runtime import effects as e
from ...runtime import events as ev
from ...runtime.model_worker import ModelWorker, finite_only
from ...runtime.worker import Cancellation, Deferred
from .model_merge import merged, taken


class AsyncGossipWorker(ModelWorker):
    """Does the trainings and merges of one peer."""

    def perform(self, effect: e.Effect, cancellation: Cancellation) -> ev.Event | Deferred | None:
        match effect:
            case e.Train():
                return self.train(effect, cancellation.requested)
            case e.Combine(number, bodies, coefficients):
                return ev.Combined(number, checked_finite(combine(bodies, coefficients), "the sum of models"))
            case e.Merge(number, mine, theirs, shares, part):
                return ev.Combined(number, checked_finite(merged(mine, theirs, shares, part), "the merged model"))
            case e.CopyPart(number, body, part):
                return ev.Combined(number, taken(body, part))
            case _:
                return super().perform(effect, cancellation)

    def train(self, effect: e.Train, stop: Callable[[], bool]) -> ev.Trained:
        site_model = self.site_model
        if effect.body is not None:
            site_model.set_weights(effect.body)
        if effect.clock is not None:
            site_model.clock = effect.clock
        before = site_model.clock
        rng = generator(self.seed, self.node, effect.round, "batches")
        report = site_model.train(LocalWork(**effect.settings), rng, stop)
        if report.cancelled:
            return ev.Trained(effect.round, effect.attempt, None, report.examples, {}, cancelled=True)
        steps = site_model.clock - before if site_model.scheduled else report.steps
        body = site_model.trained_weights()
        metrics = finite_only({"loss": report.loss, "steps": steps})
        return ev.Trained(effect.round, effect.attempt, body, report.examples, metrics, clock=site_model.clock)
