"""What the processes of one run are told, each by its job: all of them the same, and each what it hosts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from nervenet.broker.enrollment import OPEN, Enrollment

from ..config.schema import Experiment
from .data_shares import DataShares
from .jobs import data_job, group_job, hosted_nodes
from .process_logs import QUIET, LogSettings
from .regions.plan import Regions, roles_of
from .roll import to_job

Asked: TypeAlias = tuple[tuple[str, ...], Mapping[str, Any], list[int]]
"""The nodes that a process hosts, its job, and the descriptors of their rows."""


@dataclass(frozen=True)
class RunJobs:
    """What all processes of a run are told, and what each of those is that host nodes."""

    run: str
    report_server: Mapping[str, str]  # addresses at which the processes report
    enrollment: Enrollment = OPEN  # what makes them nodes of this run
    regions: Regions = field(default_factory=Regions)
    checkpoint_dir: Callable[[str, str], Path | None] = lambda _role, _name: None
    run_dir: Path | None = None  # where a coordinator saves its models
    logs: LogSettings = QUIET

    def whole(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """Return a job with what every process is told."""
        return {**job, **to_job(self.run, self.report_server, self.enrollment), "logs": self.logs.to_job()}

    @contextmanager
    def of_nodes(
        self, experiment: Experiment, shares: DataShares, broker: str, *, server_last: bool
    ) -> Iterator[Iterator[Asked]]:
        """Yield what is asked of each process that hosts nodes, in the order in which they are started.

        Their descriptors are open within the block.
        """
        empty = os.open(os.devnull, os.O_RDONLY)
        try:
            yield self._asked(experiment, shares, broker, empty, server_last)
        finally:
            os.close(empty)

    def _asked(
        self, experiment: Experiment, shares: DataShares, broker: str, empty: int, server_last: bool
    ) -> Iterator[Asked]:
        common = {**data_job("nodes", experiment, shares), "broker": broker}
        roles, where = roles_of(experiment), (self.regions, self.checkpoint_dir, self.run_dir)
        hosted = hosted_nodes(experiment, roles, shares, empty, server_last)
        for place, (group, descriptors) in enumerate(hosted):
            yield group, {**common, **group_job(place, group, roles, self.enrollment.roles, *where)}, descriptors
