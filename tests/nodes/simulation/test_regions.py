"""A simulation with regions: who is in which, what is said of it, and what becomes of one that is lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.launching.launcher import RunFailed
from nervenet.nodes.results.run_dir import read_nodes, read_summary
from nervenet.nodes.results.run_result import RunResult
from nervenet.nodes.simulation import run as runs
from nervenet.nodes.simulation.regions import VirtualAggregator

Simulate = Callable[..., Awaitable[RunResult]]

TWO: dict[str, Any] = {"hierarchy": {"regions": 2}}
DOUBLE = {"model": {"dtype": "float64"}, "nodes": 5}
TOO_LARGE = {"model": {"hidden": [9_000]}, "network": {"max_message_bytes": 70_000}}  # for an aggregator
LATE = {
    "nodes": 8,
    "federated": {"min_clients": 2},
    "network": {"join_deadline_s": 10.0},
    "simulation": {"offline": 0.3, "offline_s": 1_000.0, "seed": 1},  # one of each region, from the beginning
}
REGIONS = {"region-0": ["client-0", "client-1"], "region-1": ["client-2", "client-3"]}


async def test_the_run_folder_and_the_events_say_who_is_in_which_region(simulated: Simulate, tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    result = await simulated(**TWO, calls={"on_event": events.append})
    assert (result["status"], result["completed_rounds"], result["undisturbed"]) == ("completed", 3, True)
    assert result["regions"] == REGIONS
    nodes = read_nodes(tmp_path / "run")
    assert {name: node["region"] for name, node in nodes.items() if "region" in node} == {
        client: region for region, clients in REGIONS.items() for client in clients
    }
    assert {name for name, node in nodes.items() if node["role"] == "aggregator"} == set(REGIONS)
    ready = {event["node"]: event for event in events if event["type"] == "node.ready"}
    assert ready["client-3"]["region"] == "region-1"
    assert (ready["region-1"]["role"], ready["region-1"]["clients"]) == ("aggregator", 2)
    assert ready["region-1"]["examples"] == ready["client-2"]["examples"] + ready["client-3"]["examples"]


async def test_the_rounds_are_the_coordinators_and_are_told_once(simulated: Simulate) -> None:
    events: list[dict[str, Any]] = []
    await simulated(**TWO, calls={"on_event": events.append})
    completed = [event for event in events if event["type"] == "round.completed" and event["round"]]
    assert [(event["node"], event["participants"]) for event in completed] == [("coordinator", list(REGIONS))] * 3
    left = [event["node"] for event in events if event["type"] == "node.left"]
    assert sorted(left) == ["client-0", "client-1", "client-2", "client-3", "coordinator", "region-0", "region-1"]


async def test_an_aggregator_has_the_bytes_of_both_its_halves(simulated: Simulate) -> None:
    of = (await simulated(**TWO))["by_node"]
    below = sum(of[client]["bytes_received"] for client in REGIONS["region-0"])
    assert of["region-0"]["role"] == "aggregator"
    assert of["region-0"]["bytes_sent"] >= below + of["coordinator"]["bytes_received"] // 2


@pytest.mark.parametrize("rounds", [1, 2])
async def test_the_model_is_that_without_regions_unless_they_make_several_rounds(
    rounds: int, simulated: Simulate
) -> None:
    flat = await simulated(out="flat", **DOUBLE)
    regional = await simulated(out="regional", hierarchy={"regions": 2, "region_rounds": rounds}, **DOUBLE)
    assert np.allclose(regional.weights, flat.weights, rtol=1e-12, atol=1e-14) == (rounds == 1)


async def test_the_baselines_train_as_many_epochs_as_a_client(simulated: Simulate) -> None:
    more = {"evaluation": {"baseline": True}}
    events: list[dict[str, Any]] = []
    three = {"hierarchy": {"regions": 2, "region_rounds": 3}}
    await simulated(**three, **more, calls={"on_event": events.append})
    assert {event["rounds"] for event in events if event["type"] == "baseline.progress"} == {9}


async def test_clients_that_end_are_told_by_their_region_and_the_others_go_on(simulated: Simulate) -> None:
    events: list[dict[str, Any]] = []
    trouble = {"lifetime_s": 15.0, "step_s": 0.05, "seed": 2}
    more = {"nodes": 12, "rounds": 10, "hierarchy": {"regions": 3}, "simulation": trouble}
    result = await simulated(**more, calls={"on_event": events.append})
    assert (result["status"], result["completed_rounds"]) == ("completed", 10)
    assert {"client-02", "client-04", "client-08"} == set(result["lost_because"])
    suspected = [event for event in events if event["type"] == "node.suspect" and event["role"] == "aggregator"]
    told = {(event["node"], event["subject"]) for event in suspected}
    assert told == {("region-0", "client-02"), ("region-1", "client-04"), ("region-2", "client-08")}
    again = await simulated(out="again", **more)
    assert (again["lost_because"], again["virtual_s"]) == (result["lost_because"], result["virtual_s"])


async def test_a_region_that_is_late_to_gather_is_waited_for(simulated: Simulate) -> None:
    """Its aggregator enrolls with those who are there at its deadline, at which the others may not be given up."""
    result = await simulated(**TWO, **LATE)
    assert result["completed_rounds"] == 3
    assert {"client-2", "client-6"} == set(result["lost_because"])
    assert result["virtual_s"] > 10


async def test_a_coordinator_that_begins_at_once_gives_up_those_that_are_late(
    simulated: Simulate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def at_once(self: Any, rows: Any, regions: Any) -> None:
        made = runs.coordinator(runs.at_the_top(self._experiment), rows, list(regions.aggregators))
        self._enter("coordinator", "coordinator", *made)

        def enroll() -> None:
            for each in self._aggregators.values():
                if each.gathered and each._above is None and not each.failed:
                    each.enroll(each.gathered)

        for region in regions.all:
            self._region(region, rows, enroll)

    monkeypatch.setattr(runs.MachineRun, "_in_regions", at_once)
    with pytest.raises(RunFailed, match=r"were ready within 10 s .*still missing: region-0, region-1"):
        await simulated(**TWO, **LATE)


async def test_a_run_that_has_lost_all_regions_fails_by_the_reason_of_the_first(
    simulated: Simulate, tmp_path: Path
) -> None:
    with pytest.raises(RunFailed, match=r"every region was lost; region-0: .*the model is larger than a message"):
        await simulated(**TWO, **TOO_LARGE)
    lost = read_summary(tmp_path / "run")["lost_because"]
    assert set(lost) == {"coordinator", *REGIONS, *(client for clients in REGIONS.values() for client in clients)}
    assert "region-1 ended the run" in lost["client-3"]


async def test_clients_that_have_not_heard_of_it_are_lost_with_their_aggregator(
    simulated: Simulate, tmp_path: Path
) -> None:
    with pytest.raises(RunFailed, match="every region was lost"):
        await simulated(**TWO, **TOO_LARGE, simulation={"latency_s": 3.0})
    assert read_summary(tmp_path / "run")["lost_because"]["client-3"] == "its aggregator, region-1, was lost"


async def test_clients_of_whom_nobody_thinks_would_have_to_find_out_by_themselves(
    simulated: Simulate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(VirtualAggregator, "_end_clients", lambda _: None)
    with pytest.raises(RunFailed, match="every region was lost"):
        await simulated(**TWO, **TOO_LARGE, simulation={"latency_s": 3.0})
    assert "was lost" not in read_summary(tmp_path / "run")["lost_because"]["client-3"]


async def test_a_run_whose_coordinator_gives_up_fails_by_its_reason(simulated: Simulate) -> None:
    with pytest.raises(RunFailed, match=r"^coordinator: .*clients"):
        await simulated(**TWO, rounds=50, simulation={"lifetime_s": 0.5})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mode": "gossip"}, "regions are of federated runs"),
        ({"hierarchy": {"regions": 9}}, r"hierarchy\.regions = 9: expected at most nodes = 4"),
        ({"federated": {"strategy": "median"}}, "median needs each client's own update"),
    ],
)
async def test_what_no_region_can_learn_is_refused_as_by_a_launch(
    changes: dict[str, Any], words: str, simulated: Simulate, tmp_path: Path
) -> None:
    with pytest.raises(ExperimentError, match=words):
        await simulated(**{**TWO, **changes})
    assert not (tmp_path / "run").exists()


async def test_where_processes_would_be_is_no_reason_to_refuse(simulated: Simulate) -> None:
    result = await simulated(**TWO, cluster={"on": "dask"}, network={"transport": "inproc"}, processes=1, rounds=1)
    assert result["regions"] == REGIONS
