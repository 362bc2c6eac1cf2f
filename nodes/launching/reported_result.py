"""What has been reported of a launched run, as its result and as the files of it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ..config.factory import node_names
from ..results.collect import collect, saved_apart, write_results
from ..results.run_result import RunResult
from ..results.score_reports import Judged
from .placement.own_rows import agreed_task
from .preparation import Prepared
from .run_course import Outcome
from .run_services import RunServices


@dataclass(frozen=True)
class Beginning:
    """When a launch began: in Unix time, and by the clock that nobody sets during the run."""

    time: float
    monotonic: float

    @classmethod
    def at(cls, started_at: float) -> Beginning:
        return cls(started_at, time.monotonic() - (time.time() - started_at))


def write_reported(outcome: Outcome, prepared: Prepared, services: RunServices, began: Beginning) -> RunResult:
    """Write what is known until now, and return it."""
    experiment, shares, run_dir = prepared.experiment, prepared.shares, prepared.run_dir
    reported, baselines, events = services.supervisor.reports, services.supervisor.baselines, services.events
    reports = dict(reported.results)
    arrays, best = saved_apart(run_dir.path, reports, reported.arrays, reported.best)
    result = collect(experiment, reports, arrays, best, dict(services.supervisor.losses.lost))
    result.status, result.reason, result.regions = outcome.status, outcome.reason, prepared.regions.clients
    result.task = shares.task or agreed_task(result.preprocessing)
    result.majority = shares.majority
    names = tuple(node_names(experiment))
    result.judged = Judged(shares.test_rows(), shares.test_sites, names, counts=reported.site_counts)
    result.baseline, result.last_round = baselines.scores, events.last_round
    if baselines.site_matrix:
        result.site_matrix = {"sites": list(names), **baselines.site_matrix}
    result.wall_s, result.baseline_s = (outcome.ended_at or time.monotonic()) - began.monotonic, baselines.seconds
    result.startup_s = None if events.first_round_at is None else events.first_round_at - began.time
    write_results(experiment, run_dir, result)
    return result
