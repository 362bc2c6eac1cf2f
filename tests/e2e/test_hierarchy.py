"""A coordinator, two aggregators and their clients, each a process, started by hand at one broker."""

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.e2e
Start = Callable[..., Any]
TASK = ("--rounds", 100000, "--epochs", 1, "--set", "data.task=classification", "--set", "model.dtype=float64")
COMMON = (*TASK, "--set", "network.join_deadline_s=60", "--set", "network.suspect_after_s=20")
REGIONS = {"north": ("site0", "site1"), "south": ("site2", "site3")}


@pytest.fixture
def address(nervenet: Start) -> Iterator[str]:
    broker = nervenet("broker", "--bind", "tcp://127.0.0.1:0")
    line = broker.says("directory")
    broker.says("events out")
    yield line.split()[-1]
    broker.kill(signal.SIGTERM)
    assert broker.wait() == 143


def site(folder: Path, name: str, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(400, 3))
    rows = [",".join([*(f"{v:.3f}" for v in x), str(int(x.sum() > 0))]) for x in X]
    path = folder / f"{name}.csv"
    path.write_text("a,b,c,y\n" + "\n".join(rows) + "\n")
    return path


def test_the_coordinator_and_an_aggregator_are_killed_and_resumed(
    address: str, nervenet: Start, until: Start, tmp_path: Path
) -> None:
    top = ("node", "coordinator", "--broker", address, "--run", "demo", "--nodes", 2, *COMMON, "--json")
    coordinator = nervenet(*top, "--out", "top")
    aggregators, clients = {}, []
    for region, sites in REGIONS.items():
        below = ("--broker", address, "--run", region, "--nodes", 2, *COMMON)
        above = ("--upstream", address, "--upstream-run", "demo", "--regions", 2, "--name", region, "--json")
        aggregators[region] = (("node", "aggregator", *below, *above), ("--out", region))
        for k, name in enumerate(sites):
            file = site(tmp_path, name, 10 * len(clients) + k)
            clients.append(nervenet("node", "client", *below, "--name", name, "--data", file, "--out", f"of-{name}"))
    running = {region: nervenet(*words, *out) for region, (words, out) in aggregators.items()}
    for folder in ("top", "north"):
        saved = tmp_path / folder / "checkpoints" / "coordinator"
        until(lambda saved=saved: list(saved.glob("round-*")), f"a checkpoint in {saved}")
    coordinator.says('"round":3,')
    running["north"].kill()
    running["north"].wait()
    running["north"] = nervenet(*aggregators["north"][0], "--resume", "north", "--replace")
    running["north"].says('"type":"round.completed"')
    coordinator.kill()
    coordinator.wait()
    lines = list(coordinator.out)
    # Its first round may be the one whose updates say that the model it has resumed from is good enough.
    lines += nervenet(*top, "--resume", "top", "--replace", "--until", "accuracy=0.5").ok().out
    for command in (*running.values(), *clients):
        command.ok()
    rounds = [json.loads(line) for line in lines if '"type":"round.completed"' in line and line.endswith("}\n")]
    assert rounds
    assert all(done["participants"] == ["north", "south"] for done in rounds if done["round"]), rounds
    models = {(tmp_path / f / "model.safetensors").read_bytes() for f in ("top", "north", "of-site0", "of-site3")}
    assert len(models) == 1
    # Each is asked by the one directly above, and says so in its audit log.
    for log, asker in (("of-site0/audit/site0", "north"), ("south/audit/upstream/south", "coordinator")):
        lines = [json.loads(line) for line in (tmp_path / f"{log}.jsonl").read_text().splitlines()]
        assert {line["from"][0] for line in lines if "from" in line} == {asker}
