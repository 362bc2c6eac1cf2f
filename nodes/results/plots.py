"""The curves of a run - loss, score, consensus distance, bytes over rounds - computed from its events, and drawn."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nervenet.models.atomic_file import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PerRound = dict[int, dict[str, float]]
Sketch = Sequence[float]

_INK, _ACCENT, _QUIET = "#222222", "#0b6e99", "#b0b7bd"


@dataclass
class Curves:
    score_name: str = "accuracy"
    train_loss: PerRound = field(default_factory=lambda: defaultdict(dict))
    test_loss: PerRound = field(default_factory=lambda: defaultdict(dict))
    score: PerRound = field(default_factory=lambda: defaultdict(dict))
    bytes_moved: PerRound = field(default_factory=lambda: defaultdict(dict))
    sketches: dict[int, dict[str, Sketch]] = field(default_factory=lambda: defaultdict(dict))

    def consensus(self) -> dict[int, float]:
        """By round, the consensus distance, estimated from the sketches of all peers that sent one."""
        return {n: consensus_distance(list(by.values())) for n, by in sorted(self.sketches.items()) if len(by) > 1}

    def total_bytes(self) -> dict[int, float]:
        """By round, all bytes moved up to its end."""
        total, so_far = {}, 0.0
        for n, by in sorted(self.bytes_moved.items()):
            so_far += sum(by.values())
            total[n] = so_far
        return total


def consensus_distance(sketches: Sequence[Sketch]) -> float:
    """Return sqrt(mean_i ||s_i - mean||²) of equally long sketches, which keep distances in expectation."""
    mean = [math.fsum(column) / len(sketches) for column in zip(*sketches, strict=True)]
    return math.sqrt(math.fsum(math.dist(sketch, mean) ** 2 for sketch in sketches) / len(sketches))


def fold_curves(events: Iterable[Mapping[str, Any]]) -> Curves:
    """Return the figures of ``round.completed``, ``metric.test`` and ``metric.local`` events, in any order."""
    curves, stepwise = Curves(), False
    clients: PerRound = defaultdict(dict)
    for event in events:
        node, n = str(event.get("node")), event.get("round")
        if not isinstance(n, int):
            continue
        match event.get("type"):
            case "round.completed":
                stepwise = stepwise or event.get("closed_by") == "buffer"
                # Coordinator: each byte of a round passes it once, in or out. Peers: each counts what it sent.
                received = event.get("bytes_received") if event.get("role") == "coordinator" else 0
                if event.get("role") == "peer" or event.get("closed_by") == "buffer":
                    _put(curves.train_loss, n, node, event.get("loss"))
                curves.bytes_moved[n][node] = (event.get("bytes_sent") or 0) + (received or 0)
            case "metric.test":
                if "r2" in event:
                    curves.score_name = "r2"
                _put(curves.score, n, node, event.get("accuracy", event.get("r2")))
                _put(curves.test_loss, n, node, event.get("loss"))
                if event.get("sketch"):
                    curves.sketches[n][node] = event["sketch"]
            case "metric.local":
                _put(clients if event.get("role") == "client" else curves.train_loss, n, node, event.get("loss"))
                if event.get("sketch"):
                    curves.sketches[n][node] = event["sketch"]
    # Without rounds the clients count tasks of their own; the coordinator publishes the losses of each step.
    for n, by in () if stepwise else clients.items():
        curves.train_loss[n].update(by)
    return curves


def draw_curves(
    events: Iterable[Mapping[str, Any]], path: Path, baseline: Mapping[str, float | None] | None = None
) -> None:
    """Draw the curves of a run as a PNG; of a run without a completed round, a picture that says so.

    Parameters
    ----------
    events
        The run's events, as ``events.jsonl`` holds them.
    path
        The picture; replaced in one step.
    baseline
        ``centralised`` and ``local_only_mean``, drawn as level lines beside the score.
    """
    # The object interface keeps no global state and opens no window; pyplot would do both.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    curves = fold_curves(events)
    consensus = curves.consensus()
    panels = 4 if consensus else 3
    figure = Figure(figsize=(4.2 * panels, 3.4), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(1, panels))
    _loss(axes[0], curves)
    _score(axes[1], curves, baseline or {})
    if consensus:
        _line(axes[2], consensus, "consensus distance")
        axes[2].set_title("consensus distance")
        axes[2].set_ylim(bottom=0)
    _bytes(axes[-1], curves)
    for ax in axes:
        _plain(ax)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})


def _put(target: PerRound, n: int, node: str, value: Any) -> None:
    if isinstance(value, int | float) and math.isfinite(value):
        target[n][node] = float(value)


def _mean(values: PerRound) -> dict[int, float]:
    return {n: statistics.fmean(by.values()) for n, by in sorted(values.items()) if by}


def _line(ax: "Axes", values: Mapping[int, float], label: str, color: str = _ACCENT) -> None:
    if values:
        # A single round is a point, which a line alone would not show.
        ax.plot(list(values), list(values.values()), color=color, label=label, marker="." if len(values) < 3 else "")


def _band(ax: "Axes", values: PerRound) -> None:
    """Draw the range between the least and the greatest node, where there are several."""
    rows = [(n, min(by.values()), max(by.values())) for n, by in sorted(values.items()) if len(by) > 1]
    if rows:
        at, low, high = zip(*rows, strict=True)
        ax.fill_between(at, low, high, color=_ACCENT, alpha=0.18, linewidth=0, label="least to greatest node")


def _loss(ax: "Axes", curves: Curves) -> None:
    _line(ax, _mean(curves.train_loss), "training, mean of nodes", _QUIET)
    _band(ax, curves.test_loss)
    _line(ax, _mean(curves.test_loss), "test")
    ax.set_title("loss")
    if curves.train_loss or curves.test_loss:
        ax.legend(frameon=False, fontsize=8)


def _score(ax: "Axes", curves: Curves, baseline: Mapping[str, float | None]) -> None:
    _band(ax, curves.score)
    _line(ax, _mean(curves.score), "test")
    styles = {"centralised": ("centralised", "--"), "local_only_mean": ("each node alone", ":")}
    for key, (label, style) in styles.items():
        value = baseline.get(key)
        if value is not None and math.isfinite(value):
            ax.axhline(value, color=_INK, linestyle=style, linewidth=1, label=label)
    ax.set_title("R²" if curves.score_name == "r2" else curves.score_name)
    if curves.score:
        ax.legend(frameon=False, fontsize=8)


def _bytes(ax: "Axes", curves: Curves) -> None:
    totals = curves.total_bytes()
    units = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (0.0, "bytes"))
    size, name = next(unit for unit in units if max(totals.values(), default=0) >= unit[0])
    _line(ax, {n: value / (size or 1) for n, value in totals.items()}, "moved")
    ax.set_title(f"{name} moved so far")
    ax.set_ylim(bottom=0)


def _plain(ax: "Axes") -> None:
    from matplotlib.ticker import MaxNLocator

    ax.set_xlabel("round")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    if not ax.lines:
        ax.text(0.5, 0.5, "no finished round", ha="center", va="center", transform=ax.transAxes, color=_QUIET)
