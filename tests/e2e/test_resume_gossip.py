"""Gossip runs whose every process is killed with -9, and that are gone on with: each peer's weights, byte for byte."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nervenet.nodes.checkpoint.state_file import path_of, read_state, rounds_in
from nervenet.nodes.results.event_log import read_events
from nervenet.nodes.results.run_dir import checkpoint_dir

pytestmark = pytest.mark.e2e
Start = Callable[..., Any]
ENDLESS = 1_000_000  # it is killed whenever that is seen to; how many rounds there are to be is decided after
MORE = 20
PEERS = ("peer-0", "peer-1", "peer-2", "peer-3")
WORDS = ("--mode", "gossip", "--data", "iris", "--nodes", len(PEERS))
WORDS += ("--set", "gossip.topology=ring", "--set", "evaluation.every=50", "--set", "evaluation.baseline=false")
WORDS += ("--set", "network.suspect_after_s=20")  # on a busy machine, too, nobody is to be left out of a round


def incarnations(folder: Path) -> list[tuple[int, dict[str, list[int]]]]:
    """For each incarnation of a run, the round after which it went on, and those that each peer completed."""
    found: list[tuple[int, dict[str, list[int]]]] = []
    for event in read_events(folder):
        if event.get("type") == "run.started":
            found.append((event.get("resumed_after", -1), {}))
        elif event.get("type") == "round.completed":
            found[-1][1].setdefault(event["node"], []).append(event["round"])
    return found


def final(folder: Path, number: int) -> dict[str, dict[str, bytes]]:
    """Everything that each peer ended with."""
    return {
        name: {key: array.tobytes() for key, array in read_state(checkpoint_dir(folder, name), number).arrays.items()}
        for name in PEERS
    }


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(
            (
                *("--set", "gossip.algorithm=choco", "--set", "gossip.compression=top-k:0.1+int8"),
                *("--set", "training.optimizer=adam"),
            ),
            id="choco with Adam",
        ),
    ],
)
def test_a_run_whose_every_process_was_killed_ends_with_the_bits_of_one_that_was_not(
    launch: Start,
    nervenet: Start,
    launch_here: Start,
    nervenet_here: Start,
    tmp_path: Path,
    until: Start,
    words: tuple[str, ...],
) -> None:
    run = launch(*WORDS, *words, "--rounds", ENDLESS)
    until(lambda: all(rounds_in(checkpoint_dir(run.folder, name))[:1] > [8] for name in PEERS), "some states")
    until(lambda: incarnations(run.folder) and incarnations(run.folder)[0][1], "and the events until then")
    run.kill(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    until(lambda: not run.family(), "its nodes go with it")
    first = max(rounds_in(checkpoint_dir(run.folder, "peer-0")))

    # Killed a second time, and with a newest state that is cut short.
    second = nervenet("launch", "--resume", run.folder, "--json")
    until(
        lambda: len(incarnations(run.folder)) == 2 and incarnations(run.folder)[1][1],
        "rounds of the second incarnation",
    )
    second.kill(signal.SIGKILL)
    assert second.wait() == -signal.SIGKILL
    until(lambda: not second.family(), "its nodes go with it")
    held = [set(rounds_in(checkpoint_dir(run.folder, name))) for name in PEERS]
    common = set.intersection(*held)
    broken = path_of(checkpoint_dir(run.folder, "peer-2"), max(common))
    broken.write_bytes(broken.read_bytes()[:-1])

    rounds = max(set.union(*held)) + MORE
    third = nervenet_here("launch", "--resume", run.folder, "--rounds", rounds, "--json").ok()
    assert any("peer-2" in x and "is damaged" in x for x in third.out if '"warning"' in x)
    whole = launch_here(*WORDS, *words, "--rounds", rounds, out="whole").ok().summary()
    assert final(run.folder, rounds) == final(tmp_path / "whole", rounds)
    assert (run.folder / "model.safetensors").read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()

    reported = incarnations(run.folder)
    assert len(reported) == 3
    assert 0 < reported[1][0] <= first
    for after, completed in reported:
        for numbers in completed.values():
            assert numbers == list(range(after + 1, after + 1 + len(numbers)))
    assert reported[-1][0] < max(common)
    assert all(completed[-1] == rounds for completed in reported[-1][1].values())
    summary = run.summary()
    assert summary["completed_rounds"] == rounds
    assert summary["resumed_after"] == reported[-1][0]
    assert summary["undisturbed"], summary["disturbances"]
    assert {key: summary[key] for key in ("accuracy", "loss")} == {key: whole[key] for key in ("accuracy", "loss")}


def test_a_run_that_is_complete_says_so_and_goes_on_when_more_is_asked_of_it(
    launch_here: Start, nervenet_here: Start, tmp_path: Path
) -> None:
    launch_here(*WORDS, "--rounds", 25, out="whole").ok()
    launch_here(*WORDS, "--rounds", 20).ok()
    complete = nervenet_here("launch", "--resume", "run")
    assert complete.wait() == 2
    assert "the run is complete: 20 of 20 rounds; raise --rounds to go on" in complete.err[-1]
    nervenet_here("launch", "--resume", "run", "--rounds", 25, "--quiet").ok()
    assert final(tmp_path / "run", 25) == final(tmp_path / "whole", 25)
    assert {tuple(rounds) for rounds in incarnations(tmp_path / "run")[-1][1].values()} == {(21, 22, 23, 24, 25)}

    path_of(checkpoint_dir(tmp_path / "run", "peer-1"), 25).unlink()
    for name in PEERS:
        if name != "peer-1":
            for number in rounds_in(checkpoint_dir(tmp_path / "run", name)):
                if number != 25:
                    path_of(checkpoint_dir(tmp_path / "run", name), number).unlink()
    (tmp_path / "run/summary.json").unlink()
    none = nervenet_here("launch", "--resume", "run")
    assert none.wait() == 2
    assert "there is no round that every peer could go on from: peer-0 has 25; peer-1 has" in none.err[-1]


def test_peers_by_hand_agree_among_themselves_where_to_go_on(nervenet: Start, tmp_path: Path, until: Start) -> None:
    broker = nervenet("broker", "--bind", "tcp://127.0.0.1:0")
    address = broker.says("directory").split()[-1]

    def peers(run: str, rounds: int, *, again: bool = False) -> list[Any]:
        plan = ("--nodes", 2, "--data", "iris", "--set", "evaluation.every=50", "--set", "network.suspect_after_s=20")
        return [
            nervenet(
                *("node", "peer", "--broker", address, "--run", run if not again else f"{run}-again"),
                *(("--resume", f"{run}-{k}") if again else (*plan, "--name", f"site{k}", "--out", f"{run}-{k}")),
                *("--rounds", rounds),
            )
            for k in range(2)
        ]

    def held(run: str) -> list[list[int]]:
        return [rounds_in(checkpoint_dir(tmp_path / f"{run}-{k}", f"site{k}")) for k in range(2)]

    killed = peers("run", ENDLESS)
    until(lambda: all(rounds[:1] > [4] for rounds in held("run")), "some states")
    for peer in killed:
        peer.kill()
    for peer in killed:
        peer.wait()
    common = max(set.intersection(*map(set, held("run"))))
    rounds = max(max(each) for each in held("run")) + MORE
    for peer in peers("run", rounds, again=True):
        peer.ok()
    for peer in peers("whole", rounds):
        peer.ok()
    for k in range(2):
        one, other = (
            read_state(checkpoint_dir(tmp_path / f"{run}-{k}", f"site{k}"), rounds).arrays for run in ("whole", "run")
        )
        assert {name: array.tobytes() for name, array in one.items()} == {n: a.tobytes() for n, a in other.items()}
        assert json.loads((tmp_path / f"run-{k}" / "summary.json").read_text())["resumed_after"] == common
    broker.kill(signal.SIGTERM)
    broker.wait()
