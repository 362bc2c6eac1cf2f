"""Processes that are killed while they share memory: the others go on, and read no wrong byte."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from nervenet.broker.shared_memory.region import can_be_made

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(not can_be_made(), reason="no memory with such seals here")]

KILLS = Path(__file__).parents[2] / "benchmarks" / "shared_memory_kills.py"


def test_who_is_killed_in_the_midst_leaves_the_others_with_whole_vectors() -> None:
    words = [sys.executable, str(KILLS), "--kills", "6", "--parameters", "300000", "--no-rival"]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "0 wrong; 0 hangs" in ended.stdout
