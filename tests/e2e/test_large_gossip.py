"""Peers that are launched with a model that no message carries: each puts its own into the run folder at its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from nervenet.models.artifact import read_model

pytestmark = pytest.mark.e2e


def test_a_gossip_run_in_chunks_leaves_the_model_of_one_in_messages(launch_here: Callable[..., Any]) -> None:
    wanted = ("--mode", "gossip", "--nodes", 3, "--rounds", 2, "--epochs", 1, "--set", "evaluation.baseline=false")
    patient = ("--set", "network.join_deadline_s=120", "--set", "network.suspect_after_s=60")
    small = ("--set", "model.hidden=[300]", "--set", "network.chunk_bytes=16384", "--set")
    limits = {"chunked": 1 << 16, "whole": 1 << 20}
    runs = {
        out: launch_here(*wanted, *patient, *small, f"network.max_message_bytes={limit}", out=out).ok()
        for out, limit in limits.items()
    }
    chunked, whole = (read_model(run.folder).weights for run in runs.values())
    assert whole.nbytes > 1 << 16
    assert chunked.tobytes() == whole.tobytes()
    assert runs["chunked"].summary()["consensus_distance"] == runs["whole"].summary()["consensus_distance"]
    own = {path.stem for path in (runs["chunked"].folder / "peers").glob("*.json")}
    assert own == {"peer-0", "peer-1", "peer-2"}
    assert not (runs["whole"].folder / "peers").exists()
