"""A simulation from its experiment to its run folder."""

from __future__ import annotations

import asyncio
import json
import pkgutil
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from nervenet.broker.subscriber import EventStream
from nervenet.nodes import Experiment, simulate
from nervenet.nodes.gossip import survey_tree
from nervenet.nodes.launching.launcher import RunFailed
from nervenet.nodes.results.run_dir import read_nodes, read_summary
from nervenet.nodes.results.run_result import RunResult
from nervenet.nodes.simulation.rounds import WholeRounds
from nervenet.nodes.simulation.run import MachineRun

Simulate = Callable[..., Awaitable[RunResult]]


async def test_the_folder_may_be_text_and_the_experiment_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small = Experiment.from_dict({"data": {"name": "iris"}, "nodes": 2, "rounds": 1, "evaluation": {"baseline": False}})
    result = await simulate(small, out="run")
    assert result["status"] == read_summary(tmp_path / "run")["status"] == "completed"
    with pytest.raises(TypeError, match="experiment is a dict; expected an Experiment"):
        await simulate({"nodes": 2})  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["federated", "gossip"])
async def test_it_leaves_the_run_folder_of_a_launch(mode: str, simulated: Simulate, tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    by_machines = {"simulation": {"engine": "machines"}}
    result = await simulated(mode=mode, calls={"on_event": events.append}, **by_machines)
    found = {path.name for path in (tmp_path / "run").iterdir()}
    expected = {"experiment.toml", "nodes.json", "events.jsonl", "summary.json", "round_metrics.jsonl"}
    assert expected | {"model.safetensors", "model.json"} <= found
    assert result["status"] == "completed"
    assert result["undisturbed"]
    assert result["completed_rounds"] == 3
    assert result["accuracy"] > 0.6
    assert 0 < result["virtual_s"] < 1, "three rounds of milliseconds"
    kinds = [event["type"] for event in events]
    assert kinds[0] == "run.started"
    assert kinds[-1] == "run.completed"
    assert sum(kind == "round.completed" for kind in kinds) == (4 if mode == "federated" else 16), "round 0 as well"
    assert {facts["role"] for facts in read_nodes(tmp_path / "run").values()} >= {"broker"}
    lines = (tmp_path / "run" / "round_metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["round"] for line in lines] == [1, 2, 3]


async def test_the_same_seed_gives_the_same_run_whatever_happens_in_it(simulated: Simulate) -> None:
    trouble = {"loss": 0.02, "offline": 0.1, "offline_s": 5.0, "step_s": 0.05, "spread": 0.5, "jitter_s": 0.1}
    more = {"mode": "gossip", "rounds": 10, "simulation": trouble}
    runs = [await simulated(out=name, **more) for name in "ab"]
    assert not runs[0]["undisturbed"]
    for key in ("accuracy", "loss", "virtual_s", "bytes_sent", "disturbances", "consensus_distance"):
        assert runs[0][key] == runs[1][key], key
    other = await simulated(out="c", **{**more, "simulation": {**trouble, "seed": 1}})
    assert other["virtual_s"] != runs[0]["virtual_s"]


async def test_a_network_that_is_slow_makes_rounds_long_and_changes_no_bit(simulated: Simulate) -> None:
    quick = await simulated(out="quick")
    slow = await simulated(out="slow", simulation={"latency_s": 0.2, "bandwidth": 10_000.0, "step_s": 0.01})
    assert slow["virtual_s"] > 1 > quick["virtual_s"]
    assert slow["undisturbed"]
    assert slow.weights.tobytes() == quick.weights.tobytes()


async def met_after(simulated: Simulate, algorithm: str) -> float:
    """How long round 0 takes the last of 26 peers on a ring, in seconds; half a second is a message's way."""
    events: list[dict[str, Any]] = []
    more = {"nodes": 26, "rounds": 1, "gossip": {"topology": "ring", "algorithm": algorithm}}
    simulation = {"latency_s": 0.5, "engine": "machines"}
    await simulated(mode="gossip", simulation=simulation, calls={"on_event": events.append}, **more)
    began = [event for event in events if event["type"] == "round.completed" and event["round"] == 0]
    assert len(began) == 26
    return max(float(event["duration_s"]) for event in began)


@pytest.mark.parametrize("algorithm", ["dpsgd", "ad-psgd"])
async def test_peers_of_a_ring_meet_by_short_ways(algorithm: str, simulated: Simulate) -> None:
    assert await met_after(simulated, algorithm) < 5.0


@pytest.fixture
def _no_tree_laid() -> Iterator[None]:
    survey_tree.tree_of.cache_clear()
    yield
    survey_tree.tree_of.cache_clear()


@pytest.mark.usefixtures("_no_tree_laid")
@pytest.mark.parametrize("algorithm", ["dpsgd", "ad-psgd"])
async def test_along_the_ring_it_takes_long(
    algorithm: str, simulated: Simulate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey_tree, "FAR", 26)
    assert await met_after(simulated, algorithm) > 5.0


async def test_peers_that_end_are_lost_and_the_others_go_on(simulated: Simulate) -> None:
    more = {"nodes": 6, "rounds": 20, "simulation": {"lifetime_s": 60.0, "step_s": 0.1, "engine": "machines"}}
    result = await simulated(mode="gossip", **more)
    assert result["status"] == "completed"
    assert 0 < len(result["nodes_lost"]) < 6
    assert all("lifetime" in why for why in result["lost_because"].values())
    assert result["completed_rounds"] == 20, "of the survivors"


async def test_a_federation_without_clients_fails_by_the_coordinators_reason(simulated: Simulate) -> None:
    with pytest.raises(RunFailed, match=r"coordinator: .*clients"):
        await simulated(rounds=50, simulation={"lifetime_s": 0.5})


async def test_stopped_it_leaves_a_readable_folder(simulated: Simulate, tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    task = asyncio.current_task()
    assert task is not None

    def seen(event: dict[str, Any]) -> None:
        events.append(event)
        if event["type"] == "round.completed" and event["round"] == 2:
            task.cancel("interrupted by Ctrl-C")

    with pytest.raises(asyncio.CancelledError):
        await simulated(rounds=100_000, calls={"on_event": seen})
    task.uncancel()
    summary = read_summary(tmp_path / "run")
    assert summary["status"] == "interrupted"
    assert summary["reason"] == "interrupted by Ctrl-C"
    assert 2 <= summary["completed_rounds"] < 100_000
    assert events[-1]["type"] == "run.failed"


async def made_until_stopped(
    simulated: Simulate, monkeypatch: pytest.MonkeyPatch, makes: str, **more: Any
) -> tuple[int, dict[str, Any]]:
    """Cancel a run when the third of its nodes is made; return how many were, and the summary."""
    task, loop, made = asyncio.current_task(), asyncio.get_running_loop(), list[Any]()
    assert task is not None
    stops: list[threading.Event] = []
    for engine in (MachineRun, WholeRounds):

        def noted(*arguments: Any, engine: Any = engine) -> Any:
            stops.append(arguments[-1].__self__)
            return engine(*arguments)

        monkeypatch.setattr(f"nervenet.nodes.simulation.simulate.{engine.__name__}", noted)
    original = pkgutil.resolve_name(f"nervenet.nodes.simulation.{makes}")

    def counted(*arguments: Any) -> Any:
        made.append(arguments)
        if len(made) == 3:
            loop.call_soon_threadsafe(task.cancel, "interrupted by Ctrl-C")
            assert stops[0].wait(60)
        return original(*arguments)

    monkeypatch.setattr(f"nervenet.nodes.simulation.{makes}", counted)
    paths: list[Path] = []
    with pytest.raises(asyncio.CancelledError):
        await simulated(nodes=12, calls={"on_run_dir": paths.append}, **more)
    task.uncancel()
    return len(made), read_summary(paths[0])


MAKES = [
    ("run.client", {}),
    ("run.client", {"hierarchy": {"regions": 2}}),
    ("nodes.Peers.peer", {"mode": "gossip", "simulation": {"engine": "machines"}}),
    ("rounds.site_model_of", {"mode": "gossip", "simulation": {"engine": "rounds"}}),
]


@pytest.mark.parametrize(("makes", "more"), MAKES)
async def test_a_run_that_is_stopped_makes_no_further_node(
    simulated: Simulate, monkeypatch: pytest.MonkeyPatch, makes: str, more: dict[str, Any]
) -> None:
    made, summary = await made_until_stopped(simulated, monkeypatch, makes, **more)
    assert made == 3
    assert (summary["status"], summary["completed_rounds"]) == ("interrupted", 0)
    assert summary["reason"] == "interrupted by Ctrl-C"


@pytest.mark.parametrize(("makes", "more"), MAKES)
async def test_a_stop_that_is_not_looked_for_has_all_nodes_made(
    simulated: Simulate, monkeypatch: pytest.MonkeyPatch, makes: str, more: dict[str, Any]
) -> None:
    for module in ("run", "rounds"):
        monkeypatch.setattr(f"nervenet.nodes.simulation.{module}.unless_stopped", lambda names, _: names)
    made, _ = await made_until_stopped(simulated, monkeypatch, makes, **more)
    assert made == 12


async def test_a_monitor_attaches_while_it_runs(simulated: Simulate) -> None:
    heard: list[str] = []
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    running = asyncio.ensure_future(simulated(rounds=100_000, calls={"on_address": address.set_result}))
    async with asyncio.timeout(240), EventStream(await address) as events:
        async for event in events:
            heard.append(event["type"])
            if event["type"] == "round.completed":
                running.cancel()
            if event["type"] == "run.failed":
                break
    with pytest.raises(asyncio.CancelledError):
        await running
    assert "round.completed" in heard
