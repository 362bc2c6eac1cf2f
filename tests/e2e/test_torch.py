"""The example of PyTorch as it says of itself. Skipped where PyTorch is not installed: `make test-torch`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

pytest.importorskip("torch")
pytestmark = pytest.mark.e2e


def test_a_convolutional_network_is_embedded_in_both_modes() -> None:
    done = subprocess.run([sys.executable, EXAMPLES / "torch_digits.py"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    reached = [float(line.rpartition(" ")[2]) for line in done.stdout.splitlines()]
    assert len(reached) == 5 + 4  # a line a round of the federation, and one a peer
    assert min(reached[-5:]) > 0.8


@pytest.mark.parametrize("mode", ["federated", "gossip"])
def test_a_convolutional_network_is_launched(mode: str, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "nervenet.scripts.main",
        "launch",
        "--data",
        "digits",
        "--nodes",
        "3",
        "--rounds",
        "3",
    ]
    model = ["--model", "torch_digits:DigitsCNN", "--epochs", "2", "--mode", mode, "--out", tmp_path / "run", "--quiet"]
    done = subprocess.run([*command, *model], cwd=EXAMPLES, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((tmp_path / "run" / "summary.json").read_text(encoding="utf-8"))
    assert summary["status"] == "completed"
    assert summary["accuracy"] > 0.9
