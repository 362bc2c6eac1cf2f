"""The run that a monitor finds by itself: the newest whose broker lives, also where its nodes are still starting."""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from nervenet.nodes.results import newest_run
from nervenet.nodes.results.newest_run import STARTING_S, find_broker, newest_broker, starting_run


def broker_of(folder: Path, pid: int, address: str, changed_at: float | None = None) -> None:
    folder.mkdir(exist_ok=True)
    file = folder / "nodes.json"
    file.write_text(json.dumps({"broker": {"role": "broker", "pid": pid, "address": address}}))
    if changed_at is not None:
        os.utime(file, (changed_at, changed_at))


@pytest.mark.e2e
def test_the_newest_run_with_a_living_broker_is_found(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for age, (name, pid) in enumerate((("dead", ended.pid), ("alive", os.getpid()), ("older", os.getpid()))):
        broker_of(tmp_path / name, pid, f"tcp://127.0.0.1:{age}", 1000 - age)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "nodes.json").write_text("{")
    assert newest_broker(tmp_path) == ("tcp://127.0.0.1:1", None)
    assert newest_broker(tmp_path / "nowhere") is None


def starting(root: Path, name: str = "new", changed_at: float | None = None) -> Path:
    """Make the folder of a launch whose nodes are not ready yet."""
    folder = root / name
    folder.mkdir(exist_ok=True)
    for file in ("experiment.toml", "nodes.log"):
        (folder / file).touch()
        if changed_at is not None:
            os.utime(folder / file, (changed_at, changed_at))
    return folder


def test_a_run_is_starting_until_it_says_where_its_nodes_are_or_how_it_ended(tmp_path: Path) -> None:
    now = 1e9
    folder = starting(tmp_path, changed_at=now - 1)
    assert starting_run(tmp_path, now) == folder
    assert starting_run(tmp_path, now + STARTING_S) is None, "by then it has failed, or was killed"
    assert starting_run(tmp_path, now - 2 * STARTING_S) is None, "of a clock so far ahead nobody waits until then"
    broker_of(folder, 1, "", now - 0.5)
    assert starting_run(tmp_path, now) is None
    starting(tmp_path, changed_at=now - 0.1)
    assert starting_run(tmp_path, now) == folder, "it was resumed"
    (folder / "summary.json").touch()
    assert starting_run(tmp_path, now) is None


def test_a_node_that_was_started_by_itself_is_waited_for_by_nobody(tmp_path: Path) -> None:
    (starting(tmp_path, changed_at=1e9) / "nodes.log").unlink()
    assert starting_run(tmp_path, 1e9) is None


async def found_by_a_monitor_that_is_early(tmp_path: Path) -> tuple[tuple[str, str | None] | None, list[str]]:
    """Return what is found by who looks while the nodes of the newest run start, and what is said meanwhile."""
    broker_of(tmp_path / "older", os.getpid(), "tcp://127.0.0.1:1", time.time() - 60)
    folder, said = starting(tmp_path), list[str]()
    looking = asyncio.create_task(find_broker(said.append, tmp_path))
    for _ in range(5):
        await asyncio.sleep(0)
    broker_of(folder, os.getpid(), "tcp://127.0.0.1:2")
    async with asyncio.timeout(60):
        return await looking, said


async def test_a_monitor_waits_for_the_run_that_is_just_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(newest_run, "LOOK_S", 0.001)
    found, said = await found_by_a_monitor_that_is_early(tmp_path)
    assert found == ("tcp://127.0.0.1:2", None)
    assert said == [f"waiting for the nodes of {tmp_path / 'new'} to be ready, 30 s at most"]


async def test_without_that_it_would_watch_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newest_run, "starting_run", lambda *_: None)
    found, _ = await found_by_a_monitor_that_is_early(tmp_path)
    assert found == ("tcp://127.0.0.1:1", None)
