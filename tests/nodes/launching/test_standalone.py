"""One node by itself, as ``nervenet node`` runs it, here several in one program."""

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nervenet.broker.broker import Broker
from nervenet.broker.errors import BrokerError
from nervenet.models.data.data import DataError
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.launching.standalone import run_node
from nervenet.nodes.runtime.identity import NodeFailed


def site(folder: Path, name: str, seed: int, columns: str = "a,b,y") -> str:
    rng = np.random.default_rng(seed)
    rows = [f"{a:.3f},{b:.3f},{int(a + b > 0)}" for a, b in rng.normal(size=(40, 2))]
    path = folder / f"{name}.csv"
    path.write_text("\n".join([columns, *rows]) + "\n")
    return str(path)


def plan(file: str = "digits", mode: str = "federated", **more: Any) -> Experiment:
    wanted = {"mode": mode, "nodes": 2, "rounds": 2, "data": {"name": file}, "network": {"join_deadline_s": 60}}
    return Experiment.from_dict({**wanted, **more})


async def together(*nodes: Any) -> list[Any]:
    async with asyncio.timeout(60):
        return list(await asyncio.gather(*nodes, return_exceptions=True))


async def test_each_leaves_what_it_knows(tmp_path: Path) -> None:
    files = [site(tmp_path, f"s{k}", k) for k in range(2)]
    events: list[dict[str, Any]] = []
    async with Broker("tcp://127.0.0.1:0") as broker:
        where = {"broker": broker.addresses["directory"], "run": "r"}
        found = await together(
            run_node("coordinator", plan(), **where, out=tmp_path / "c", on_event=events.append),
            *(run_node("client", plan(f), **where, name=f"s{k}", out=tmp_path / f"s{k}") for k, f in enumerate(files)),
        )
    summary = found[0]
    assert (summary["status"], summary["completed_rounds"], summary["baseline"]) == ("completed", 2, None)
    assert summary["accuracy"] > 0.5
    assert summary["worst_site"] in ("s0", "s1")
    for folder in ("c", "s0", "s1"):
        for name in ("experiment.toml", "events.jsonl", "summary.json", "model.json", "model.safetensors"):
            assert (tmp_path / folder / name).exists(), (folder, name)
    weights = {(tmp_path / folder / "model.safetensors").read_bytes() for folder in ("c", "s0", "s1")}
    assert len(weights) == 1
    assert {e["round"] for e in events if e["type"] == "round.completed"} == {0, 1, 2}
    lines = (tmp_path / "c" / "events.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == events


async def test_sites_that_do_not_fit_fail_everywhere_by_name(tmp_path: Path) -> None:
    files = [site(tmp_path, "s0", 0), site(tmp_path, "s1", 1, "a,other,y")]
    async with Broker("tcp://127.0.0.1:0") as broker:
        where = {"broker": broker.addresses["directory"], "run": "r"}
        found = await together(
            run_node("coordinator", plan(), **where, out=tmp_path / "c"),
            *(run_node("client", plan(f), **where, name=f"s{k}") for k, f in enumerate(files)),
        )
    for error in found:
        assert isinstance(error, NodeFailed), error
        assert "other" in str(error)
    summary = json.loads((tmp_path / "c" / "summary.json").read_text())
    assert summary["status"] == "failed"
    assert "other" in summary["reason"]


async def test_mistakes_come_before_anything_is_joined(tmp_path: Path) -> None:
    nowhere = {"broker": "tcp://127.0.0.1:1", "run": "r"}
    with pytest.raises(DataError, match="missing"):
        await run_node("client", plan("missing.csv"), **nowhere)
    file = site(tmp_path, "s", 0)
    with pytest.raises(DataError, match="zzz"):
        await run_node("peer", plan(mode="gossip", data={"name": file, "target": "zzz"}), **nowhere)


async def test_a_broker_that_is_not_there_is_named_within_the_deadline(tmp_path: Path) -> None:
    wanted = plan(site(tmp_path, "s", 0), network={"join_deadline_s": 0.2})
    with pytest.raises(BrokerError, match=r"127\.0\.0\.1:1"):
        async with asyncio.timeout(60):
            await run_node("client", wanted, broker="tcp://127.0.0.1:1", run="r")
