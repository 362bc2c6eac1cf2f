"""A site that declines, among real processes: the coordinator names it, and each node's log says what happened."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nervenet.nodes.audit.chain import records
from nervenet.nodes.audit.verify import verify

pytestmark = pytest.mark.e2e
Start = Callable[..., Any]


def site(folder: Path, name: str) -> Path:
    rows = [f"{k % 7},{k % 5},{int(k % 7 + k % 5 > 5)}" for k in range(40)]
    path = folder / f"{name}.csv"
    path.write_text("a,b,y\n" + "\n".join(rows) + "\n")
    return path


def logged(path: Path) -> list[dict[str, Any]]:
    return records([path.read_bytes()])


def vectors(path: Path) -> dict[str, set[str]]:
    """Return the hashes of the vectors that a log has, by kind of record."""
    found: dict[str, set[str]] = {}
    for record in logged(path):
        if "sha256" in record:
            found.setdefault(record["kind"], set()).add(record["sha256"])
    return found


def test_a_client_that_declines_too_many_rounds_is_named(nervenet: Start, tmp_path: Path) -> None:
    broker = nervenet("broker", "--bind", "tcp://127.0.0.1:0")
    address = broker.says("directory").split()[-1]
    (tmp_path / "site.toml").write_text("[site.allow]\nmax_rounds = 2\n")
    where = ("--broker", address, "--run", "study", "--nodes", 3, "--rounds", 3, "--set", "network.join_deadline_s=60")
    where += ("--set", "network.suspect_after_s=20")  # on a busy machine, too, nobody is to be left out of a round
    clients = [
        nervenet("node", "client", *where, "--name", name, "--data", site(tmp_path, name), "--out", f"of-{name}", *more)
        for name, more in (("s0", ()), ("s1", ()), ("s2", ("--site", "site.toml")))
    ]
    coordinator = nervenet("node", "coordinator", *where, "--out", "global", "--json").ok()
    assert [client.wait() for client in clients] == [0, 0, 1]
    reason = "site.allow.max_rounds: found 3 rounds; allowed: 2 at most"
    assert clients[2].err[-1].startswith(f"nervenet: this site took part in nothing: {reason} (docs/errors.md#")
    events = [json.loads(line) for line in coordinator.out if line.startswith("{")]
    declined = [event for event in events if event["type"] == "site.declined"]
    assert [(event["subject"], event["key"], event["reason"]) for event in declined] == [
        ("s2", "site.allow.max_rounds", reason)
    ]
    rounds = [event for event in events if event["type"] == "round.completed"]
    assert {event["missing"]["s2"] for event in rounds} == {f"declined: {reason}"}
    assert [event["participants"] for event in rounds] == [["s0", "s1"]] * 4
    for folder in ("global", "of-s0", "of-s1", "of-s2"):
        (_,), problems = verify(tmp_path / folder)
        assert problems == []
    own = [record for record in logged(tmp_path / "of-s2/audit/s2.jsonl") if record["kind"] == "sent"]
    assert {record["message"] for record in own} == {"declined"}
    sent, came = (vectors(tmp_path / log) for log in ("of-s0/audit/s0.jsonl", "global/audit/coordinator.jsonl"))
    assert len(sent["sent"]) == 4
    assert sent["sent"] <= came["received"], "the coordinator's log is the counterpart"
