"""What it means where the course of a run ends: before every node has reported, and when only baselines are missing."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.launching.announcements import Announcements
from nervenet.nodes.launching.data_shares import DataShares
from nervenet.nodes.launching.losses import RunAborted
from nervenet.nodes.launching.node_reports import NodeReports
from nervenet.nodes.launching.preparation import Prepared
from nervenet.nodes.launching.regions.plan import Regions
from nervenet.nodes.launching.run_course import Outcome, RunCourse
from nervenet.nodes.launching.run_services import RunServices
from nervenet.nodes.results.run_dir import RunDir

STEPS = ["start_broker", "start_nodes", "start_baselines", "wait_for_results", "wait_for_baselines"]


class Steps:
    """In place of a supervisor: notes what it is asked for, in order, and raises an error at one of the steps."""

    events_in = "tcp://127.0.0.1:9"
    reports = NodeReports(results={"coordinator": {"completed_rounds": 2}})

    def __init__(self, fails_at: str = "", error: BaseException | None = None) -> None:
        self.taken: list[str] = []
        self.rounds: int | None = None  # of the baselines
        self._fails_at, self._error = fails_at, error

    def __getattr__(self, step: str) -> Any:
        async def take(*of: Any) -> str:
            self.taken.append(step)
            if step == "start_baselines":
                self.rounds = of[1]
            if step == self._fails_at and self._error is not None:
                raise self._error
            return "tcp://127.0.0.1:8"

        return take

    def stopping(self) -> None:
        self.taken.append("stopping")


async def course(tmp_path: Path, steps: Steps, **more: Any) -> tuple[Outcome, list[str]]:
    """Return how a run has ended, and the warnings that it has published."""
    warnings: list[str] = []

    def publish(kind: str, **fields: Any) -> None:
        if kind == "warning":
            warnings.append(fields["reason"])

    experiment = Experiment.from_dict({"nodes": 2, "rounds": 5, **more})
    events = SimpleNamespace(publish=publish, follow=lambda *_: None)
    services = SimpleNamespace(
        supervisor=steps,
        events=events,
        report_servers=SimpleNamespace(failed=None),
        write_nodes=lambda: None,
    )
    with RunDir(tmp_path / "run") as run_dir:
        prepared = Prepared(experiment, "run", run_dir, DataShares((), "classification", 10), Regions())
        followed = RunCourse(prepared, cast("RunServices", services), Announcements(), lambda _: None)
        return await followed.follow(), warnings


async def test_all_is_started_in_its_turn(tmp_path: Path) -> None:
    steps = Steps()
    outcome, _ = await course(tmp_path, steps)
    assert steps.taken == STEPS
    assert (outcome.status, steps.rounds) == ("completed", 5)
    assert outcome.ended_at is not None


async def test_baselines_of_a_run_that_may_stop_early_train_as_many_rounds_as_it_took(tmp_path: Path) -> None:
    steps = Steps()
    await course(tmp_path, steps, evaluation={"patience": 1})
    assert (steps.taken[2:], steps.rounds) == (["wait_for_results", "start_baselines", "wait_for_baselines"], 2)


@pytest.mark.parametrize(
    ("error", "status", "reason", "raised"),
    [
        (asyncio.CancelledError("interrupted by Ctrl-C"), "interrupted", "interrupted by Ctrl-C", True),
        (asyncio.CancelledError(), "interrupted", "interrupted", True),
        (RunAborted("every node was lost"), "failed", "every node was lost", False),
        (OSError("no space"), "failed", "OSError: no space", True),
    ],
)
async def test_an_end_before_all_have_reported_says_why(
    tmp_path: Path, error: BaseException, status: str, reason: str, raised: bool
) -> None:
    steps = Steps("wait_for_results", error)
    outcome, _ = await course(tmp_path, steps)
    assert (outcome.status, outcome.reason, outcome.ended_at) == (status, reason, None)
    assert outcome.error is (error if raised else None)
    assert ("stopping" in steps.taken) == isinstance(error, asyncio.CancelledError)


@pytest.mark.parametrize("error", [asyncio.CancelledError("SIGTERM"), RunAborted("the fork server died")])
async def test_without_its_baselines_it_is_complete_and_says_so(tmp_path: Path, error: BaseException) -> None:
    outcome, warnings = await course(tmp_path, Steps("wait_for_baselines", error))
    assert (outcome.status, outcome.reason) == ("completed", "")
    assert outcome.ended_at is not None
    assert (outcome.error is error) == isinstance(error, asyncio.CancelledError), "what stopped the launcher stops it"
    assert warnings == [f"the baselines are left out: {error}"]
