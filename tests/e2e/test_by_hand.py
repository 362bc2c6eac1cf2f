"""The same federation put together from several terminals: a broker, and a node a site with a file of its own."""

import json
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.e2e
Start = Callable[..., Any]
COMMON = ("--rounds", 4, "--set", "network.join_deadline_s=300", "--set", "network.suspect_after_s=20")


@pytest.fixture
def address(nervenet: Start) -> Iterator[str]:
    """A broker's directory, on a free port."""
    broker = nervenet("broker", "--bind", "tcp://127.0.0.1:0")
    line = broker.says("directory")
    broker.says("events out")
    yield line.split()[-1]
    broker.kill(signal.SIGTERM)
    assert broker.wait() == 143


def site(folder: Path, name: str, seed: int, columns: str = "a,b,c,y") -> Path:
    """Write one site's rows: three numbers, and whether their sum is positive."""
    rng = np.random.default_rng(seed)
    width = len(columns.split(",")) - 1
    X = rng.normal(size=(60, width))
    rows = [",".join([*(f"{v:.3f}" for v in x), str(int(x[:3].sum() > 0))]) for x in X]
    path = folder / f"{name}.csv"
    path.write_text(columns + "\n" + "\n".join(rows) + "\n")
    return path


def test_a_coordinator_and_two_sites(address: str, nervenet: Start, tmp_path: Path) -> None:
    where = ("--broker", address, "--run", "study", "--nodes", 2, *COMMON)
    files = [site(tmp_path, f"site{k}", k) for k in range(2)]
    clients = [
        nervenet("node", "client", *where, "--name", f"site{k}", "--data", file, "--out", f"of-site{k}")
        for k, file in enumerate(files)
    ]
    coordinator = nervenet("node", "coordinator", *where, "--out", "global", "--json").ok()
    for client in clients:
        client.ok()
    events = [json.loads(line) for line in coordinator.out if line.startswith("{")]
    rounds = [e for e in events if e["type"] == "round.completed" and e["round"]]
    assert [e["participants"] for e in rounds] == [["site0", "site1"]] * 4
    sites = [e for e in events if e["type"] == "metric.test"]
    assert sites[-1]["examples"] == 24  # a fifth of each site's rows
    assert sites[-1]["worst"]["site"] in ("site0", "site1")
    summary = json.loads((tmp_path / "global" / "summary.json").read_text())
    assert summary["baseline"] is None
    assert summary["accuracy"] > 0.7
    assert summary["status"] == "completed"
    models = [(tmp_path / f / "model.safetensors").read_bytes() for f in ("global", "of-site0", "of-site1")]
    assert models[0] == models[1] == models[2]


def test_two_peers_in_the_plain_view(address: str, nervenet: Start, tmp_path: Path) -> None:
    where = ("--broker", address, "--run", "g", "--nodes", 2, *COMMON)
    peers = [
        nervenet("node", "peer", *where, "--name", f"p{k}", "--data", site(tmp_path, f"p{k}", k), "--quiet")
        for k in range(2)
    ]
    for peer in peers:
        peer.ok()
        assert re.search(r"accuracy 0\.\d+|accuracy 1\.0", peer.text), peer.text


def test_a_site_with_other_columns_is_named(address: str, nervenet: Start, tmp_path: Path) -> None:
    where = ("--broker", address, "--run", "odd", "--nodes", 3, *COMMON)
    files = [site(tmp_path, f"s{k}", k) for k in range(2)] + [site(tmp_path, "s2", 2, "a,b,d,y")]
    clients = [
        nervenet("node", "client", *where, "--name", f"s{k}", "--data", file, "--target", "y")
        for k, file in enumerate(files)
    ]
    coordinator = nervenet("node", "coordinator", *where)
    for command in (coordinator, *clients):
        assert command.wait() == 1
        assert "Traceback" not in command.text
        assert "s2" in command.err[-1], command.text
        assert "column" in command.err[-1]


def test_a_node_with_other_terms_is_refused_by_name(
    address: str, nervenet: Start, nervenet_here: Start, tmp_path: Path
) -> None:
    where = ("--broker", address, "--run", "terms", "--nodes", 2, "--set", "network.join_deadline_s=300")
    first = nervenet("node", "peer", *where, "--name", "p0", "--data", site(tmp_path, "a", 0), "--hidden", 8, "--json")
    first.says('"node.joined"')
    second = nervenet_here("node", "peer", *where, "--name", "p1", "--data", site(tmp_path, "b", 1), "--hidden", 16)
    assert second.wait() == 1
    assert "model.hidden=[16]" in second.err[-1], second.text
    assert "[8]" not in second.text, "a run's terms are told to its members alone"
    assert "Traceback" not in second.text
    first.kill(signal.SIGINT)
    assert first.wait() == 130


def test_too_few_nodes_are_counted_and_the_wait_ends(address: str, nervenet_here: Start, tmp_path: Path) -> None:
    where = ("--broker", address, "--run", "lonely", "--nodes", 3, "--set", "network.join_deadline_s=5")
    one = nervenet_here("node", "peer", *where, "--name", "p0", "--data", site(tmp_path, "a", 0))
    assert one.wait() == 1
    assert "Traceback" not in one.text
    assert "1 of 3" in one.err[-1], one.text


def test_a_node_without_a_broker_gives_up_in_time(nervenet_here: Start, tmp_path: Path) -> None:
    words = ("--broker", "tcp://127.0.0.1:1", "--run", "x", "--set", "network.join_deadline_s=1")
    node = nervenet_here("node", "client", *words, "--data", site(tmp_path, "a", 0), "--target", "y")
    assert node.wait() == 1
    assert "tcp://127.0.0.1:1" in node.err[-1]
    assert "Traceback" not in node.text


def test_a_name_belongs_to_whoever_answers_to_it(address: str, nervenet: Start, tmp_path: Path) -> None:
    one = ("node", "peer", "--broker", address, "--run", "names", "--nodes", 2, *COMMON, "--name", "p0")
    words = (*one, "--data", site(tmp_path, "a", 0))
    first = nervenet(*words, "--json")
    first.says('"node.joined"')
    second = nervenet(*words)
    assert second.wait() == 2
    assert re.search(rf"p0 is taken in run 'names' .*\(pid {first.pid} at tcp.*--replace", second.err[-1]), second.text
    third = nervenet(*words, "--replace", "--json")
    assert first.wait() == 1
    assert f"has the name now (pid {third.pid} at tcp" in first.err[-1], first.text
    third.says('"node.joined"')
    third.kill(signal.SIGSTOP)
    nervenet(*words, "--json").says('"node.joined"')
    third.kill(signal.SIGCONT)
    assert third.wait() == 1
