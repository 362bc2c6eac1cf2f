"""The course of a launched run, from its broker to its baselines, and what it means where it ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ..runtime.event_types import INTERRUPTED
from .announcements import Announcements
from .losses import RunAborted
from .preflight import capped
from .preparation import Prepared
from .run_services import RunServices

BASELINE_S = 60.0  # how long a model of the baselines may take after the run


@dataclass(frozen=True)
class Outcome:
    """How a run has ended, as far as it is known before everybody is stopped."""

    status: str = "completed"  # or failed, or interrupted
    reason: str = ""  # of another status
    error: BaseException | None = None  # that is to be raised, once the folder is whole
    ended_at: float | None = None  # by the monotonic clock, when every node had reported; None: not all have


class RunCourse:
    """Starts the broker, the nodes and the baselines, each in its turn, and waits for what they have learned.

    Once every node has reported (`ended_at`), only the baselines go on: whatever ends them leaves a complete run.
    """

    def __init__(
        self,
        prepared: Prepared,
        services: RunServices,
        announcements: Announcements,
        on_address: Callable[[str], None],
    ) -> None:
        self.ended_at: float | None = None
        self._prepared, self._services, self._announcements = prepared, services, announcements
        self._on_address = on_address

    async def follow(self) -> Outcome:
        """Return how it has ended, and raise nothing."""
        return replace(await self._outcome(), ended_at=self.ended_at)

    async def _outcome(self) -> Outcome:
        try:
            await self._go()
        except asyncio.CancelledError as error:
            self._services.supervisor.stopping()
            why = str(error) or INTERRUPTED
            return self._unless_ended(Outcome(INTERRUPTED, why, error), Outcome(error=error))
        except RunAborted as error:
            return self._unless_ended(Outcome("failed", str(error)), Outcome())
        except Exception as error:  # noqa: BLE001  (raised again, when the folder is readable and nobody left)
            return Outcome("failed", f"{type(error).__name__}: {error}", error)
        return Outcome()

    async def _go(self) -> None:
        experiment, shares = self._prepared.experiment, self._prepared.shares
        events, supervisor = self._services.events, self._services.supervisor
        address = await supervisor.start_broker()
        self._on_address(address)
        events.follow(address, supervisor.events_in)
        events.publish("run.started", **self._run_started())
        warnings = *self._prepared.run_dir.damaged, *shares.notes, *capped(experiment, shares)
        self._announcements.begin(events, warnings)
        await supervisor.start_nodes(shares)
        self._services.write_nodes()
        may_stop_early = experiment.evaluation.may_stop_early
        if not may_stop_early:
            await supervisor.start_baselines(shares, experiment.rounds)
        await supervisor.wait_for_results(self._services.report_servers.failed)
        self.ended_at = time.monotonic()
        if may_stop_early:  # then only now it is known for how many rounds they have to train
            await supervisor.start_baselines(shares, supervisor.reports.completed_rounds)
        await supervisor.wait_for_baselines(BASELINE_S)

    def _run_started(self) -> dict[str, Any]:
        experiment, shares, resumed = self._prepared.experiment, self._prepared.shares, self._prepared.run_dir.resumed
        fields = {
            "mode": experiment.mode,
            "nodes": experiment.nodes,
            "rounds": experiment.rounds,
            "data": experiment.data.label,
            "model": experiment.model.name,
            **({"rows": shares.rows} if shares.rows else {}),
        }
        return fields if resumed is None else {**fields, "resumed_after": resumed}

    def _unless_ended(self, ended: Outcome, without_baselines: Outcome) -> Outcome:
        """Return what an end means: where only the baselines are missing, the result is complete without them."""
        if self.ended_at is None:
            return ended
        self._services.events.publish("warning", reason=f"the baselines are left out: {ended.reason}")
        return without_baselines
