"""``nervenet doctor`` beside real processes: what it says of a site in order, and of one with a fault."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from .conftest import Command, Here

pytestmark = pytest.mark.e2e


def looked_at(address: str, folder: Path, *more: str) -> tuple[int, list[dict[str, Any]]]:
    """The exit code and the findings of a doctor who is given a broker."""
    run = Here("doctor", "--broker", address, "--name", "north", *more, "--json", "--out", folder, cwd=folder)
    return run.wait(), [json.loads(line) for line in run.out]


def test_a_site_in_order_has_no_problem_and_a_fault_is_named(nervenet: Any, tmp_path: Path) -> None:
    broker: Command = nervenet("broker", "--bind", "tcp://127.0.0.1:0")
    address = broker.says("tcp://").split()[-1]
    code, found = looked_at(address, tmp_path, "--mode", "gossip", "--advertise", "127.0.0.1")
    assert (code, [finding for finding in found if finding["state"] == "problem"]) == (0, [])
    said = [finding["found"] for finding in found]
    assert f"the broker answers at {address}" in said
    assert any("reaches" in text for text in said), said  # it has dialed this node back

    broker.kill(signal.SIGTERM)
    broker.wait()
    code, found = looked_at(address, tmp_path)
    (problem,) = [finding for finding in found if finding["state"] == "problem"]
    assert (code, problem["found"]) == (1, f"nothing is reached at {address}: Connection refused")
    assert "start it: nervenet broker" in problem["remedy"]
