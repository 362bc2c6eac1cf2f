"""The worker of an aggregator: that of a coordinator, which sums what its sites tell in round 0 instead of deciding."""

from __future__ import annotations

from nervenet.models.agreement.questions import Answer
from nervenet.models.merged_statistics import merged_answer

from ...runtime import effects as e
from ...runtime import events as ev
from ...runtime.worker import Cancellation, Deferred
from ..coordinator_worker import CoordinatorWorker


class RegionWorker(CoordinatorWorker):
    def perform(self, effect: e.Effect, cancellation: Cancellation) -> ev.Event | Deferred | None:
        """Do what a coordinator's worker does; of the statistics of sites make those of one.

        Raises
        ------
        IncompatibleSites
            They do not fit each other; it names who and what.
        """
        if isinstance(effect, e.ApplyAgreement) and effect.agreement is None:
            answers = {name: Answer(fields, vector) for name, (fields, vector) in effect.surveys.items()}
            return ev.Surveyed(*merged_answer(answers, effect.rows))
        return super().perform(effect, cancellation)
