"""Processes that die, hang or are told to stop in the middle of a run."""

import json
import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e
Start = Callable[..., Any]
QUICK = ("--data", "iris", "--nodes", 3, "--set", "evaluation.baseline=false")
ENDLESS = (*QUICK, "--rounds", 1_000_000)
CALM = ("--set", "network.suspect_after_s=20")  # on a busy machine, too, nobody is left behind


@pytest.mark.parametrize(("mode", "victim", "carrier"), [("federated", "client-2", "tcp"), ("gossip", "peer-2", "ipc")])
def test_a_killed_node_is_named_and_the_others_go_on(
    mode: str, victim: str, carrier: str, launch: Start, held: Callable[[], None]
) -> None:
    """Within which time is shown on virtual time, in tests/faults/test_scenarios.py."""
    with tempfile.TemporaryDirectory(prefix="nv-", dir="/tmp") as folder:  # a short path, wherever TMPDIR is
        bind = folder if carrier == "ipc" else "127.0.0.1"
        transport = ("--set", f"network.transport={carrier}", "--set", f"network.bind={bind}")
        run = launch("--mode", mode, *QUICK, "--rounds", 40, *transport, "--model", "held:Held")
        run.in_round(9)
        assert bool(list(Path(folder).iterdir())) == (carrier == "ipc")
        os.kill(run.nodes[victim]["pid"], signal.SIGKILL)
        held()
        run.ok()
        assert list(Path(folder).iterdir()) == [], "not even a killed node leaves its addresses on the disk"
    summary = run.summary()
    assert summary["nodes_lost"] == [victim]
    assert "SIGKILL" in summary["lost_because"][victim]
    assert summary["completed_rounds"] == 40
    assert summary["status"] == "completed"
    assert not summary["undisturbed"]


def test_without_its_coordinator_a_run_fails_and_says_so(launch: Start) -> None:
    run = launch("--mode", "federated", *ENDLESS)
    run.in_round(5)
    os.kill(run.nodes["coordinator"]["pid"], signal.SIGKILL)
    assert run.wait() == 1
    assert "coordinator" in run.err[-1]
    assert "SIGKILL" in run.err[-1]
    assert run.summary()["status"] == "failed"
    assert run.summary()["completed_rounds"] >= 4, "what its events told is kept, though it cannot report it"


def test_training_goes_on_without_a_broker_and_monitors_come_back(launch: Start, nervenet: Start, until: Start) -> None:
    run = launch("--mode", "gossip", *ENDLESS)
    monitor = nervenet("monitor", "--broker", run.broker(), "--json")
    run.in_round(5)
    monitor.says('"round.completed"')
    os.kill(run.nodes["broker"]["pid"], signal.SIGKILL)
    reported = until(
        lambda: next((e for e in run.reported("warning", node="launcher") if "SIGKILL" in e["reason"]), None),
        "the launcher says so",
    )
    seen = len(monitor.out)
    until(lambda: any('"round.completed"' in line for line in monitor.out[seen:]), "the monitor hears rounds again")
    until(
        lambda: any(e["time"] > reported["time"] for e in run.reported("round.completed", node="peer-0")),
        "the launcher hears rounds again",
    )
    assert not run.reported("node.lost")
    run.kill(signal.SIGINT)
    assert run.wait() == 130


@pytest.mark.parametrize("mode", ["federated", "gossip"])
def test_a_node_that_stands_still_is_waited_for_no_longer_and_taken_back(
    mode: str, launch: Start, until: Start
) -> None:
    run = launch("--mode", mode, *ENDLESS)
    run.in_round(10)
    name = "client-1" if mode == "federated" else "peer-1"
    pid = run.nodes[name]["pid"]
    os.kill(pid, signal.SIGSTOP)
    suspect = run.heard("node.suspect", subject=name)
    until(
        lambda: len([e for e in run.reported("round.completed") if e["time"] > suspect["time"]]) > 5,
        "rounds without it",
    )
    os.kill(pid, signal.SIGCONT)
    continued_at = time.time()

    def back() -> bool:
        late = [e for e in run.reported("round.completed") if e["time"] > continued_at]
        if mode == "gossip":
            return any(e["node"] == name for e in late)
        return any(name in e["participants"] for e in late)

    until(back, f"{name} takes part again")
    run.kill(signal.SIGTERM)
    assert run.wait() == 143
    assert run.summary()["nodes_lost"] == []


@pytest.mark.parametrize(
    ("mode", "number", "code"),
    [
        ("gossip", signal.SIGINT, 130),
        ("federated", signal.SIGTERM, 143),
        ("federated", signal.SIGKILL, -9),
        ("gossip", signal.SIGKILL, -9),
    ],
)
def test_the_launcher_takes_everybody_with_it(
    mode: str, number: int, code: int, launch: Start, until: Start, still_alive: Start
) -> None:
    # Started in the background, where the shell has it ignore SIGINT; and Ctrl-C reaches the nodes as well.
    run = launch("--mode", mode, *ENDLESS, *CALM, ignoring_sigint=True)
    run.in_round(6)  # then every peer has completed five
    family = [*run.family(), *(node["pid"] for node in run.nodes.values())]
    file = run.folder / "events.jsonl"
    until(lambda: len(file.read_text().splitlines()) > 20, "events in the run folder")
    if number == signal.SIGINT:
        os.killpg(run.pid, number)
    else:
        run.kill(number)
    assert run.wait() == code
    until(lambda: not still_alive(family), "nobody is left")
    *lines, last = file.read_text().splitlines(keepends=True)
    assert len([json.loads(line) for line in lines]) >= 20
    assert json.loads(last) if number != signal.SIGKILL else True  # killed in the middle of a line
    if number != signal.SIGKILL:
        summary = run.summary()
        assert summary["status"] == "interrupted"
        assert summary["completed_rounds"] >= 5
        assert summary["nodes_lost"] == []
        assert (run.folder / "model.safetensors").exists()
        assert run.err[-1].strip() == f"nervenet: stopped by {signal.Signals(number).name}"


@pytest.mark.parametrize(
    ("mode", "number"), [("federated", signal.SIGHUP), ("federated", signal.SIGTERM), ("gossip", signal.SIGTERM)]
)
def test_a_signal_to_the_whole_group_costs_no_model(mode: str, number: signal.Signals, launch: Start) -> None:
    """A closed terminal hangs up on everybody; a service manager and timeout(1) terminate everybody."""
    run = launch("--mode", mode, *ENDLESS, *CALM)
    run.in_round(5)
    os.killpg(run.pid, number)
    assert run.wait() == 128 + number
    assert (run.folder / "model.safetensors").exists()
    summary = run.summary()
    assert summary["status"] == "interrupted"
    assert summary["completed_rounds"] >= 4  # a peer may be a round behind
    assert summary["nodes_lost"] == []
    nodes = {name for name, node in run.nodes.items() if node["role"] != "broker"}
    assert {name for name, node in summary["by_node"].items() if node["bytes_sent"]} == nodes, "all have reported"
    assert not run.reported("node.lost", node="launcher")
    assert not [warning for warning in run.reported("warning", node="launcher") if "broker was" in warning["reason"]]


PATIENT = """
from nervenet.nodes.launching import run_ending
from nervenet.scripts.main import main
run_ending.STOP_S = 600.0
main()
"""


def test_a_second_signal_does_not_wait_for_an_orderly_end(
    launch: Start, until: Start, still_alive: Start, tmp_path: Path
) -> None:
    (tmp_path / "patient.py").write_text(PATIENT)
    run = launch("--mode", "federated", *ENDLESS, script=tmp_path / "patient.py")
    run.in_round(5)
    family = run.family()
    # One that stands still cannot end in an orderly way: the launcher would wait for it, ten minutes here.
    os.kill(run.nodes["client-0"]["pid"], signal.SIGSTOP)

    def ended() -> bool:
        run.kill(signal.SIGINT)  # a signal that comes before the one before was seen is none
        return run.process.poll() is not None

    until(ended, "it is over")
    assert run.wait() == 130
    assert not (run.folder / "curves.png").exists(), "an orderly end would have drawn it"
    until(lambda: not still_alive(family), "nobody is left")


def test_a_signal_before_anything_has_started(launch: Start) -> None:
    run = launch("--mode", "federated", *ENDLESS)
    run.says("broker tcp://")
    run.kill(signal.SIGINT)
    assert run.wait() == 130
