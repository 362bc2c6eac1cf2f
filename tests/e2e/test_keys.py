"""Runs with keys: real processes that encrypt and authenticate, one of them shut out and let in again."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nervenet.broker.disconnects import LEFT

pytestmark = pytest.mark.e2e
Start = Callable[..., Any]
ENDLESS = 1_000_000
CALM = ("--set", "network.suspect_after_s=20")  # on a busy machine, too, nobody is to be left out of a round


def events_of(run: Path, kind: str) -> list[dict[str, Any]]:
    file = run / "events.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return [event for line in lines if line.endswith("}") and (event := json.loads(line))["type"] == kind]


@pytest.mark.parametrize("mode", ["federated", "gossip"])
def test_three_nodes_with_keys_and_nobody_is_refused(mode: str, nervenet: Start, tmp_path: Path) -> None:
    launch = ("launch", "--mode", mode, "--nodes", 3, "--rounds", 3, "--data", "iris", "--keys", "k", "--out", "run")
    nervenet(*launch, "--processes", 2, *CALM).ok()
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["undisturbed"]
    assert summary["accuracy"] > 0.6
    refused = events_of(tmp_path / "run", "connection.refused")
    assert not [event for event in refused if event["reason"] != LEFT]  # who ends in mid-handshake was not refused
    assert "insecure" not in summary
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "k").glob("*.key"))


def test_beyond_loopback_a_launch_makes_keys_and_throws_them_away(nervenet: Start, tmp_path: Path) -> None:
    away = ("--set", "network.bind=0.0.0.0", "--set", "network.advertise=127.0.0.1")
    launch = nervenet("launch", "--nodes", 2, "--rounds", 2, "--data", "iris", *away, "--out", "run").ok()
    assert any("--keys run/keys" in line or f"--keys {tmp_path}/run/keys" in line for line in launch.out)
    assert not (tmp_path / "run" / "keys").exists()
    assert "keys" not in (tmp_path / "run" / "experiment.toml").read_text()


def test_a_launcher_that_is_killed_leaves_no_secrets(nervenet: Start, until: Start, tmp_path: Path) -> None:
    run = tmp_path / "run"
    away = ("--set", "network.bind=0.0.0.0", "--set", "network.advertise=127.0.0.1")
    launch = nervenet("launch", "--nodes", 2, "--rounds", ENDLESS, "--data", "iris", *away, "--out", "run")
    until(lambda: events_of(run, "run.started"), "the broker is there")
    assert list((run / "keys").glob("*.key"))
    launch.kill(signal.SIGKILL)
    until(lambda: not (run / "keys").exists(), "whoever forks the nodes has removed them")


def test_the_keys_of_a_site_are_no_place_for_those_of_a_launch(nervenet: Start, tmp_path: Path) -> None:
    nervenet("keys", "new", "hub", "--role", "broker,coordinator", "--out", "hub").ok()
    before = sorted(tmp_path.rglob("*"))
    launch = nervenet("launch", "--nodes", 2, "--rounds", 1, "--data", "iris", "--keys", "hub", "--out", "run")
    assert launch.wait() == 2
    assert any("hub.key" in line and "another folder" in line for line in launch.err)
    assert not [path for path in sorted(tmp_path.rglob("*")) if path not in before and "hub" in path.parts]
    assert not (tmp_path / "run").exists()


def test_insecure_is_said_in_every_event_and_in_the_summary(nervenet: Start, tmp_path: Path) -> None:
    away = ("--set", "network.bind=0.0.0.0", "--set", "network.advertise=127.0.0.1", "--insecure")
    launch = nervenet("launch", "--nodes", 2, "--rounds", 2, "--data", "iris", *away, "--out", "run").ok()
    assert any("insecure: nothing is encrypted" in line for line in launch.err)
    assert any("insecure: not encrypted" in line for line in launch.out)
    events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    assert all(event.get("insecure") for event in events if event["node"] != "stream")
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["insecure"]


def test_a_client_is_shut_out_and_let_in_again_in_mid_run(nervenet: Start, until: Start, tmp_path: Path) -> None:
    run = tmp_path / "run"
    long = ("--rounds", ENDLESS, "--set", "evaluation.every=1000", "--set", "evaluation.baseline=false")
    launch = nervenet("launch", "--nodes", 3, "--data", "iris", *long, "--keys", "k", "--out", "run")

    def rounds(after: int = 0) -> list[dict[str, Any]]:
        return [event for event in events_of(run, "round.completed") if event["round"] > after]

    def shares(after: int, *names: str) -> bool:
        return any(event["participants"] == list(names) for event in rounds(after))

    everybody = ("client-0", "client-1", "client-2")
    until(lambda: shares(0, *everybody), "all train")
    nervenet("keys", "revoke", "client-1", "--keys", "k").ok()
    cut_at = rounds()[-1]["round"]
    until(lambda: shares(cut_at, "client-0", "client-2"), "the others go on")
    until(lambda: events_of(run, "connection.refused"), "and it is said who knocks")
    until(lambda: any("refused at the" in line for line in (*launch.out, *launch.err)), "to the user, too")
    nervenet("keys", "allow", "k/client-1.pub", "--role", "client", "--keys", "k").ok()
    back_at = rounds()[-1]["round"]
    until(lambda: shares(back_at, *everybody), "it is back")
    launch.kill(signal.SIGINT)
    assert launch.wait() == 130
