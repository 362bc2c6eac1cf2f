"""A launch over a Dask cluster: the result of a plain one, and a worker that is killed in the middle."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from nervenet.nodes import launch, load_experiment
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.launching.placement.dask_cluster import open_dask
from nervenet.nodes.launching.placement.executor import ExecutorFailed, Wanted

pytestmark = pytest.mark.e2e
distributed = pytest.importorskip("distributed")

QUICK = {"data.name": "iris", "evaluation.baseline": False, "network.join_deadline_s": 120.0}
CALM = {"network.suspect_after_s": 20.0}  # on a busy machine, too, nobody is to be left out of a round


@asynccontextmanager
async def cluster(workers: int, protocol: str) -> AsyncIterator[Any]:
    """A scheduler and so many workers of one thread within this process."""
    async with distributed.LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=False,
        host="127.0.0.1" if protocol == "tcp" else None,
        protocol=protocol,
        asynchronous=True,
        dashboard_address="127.0.0.1:0",
    ) as found:
        yield found


REGIONS = {"nodes": 4, "hierarchy.regions": 2}


@pytest.mark.parametrize("further", [{"nodes": 3}, {**REGIONS, "hierarchy.region_rounds": 2}])
async def test_the_result_is_that_of_a_plain_launch(further: dict[str, Any], tmp_path: Path) -> None:
    experiment = load_experiment(None, {**QUICK, **CALM, **further, "rounds": 2})
    said: list[str] = []
    plain = await launch(experiment, out=tmp_path / "plain")
    async with cluster(2, "inproc") as found:
        on_dask = await launch(
            experiment, on=found, out=tmp_path / "dask", on_event=lambda event: said.append(str(event.get("reason")))
        )
    assert on_dask["status"] == "completed"
    assert on_dask["undisturbed"]
    assert {key: on_dask[key] for key in ("accuracy", "loss")} == {key: plain[key] for key in ("accuracy", "loss")}
    models = [(tmp_path / each / "model.safetensors").read_bytes() for each in ("plain", "dask")]
    assert models[0] == models[1], "to the last bit"
    assert [node.get("region") for node in on_dask["by_node"].values()] == [
        node.get("region") for node in plain["by_node"].values()
    ]
    processes = f"{experiment.nodes} processes share 2 workers with 2 threads"
    assert any(processes in each for each in said), "which are those of the clients"
    assert '"client-2"' in (tmp_path / "dask" / "nodes.log").read_text(), "what nodes write is in the run folder"


@pytest.mark.parametrize("further", [{"nodes": 2}, {**REGIONS, "federated.deadline_s": 120.0}])
async def test_the_nodes_of_a_killed_worker_start_again_at_another(
    further: dict[str, Any], tmp_path: Path, held: Callable[[], None]
) -> None:
    """No round is complete without both clients, of each region if there are some: those that were lost are back."""
    async with cluster(1, "tcp") as found:
        words = [sys.executable, "-m", "distributed.cli.dask_worker", found.scheduler_address]
        options = ["--no-nanny", "--no-dashboard", "--nthreads", "1", "--host", "127.0.0.1"]
        worker = await asyncio.create_subprocess_exec(*words, *options, stderr=subprocess.DEVNULL, cwd=tmp_path)
        try:
            async with distributed.Client(found.scheduler_address, asynchronous=True, set_as_default=False) as client:
                await client.wait_for_workers(2, timeout=60)
            on = f"dask://{found.scheduler_address.partition('://')[2]}"
            settings = {**QUICK, **further, "rounds": 20, "model.name": "held:Held"}
            settings |= {"federated.min_clients": 2, "cluster.on": on}
            events: list[dict[str, Any]] = []
            killed = asyncio.Event()

            def on_event(event: dict[str, Any]) -> None:
                events.append(event)
                if event["type"] == "round.completed" and event["round"] >= 2 and not killed.is_set():
                    os.kill(worker.pid, signal.SIGKILL)
                    killed.set()
                    held()

            result = await launch(load_experiment(None, settings), out=tmp_path / "run", on_event=on_event)
        finally:
            with suppress(ProcessLookupError):
                worker.kill()
            await worker.wait()
    assert result["status"] == "completed"
    assert result["completed_rounds"] == 20
    assert result["nodes_lost"] == []
    asked = result.get("regions") or ["client-0", "client-1"]
    done = {tuple(event["participants"]) for event in events if event["type"] == "round.completed" and event["round"]}
    assert done == {tuple(asked)}
    assert not result["undisturbed"]
    said = [str(event.get("reason")) for event in events if event["type"] == "warning"]
    assert any("is gone: client-" in each for each in said)
    assert any(": started again at worker tcp://" in each for each in said)


async def test_rows_that_lie_at_the_workers_are_read_there(tmp_path: Path) -> None:
    for number in range(2):
        rows = [f"{a},{(a + number) % 7},{'yes' if a > 20 else 'no'}" for a in range(number, 40, 2)]
        (tmp_path / f"site{number}.csv").write_text("\n".join(["a,b,sick", *rows]))
    settings = {"rounds": 2, "data.sites": [str(tmp_path / "*.csv")], "data.target": "sick", "cluster.data": "workers"}
    async with cluster(1, "inproc") as found:
        with pytest.raises(ExperimentError, match=r"hierarchy\.regions = 3: expected at most nodes = 2"):
            await launch(load_experiment(None, settings | {"hierarchy.regions": 3}), on=found, out=tmp_path / "run")
        assert not (tmp_path / "run").exists()
        result = await launch(load_experiment(None, settings), on=found, out=tmp_path / "run")
        settings |= {"hierarchy.regions": 2}
        divided = await launch(load_experiment(None, settings), on=found, out=tmp_path / "two")
    assert result["status"] == "completed"
    assert sorted(result["by_node"]) == ["coordinator", "site0", "site1"]
    assert result["task"] == "classification"
    assert result["evaluated_on"] == "holdout"
    assert result["sites"]["sites"] == 2
    assert result["baseline"] is None, "nobody has the rows of all"
    assert (divided["status"], divided["task"]) == ("completed", "classification")
    assert divided["regions"] == {"region-0": ["site0"], "region-1": ["site1"]}, "as soon as they are counted"


async def test_without_workers_the_wait_ends_at_its_deadline() -> None:
    said: list[str] = []
    experiment = load_experiment(None, {**QUICK, "cluster.deadline_s": 0.1})
    async with cluster(0, "inproc") as found, open_dask(Wanted(experiment, "", found, None, said.append)) as executor:
        executor.attach()
        assert await executor.spawn({"nodes": [{"name": "client-0"}]}, [], within_s=1) == 0
        waits = r"1 of 1 processes wait for a worker; the engine has none, after 0\.1 s"
        with pytest.raises(ExecutorFailed, match=waits):
            await executor.placed()
        ended: list[tuple[int, int | str]] = []
        executor.exited = lambda *how: ended.append(how)
        executor.signal(0, signal.SIGTERM)
        assert ended == [(0, 0)], "what has no place is stopped by not being asked for any more"
