"""Small experiments, simulated in the test's own process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.results.run_result import RunResult
from nervenet.nodes.simulation.simulate import simulate

from ... import warm

Simulate = Callable[..., Awaitable[RunResult]]

SMALL = {"nodes": 4, "rounds": 3, "data": {"name": "iris"}, "evaluation": {"baseline": False}}


@pytest.fixture
def simulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulate:
    # Drawing is most of the time of a run as small as these, and is tested elsewhere.
    monkeypatch.setattr("nervenet.nodes.results.run_dir.installed", lambda name: name != "matplotlib")

    async def run(*, out: str = "run", calls: dict[str, Any] | None = None, **more: Any) -> RunResult:
        tables = {**SMALL, **more}
        return await simulate(Experiment.from_dict(tables), out=tmp_path / out, **(calls or {}))

    return run


@pytest.fixture
def warm_launches() -> Iterator[None]:
    """Fork servers that launchers start in this process are warm (see `warm`)."""
    with warm.warm_fork_servers():
        yield
