"""Which run is the newest below a folder, and at which address its broker is: how a monitor finds it unasked."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from .run_dir import KEYS, NODES_LOG, read_nodes

RUNS = Path("runs")
STARTING_S = 30.0  # how long a run that has just begun is waited for, until its nodes are ready
LOOK_S = 0.2


async def find_broker(say: Callable[[str], None], root: Path = RUNS) -> tuple[str, str | None] | None:
    """Return `newest_broker`, as soon as no run is just starting; `say` that it is waited for, once."""
    said = False
    while (folder := starting_run(root, time.time())) is not None:
        if not said:
            said = True
            say(f"waiting for the nodes of {folder} to be ready, {STARTING_S:g} s at most")
        await asyncio.sleep(LOOK_S)
    return newest_broker(root)


def newest_broker(root: Path = RUNS) -> tuple[str, str | None] | None:
    """Return the broker's address of the newest run below ``root`` whose broker process is alive, or None; and the
    folder of that run's own keys, if it has one."""
    for folder, address in _living_brokers(root):
        keys = folder / KEYS
        return address, str(keys) if keys.is_dir() else None
    return None


def run_of_broker(address: str, root: Path = RUNS) -> Path | None:
    """Return the folder of the newest run below ``root`` that the broker of this address introduces, or None."""
    return next((folder for folder, known in _living_brokers(root) if known == address), None)


def _living_brokers(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield the runs whose broker's process is alive, the newest first, with its address."""
    for file in sorted(root.glob("*/nodes.json"), key=_changed_at, reverse=True):
        for facts in read_nodes(file.parent).values():
            if facts.get("role") == "broker" and _alive(facts.get("pid")) and isinstance(facts.get("address"), str):
                yield file.parent, str(facts["address"])


def starting_run(root: Path, now: float) -> Path | None:
    """Return the folder of a launch below ``root`` that has begun, or was resumed, less than `STARTING_S` ago, and has
    neither said yet where its nodes are nor how it has ended; None if there is none."""
    for log in root.glob(f"*/{NODES_LOG}"):  # which a launch alone writes
        folder = log.parent
        began = _changed_at(folder / "experiment.toml")
        told = max(_changed_at(folder / "nodes.json"), _changed_at(folder / "summary.json"))
        if told < began and abs(now - began) < STARTING_S:  # a file server's clock may be ahead, but not for long
            return folder
    return None


def _changed_at(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def _alive(pid: object) -> bool:
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True
