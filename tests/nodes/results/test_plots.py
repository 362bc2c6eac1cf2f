"""Curves are drawn from the rows of a run's rounds, without any window."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from nervenet.nodes.results import plots
from nervenet.nodes.results.plots import bytes_so_far, draw_curves, line_of

PEERS = [
    {"round": n, "peers": 2, "train_loss": 1 / n, "loss": 0.5, "loss_min": 0.4, "loss_max": 0.6, "accuracy": 0.8,
     "accuracy_min": 0.7, "accuracy_max": 0.9, "evaluated_on": "test", "consensus_distance": 0.1, "bytes_sent": 20,
     "bytes_received": 20}
    for n in (1, 2, 3)
]  # fmt: skip
COORDINATOR = [
    {"round": n, "train_loss": 1 / n, "loss": 0.5, "accuracy": 0.9, "bytes_sent": 10, "bytes_received": 5}
    for n in (1, 2, 3)
]
ALONE = [
    {"round": n, "peers": 1, "train_loss": 0.02, "loss": 0.2, "accuracy": 0.9, "evaluated_on": "holdout"}
    for n in (1, 2, 3)
]


def test_a_coordinator_counts_both_ways_since_every_byte_passes_it_once() -> None:
    assert bytes_so_far(COORDINATOR) == {1: 15, 2: 30, 3: 45}
    assert bytes_so_far(PEERS) == {1: 20, 2: 40, 3: 60}


def test_what_is_not_known_of_a_round_is_no_point() -> None:
    assert line_of([{"round": 1, "loss": 0.5}, {"round": 2}, {"round": 3, "loss": None}], "loss") == {1: 0.5}


@pytest.mark.parametrize("rows", [COORDINATOR, PEERS, ALONE, []])
def test_a_picture_is_drawn_without_pyplot(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    path = tmp_path / "curves.png"
    draw_curves(rows, path, {"centralised": 0.9, "local_only_mean": None})
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [file.name for file in tmp_path.iterdir()] == ["curves.png"]


def drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rows: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Return by what each panel shows what stands in it: the labels of its lines, and its texts."""
    found: dict[str, list[str]] = {}
    finish = plots._plain

    def note(ax: Any, rows: Any) -> None:
        finish(ax, rows)
        found[ax.get_ylabel()] = [line.get_label() for line in ax.lines] + [text.get_text() for text in ax.texts]

    monkeypatch.setattr(plots, "_plain", note)
    draw_curves(rows, tmp_path / "curves.png")
    return found


def test_a_peer_on_its_own_shows_its_rounds_and_calls_its_hold_out_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = drawn(monkeypatch, tmp_path, ALONE)
    assert found["loss"] == ["training, mean of nodes", "hold-out"]
    assert found["accuracy"] == ["hold-out"]


def test_only_a_run_without_a_round_says_that_it_has_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert drawn(monkeypatch, tmp_path, [])["accuracy"] == ["no finished round"]
    unjudged = [{"round": 1, "train_loss": 0.5, "bytes_sent": 5}]
    assert drawn(monkeypatch, tmp_path, unjudged)["accuracy"] == ["not measured"]


def test_a_legend_hides_no_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    panels: list[Any] = []
    finish = plots._plain
    monkeypatch.setattr(plots, "_plain", lambda ax, rows: (panels.append(ax), finish(ax, rows)))
    draw_curves(PEERS, tmp_path / "curves.png", {"centralised": 0.9})
    legends = [ax.get_legend() for ax in panels]
    assert [legend is not None for legend in legends] == [True, True, False, False]
    for ax, legend in zip(panels[:2], legends[:2], strict=True):
        assert legend.get_window_extent().y1 < ax.get_window_extent().y0


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
