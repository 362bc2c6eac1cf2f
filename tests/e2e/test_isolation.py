"""What a node process holds: its own part of the data, and no library that it has no use for."""

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc, which is there on Linux alone"),
]
HEAVY = ("/sklearn/", "/scipy/", "/matplotlib/", "/pandas/", "/pyarrow/")


def maps(pid: int) -> list[list[str]]:
    """Each mapped file: address, permissions, offset, device, inode, path."""
    return [line.split(maxsplit=5) for line in Path(f"/proc/{pid}/maps").read_text().splitlines() if line.count("/")]


def parts(pid: int) -> set[str]:
    """Inodes of the nameless files of data that a process can read: mapped, or held open."""
    mapped = {fields[4] for fields in maps(pid) if "nervenet-" in fields[-1] or "/#" in fields[-1]}
    held = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        target = descriptor.readlink() if descriptor.is_symlink() else Path()
        if "(deleted)" in str(target):
            held.add(str(descriptor.stat().st_ino))
    return mapped | held


@pytest.mark.parametrize(("mode", "judges"), [("federated", {"coordinator"}), ("gossip", {"peer"})])
def test_each_process_has_its_own_part_alone(
    mode: str, judges: set[str], launch: Callable[..., Any], until: Callable[..., Any]
) -> None:
    # Shares that are small are read, and held by nobody: those of the digits are not.
    words = ("--data", "digits", "--nodes", 4, "--rounds", 1_000_000, "--set", "evaluation.baseline=false")
    run = launch("--mode", mode, *words, fresh=True)
    run.in_round(3)
    nodes = run.nodes
    measuring = {name for name, node in nodes.items() if node["role"] in judges}
    until(lambda: {event["node"] for event in run.reported("metric.test")} >= measuring, "each has read the test set")
    found = {name: parts(node["pid"]) for name, node in nodes.items()}
    loaded = {
        name: [f[-1] for f in maps(node["pid"]) if any(h in f[-1] for h in HEAVY)] for name, node in nodes.items()
    }
    run.kill(signal.SIGTERM)
    assert run.wait() == 143

    assert not any(loaded.values()), loaded
    assert found.pop("broker") == set()
    shared = set.intersection(*(found[name] for name in found if nodes[name]["role"] in judges))
    own = {name: held - (shared if nodes[name]["role"] in judges else set()) for name, held in found.items()}
    if mode == "federated":
        assert own.pop("coordinator") == set()
    assert len(shared) == 1  # the test set
    for name, held in own.items():
        assert len(held) == 1, (name, held)
    assert len(set.union(*own.values())) == 4  # nobody's is anybody else's
    assert not shared & set.union(*own.values())
