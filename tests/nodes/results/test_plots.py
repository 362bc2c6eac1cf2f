"""Curves are folded from events alone, and drawn without any window."""

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from nervenet.nodes.results.plots import consensus_distance, draw_curves, fold_curves


def events(mode: str, rounds: int = 3) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for n in range(1, rounds + 1):
        for node in ("a", "b"):
            if mode == "federated":
                found.append({"type": "metric.local", "node": node, "role": "client", "round": n, "loss": 1.0 / n})
            if mode == "gossip":
                sketch = [float(n), 0.0] if node == "a" else [0.0, 0.0]
                test = {"accuracy": 0.8, "loss": 0.5, "sketch": sketch}
                found.append({"type": "metric.test", "node": node, "role": "peer", "round": n, **test})
                moved = {"bytes_sent": 10, "bytes_received": 10, "loss": 1.0 / n}
                found.append({"type": "round.completed", "node": node, "role": "peer", "round": n, **moved})
        if mode == "federated":
            at = {"node": "c", "role": "coordinator", "round": n}
            found.append({"type": "metric.test", **at, "accuracy": 0.9, "loss": 0.5})
            found.append({"type": "round.completed", **at, "bytes_sent": 10, "bytes_received": 5})
    return found


def test_the_order_of_events_does_not_matter() -> None:
    shuffled = events("gossip")
    random.Random(0).shuffle(shuffled)
    curves = fold_curves(shuffled)
    assert curves.total_bytes() == {1: 20, 2: 40, 3: 60}
    assert curves.consensus() == {1: 0.5, 2: 1.0, 3: 1.5}
    assert curves.train_loss[2] == {"a": 0.5, "b": 0.5}
    assert curves == fold_curves(events("gossip"))


def test_a_coordinator_counts_both_ways_since_every_byte_passes_it_once() -> None:
    curves = fold_curves(events("federated"))
    assert curves.total_bytes() == {1: 15, 2: 30, 3: 45}
    assert curves.train_loss[2] == {"a": 0.5, "b": 0.5}


def test_without_rounds_the_losses_of_a_step_are_the_coordinators() -> None:
    """Clients count tasks of their own, which run ahead of the steps."""
    found = [
        {"type": "metric.local", "node": "a", "role": "client", "round": 7, "loss": 0.1},
        {"type": "round.completed", "node": "c", "role": "coordinator", "round": 2, "loss": 0.4, "closed_by": "buffer"},
    ]
    for events in (found, found[::-1]):
        assert fold_curves(events).train_loss == {2: {"c": 0.4}}


def test_the_distance_of_sketches_is_the_consensus_distance() -> None:
    vectors = np.random.default_rng(0).normal(size=(5, 7))
    expected = np.sqrt(np.mean(np.sum((vectors - vectors.mean(0)) ** 2, axis=1)))
    assert consensus_distance(vectors.tolist()) == pytest.approx(expected, rel=1e-12)


def test_figures_that_are_not_finite_are_left_out() -> None:
    bad = [{"type": "metric.test", "node": "a", "round": 1, "accuracy": None, "loss": float("nan")}]
    curves = fold_curves(bad)
    assert not curves.score
    assert not curves.test_loss


@pytest.mark.parametrize("mode", ["federated", "gossip", "none"])
def test_a_picture_is_drawn_without_pyplot(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "curves.png"
    draw_curves(events(mode) if mode != "none" else [], path, {"centralised": 0.9, "local_only_mean": None})
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [file.name for file in tmp_path.iterdir()] == ["curves.png"]


@pytest.mark.e2e
def test_drawing_keeps_no_global_state() -> None:
    code = """
import sys, tempfile, pathlib
from nervenet.nodes.results.plots import draw_curves
assert "matplotlib" not in sys.modules
draw_curves([], pathlib.Path(tempfile.mkdtemp()) / "c.png")
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
