"""Peer processes: some die, one is stopped, the broker dies for good, one joins through a peer, the network is cut."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nervenet.models import datasets
from nervenet.models.data.splits import split

from .. import warm

pytestmark = pytest.mark.e2e
Start = Callable[..., Any]
HERE = Path(__file__).parent
ENDLESS, PACE_S = 1_000_000, 0.05
MEASURED = 50  # every so many rounds
LOST = 0.03  # how much worse than without any disturbance the living may end


class Gossiper:
    """One peer process, and what it says."""

    def __init__(self, *words: object, network: str | None = None) -> None:
        self.lines: list[str] = []
        self.process = warm.start(
            [sys.executable, str(HERE / "gossiper.py"), *map(str, words)],
            network=network,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._reader = threading.Thread(target=self.lines.extend, args=(self.process.stdout,), daemon=True)
        self._reader.start()

    @property
    def address(self) -> str:
        return next((line.split()[1] for line in self.lines if line.startswith("at ")), "")

    @property
    def round(self) -> int:
        reported = [
            json.loads(line) for line in list(self.lines) if line.startswith('{"round"') and line.endswith("}\n")
        ]
        return int(reported[-1]["round"]) if reported else 0

    def kill(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def result(self, within_s: float = 180.0) -> dict[str, Any]:
        self.process.wait(within_s)
        self._reader.join(60)
        assert self.lines, "it said nothing"
        assert self.lines[-1].startswith("{"), "".join(self.lines[-20:])
        return dict(json.loads(self.lines[-1]))

    def close(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait(60)
        self._reader.join(60)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits as the processes read them."""
    train, test = split(datasets.load("digits"), 0.2, 42)
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    np.savez(path, X=train.X, y=train.y, test_X=test.X, test_y=test.y)
    return path


@pytest.fixture
def gossipers(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Gossiper]]:
    """Start peers; they are ended with the test."""
    monkeypatch.setenv("GOSSIPER_DATA", str(digits))
    monkeypatch.setenv("GOSSIPER_LAST", str(tmp_path / "last"))
    started: list[Gossiper] = []

    def start(*words: object, **more: Any) -> Gossiper:
        started.append(Gossiper(*words, **more))
        return started[-1]

    yield start
    for gossiper in started:
        gossiper.close()


@pytest.fixture
def broker(nervenet: Start) -> Any:
    """A broker in a process of its own."""
    command = nervenet("broker", "--bind", "tcp://127.0.0.1:0")
    command.address = command.says("directory").split()[-1]
    return command


def end_soon(folder: Path, peers: list[Gossiper]) -> int:
    """Let peers end, some rounds from now; gives the round from which on they do. Until then their run has no end."""
    soon = (max(peer.round for peer in peers) // MEASURED + 2) * MEASURED
    (folder / "soon").write_text(str(soon))
    (folder / "soon").rename(folder / "last")
    return soon


def eight(gossipers: Start, address: str, run: str, rounds: int = ENDLESS) -> list[Gossiper]:
    return [gossipers(address, run, f"peer-{k}", k, 8, rounds, PACE_S) for k in range(8)]


def test_peers_die_stall_and_come_and_the_living_end_as_well_as_without(
    broker: Any, gossipers: Start, until: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("GOSSIPER_SUSPECTS", "20")  # on a busy machine, too, nobody is to be left out
        calm = [peer.result() for peer in eight(gossipers, broker.address, "calm", 30)]
    assert all(found["round"] == 30 for found in calm)  # as good as it gets
    assert not [found["disturbed"] for found in calm if found["disturbed"]]
    undisturbed = sum(found["accuracy"] for found in calm) / 8

    peers = eight(gossipers, broker.address, "rough")
    until(lambda: all(peer.round >= 20 for peer in peers), "all train")
    broker.kill(signal.SIGKILL)
    peers[2].kill(signal.SIGKILL)
    at = max(peer.round for peer in peers)
    until(lambda: peers[0].round >= at + 20, "they go on without the dead")
    zoe = gossipers(f"+{peers[5].address}", "rough", "zoe", 2, 8, ENDLESS, PACE_S)  # has the rows of the dead
    until(lambda: zoe.round >= 1, "one that knows a single peer takes part")
    assert zoe.round > 20, "not from the beginning"
    peers[3].kill(signal.SIGKILL)
    peers[6].kill(signal.SIGSTOP)
    at = max(peer.round for peer in peers)
    until(lambda: peers[5].round >= at + 30, "its neighbors go on without the stopped one")
    stopped_at = peers[6].round
    peers[6].kill(signal.SIGCONT)
    caught_up = max(peer.round for peer in peers)
    until(lambda: peers[6].round >= caught_up, "it is back among them")
    last = end_soon(tmp_path, peers)

    found = {k: peers[k].result() for k in (0, 1, 4, 5, 6, 7)} | {"zoe": zoe.result()}
    for result in found.values():
        assert "failed" not in result
        assert result["round"] >= last
        assert result["accuracy"] >= undisturbed - LOST
    reported = " ".join(found[0]["disturbed"])
    assert all(f"lost peer-{k}" in reported for k in (2, 3, 6)), reported
    assert any(
        "left behind" in line and stopped_at < int(line.split("round ")[1].split()[0]) for line in found[6]["warnings"]
    )
    assert not any("lost" in line for line in found[6]["disturbed"] if "peer-2" not in line and "peer-3" not in line)
    assert any("joined late" in line for line in found["zoe"]["warnings"])
    assert any("goes on without it" in line for line in found[1]["warnings"]), "the broker"


def test_a_seed_peer_that_does_not_answer_is_named_in_time(nervenet_here: Start) -> None:
    words = ("--seed-peer", "tcp://127.0.0.1:1", "--run", "x", "--set", "network.join_deadline_s=1")
    peer = nervenet_here("node", "peer", *words, "--data", "iris", "--nodes", 2)
    assert peer.wait() == 1
    assert "tcp://127.0.0.1:1" in peer.err[-1]
    assert "within 1 s" in peer.err[-1]
    assert "Traceback" not in peer.text


def test_a_launched_run_takes_no_peer_that_its_launcher_has_not_started(launch: Start, nervenet_here: Start) -> None:
    run = launch("--mode", "gossip", "--data", "iris", "--nodes", 3, "--rounds", 1_000_000)
    run.in_round(2)
    name = run.events[0]["run"]
    words = ("--seed-peer", run.nodes["peer-1"]["address"], "--run", name, "--data", "iris", "--nodes", 3)
    peer = nervenet_here("node", "peer", *words)
    assert peer.wait() == 1
    assert "takes only nodes that its launcher has started" in peer.err[-1]
    run.kill(signal.SIGINT)
    run.wait()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("client", "--seed-peer", "tcp://127.0.0.1:1"), "is for peers"),
        (("peer",), "expected --broker, or --seed-peer"),
        (("peer", "--broker", "tcp://127.0.0.1:1", "--seed-peer", "tcp://127.0.0.1:1"), "one address"),
    ],
)
def test_one_way_in_and_no_other(nervenet_here: Start, words: tuple[str, ...], reason: str) -> None:
    command = nervenet_here("node", *words, "--run", "x", "--data", "iris")
    assert command.wait() == 2
    assert reason in command.err[-1]


def test_of_two_with_one_name_the_older_is_told_and_stops(
    broker: Any, gossipers: Start, until: Start, tmp_path: Path
) -> None:
    peers = [gossipers(broker.address, "two", f"peer-{k}", k, 3, ENDLESS, PACE_S) for k in range(3)]
    until(lambda: all(peer.round >= 10 for peer in peers), "all train")
    broker.kill(signal.SIGKILL)
    newer = gossipers(f"++{peers[0].address}", "two", "peer-1", 1, 3, ENDLESS, PACE_S)
    older = peers[1].result()
    assert "started again" in older["failed"]
    until(lambda: newer.round >= 1, "the newer one takes part")
    living = [peers[0], peers[2], newer]
    last = end_soon(tmp_path, living)
    for peer in living:
        assert peer.result()["round"] >= last


# ------------------------------------------------------------------------------------- a cut between network namespaces

SIDES = tuple(f"nn-{side}-{os.getpid()}" for side in ("left", "right"))


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def two_networks() -> Iterator[None]:
    """Two namespaces, joined by a pair of virtual cables; skipped where the machine does not allow it."""
    if shutil.which("ip") is None:
        pytest.skip("no ip command (iproute2)")
    try:
        for side in SIDES:
            _ip("netns", "add", side)
        _ip("link", "add", "nn0", "netns", SIDES[0], "type", "veth", "peer", "name", "nn1", "netns", SIDES[1])
        for k, side in enumerate(SIDES):
            _ip("-n", side, "addr", "add", f"10.77.0.{k + 1}/24", "dev", f"nn{k}")
            _ip("-n", side, "link", "set", "lo", "up")
            _ip("-n", side, "link", "set", f"nn{k}", "up")
    except (subprocess.CalledProcessError, OSError) as error:
        for side in SIDES:
            with suppress(subprocess.CalledProcessError, OSError):
                _ip("netns", "del", side)
        reason = getattr(error, "stderr", b"") or str(error).encode()
        pytest.skip(f"network namespaces are not allowed here: {reason.decode().strip()}")
    yield
    for side in SIDES:
        _ip("netns", "del", side)


def _distance(folder: Path, number: int) -> float:
    """Consensus distance of the models after a round."""
    x = np.array([np.load(folder / f"peer-{k}-{number}.npy") for k in range(8)])
    return float(np.sqrt(((x - x.mean(axis=0)) ** 2).sum(axis=1).mean()))


@pytest.mark.usefixtures("two_networks")
def test_a_cut_between_four_and_four_heals_into_one_run(gossipers: Start, until: Start, tmp_path: Path) -> None:
    directory = warm.start(
        [sys.executable, *warm.NERVENET, "broker", "--bind", "tcp://10.77.0.1:5555", "--insecure"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        network=SIDES[0],
    )
    peers: list[Gossiper] = []

    def whole() -> int:
        """The last round whose models all peers have written; 0: there is none. One that is behind skips some."""
        past = min(peer.round for peer in peers)  # of these nothing is being written any more
        there = [{int(path.stem.split("-")[2]) for path in tmp_path.glob(f"peer-{k}-*.npy")} for k in range(8)]
        return max((number for number in set.intersection(*there) if number < past), default=0)

    try:
        for k in range(8):
            place = (f"10.77.0.{k // 4 + 1}", str(tmp_path))
            words = ("tcp://10.77.0.1:5555", "cut", f"peer-{k}", k, 8, 100_000, PACE_S, *place)
            peers.append(gossipers(*words, network=SIDES[k // 4]))
        until(lambda: whole() >= 30, "all train")
        before = _distance(tmp_path, whole())
        _ip("-n", SIDES[0], "link", "set", "nn0", "down")
        cut_at = max(peer.round for peer in peers)
        until(lambda: all(peer.round >= cut_at + 100 for peer in peers), "both halves go on")
        until(lambda: _distance(tmp_path, whole()) > 1.5 * before, "and grow apart")
        _ip("-n", SIDES[0], "link", "set", "nn0", "up")
        healed_at = max(peer.round for peer in peers)
        until(lambda: whole() > healed_at and _distance(tmp_path, whole()) < before, "they become one again", 120.0)
        for peer in peers:
            peer.kill(signal.SIGTERM)
        found = [peer.result() for peer in peers]
    finally:
        directory.kill()
        directory.wait(60)
    assert not any("failed" in result for result in found)
    assert all("lost peer-7" in " ".join(result["disturbed"]) for result in found[:4])
    assert all("lost peer-0" in " ".join(result["disturbed"]) for result in found[4:])
