"""The curves of a run - loss, score, consensus distance, bytes over rounds - drawn from the rows of its rounds."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nervenet.models.atomic_file import replacing

from ..runtime.round_history import SCORES, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Line = dict[int, float]

_INK, _ACCENT, _QUIET = "#222222", "#0b6e99", "#b0b7bd"


def line_of(rows: Sequence[Row], name: str) -> Line:
    """Return a figure by round, of those rounds in which it is known."""
    return {row["round"]: float(row[name]) for row in rows if row.get(name) is not None}


def bytes_so_far(rows: Sequence[Row]) -> Line:
    """Return by round all bytes that had moved at its end.

    Each byte of a federated round passes the coordinator once, in or out; peers count what each sent.
    """
    total, so_far = {}, 0.0
    for row in rows:
        so_far += row.get("bytes_sent", 0) + (0 if "peers" in row else row.get("bytes_received", 0))
        total[row["round"]] = so_far
    return total


def draw_curves(rows: Sequence[Row], path: Path, baseline: Mapping[str, float | None] | None = None) -> None:
    """Draw the curves of a run as a PNG; of a run without a completed round, a picture that says so.

    Parameters
    ----------
    rows
        The run's rounds, as ``round_metrics.jsonl`` holds them.
    path
        The picture; replaced in one step.
    baseline
        ``centralised`` and ``local_only_mean``, drawn as level lines beside the score.
    """
    # The object interface keeps no global state and opens no window; pyplot would do both.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    consensus = line_of(rows, "consensus_distance")
    panels = 4 if consensus else 3
    figure = Figure(figsize=(4.2 * panels, 3.8), dpi=100, layout=ConstrainedLayoutEngine(w_pad=0.12))
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(1, panels))
    _loss(axes[0], rows)
    _score(axes[1], rows, baseline or {})
    if consensus:
        _line(axes[2], consensus, "consensus distance")
        axes[2].set_ylabel("consensus distance")
        axes[2].set_ylim(bottom=0)
    _bytes(axes[-1], rows)
    for ax in axes:
        _plain(ax, rows)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})


def _line(ax: "Axes", values: Mapping[int, float], label: str, color: str = _ACCENT) -> None:
    if values:
        # A single round is a point, which a line alone would not show.
        ax.plot(list(values), list(values.values()), color=color, label=label, marker="." if len(values) < 3 else "")


def _band(ax: "Axes", rows: Sequence[Row], name: str) -> None:
    """Draw the range between the least and the greatest node, where there are several."""
    low, high = line_of(rows, f"{name}_min"), line_of(rows, f"{name}_max")
    at = [number for number in low if number in high]
    if any(low[number] < high[number] for number in at):
        outer = [low[number] for number in at], [high[number] for number in at]
        ax.fill_between(at, *outer, color=_ACCENT, alpha=0.18, linewidth=0, label="least to greatest node")


def _legend(ax: "Axes") -> None:
    """Say what the lines are: below the panel, where it hides none of them."""
    if not ax.get_legend_handles_labels()[0]:
        return
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, frameon=False, fontsize=8)


def _measured_on(rows: Sequence[Row]) -> str:
    on = next((row["evaluated_on"] for row in reversed(rows) if "evaluated_on" in row), "test")
    return "hold-out" if on == "holdout" else "test"


def _loss(ax: "Axes", rows: Sequence[Row]) -> None:
    trained, judged = line_of(rows, "train_loss"), line_of(rows, "loss")
    _line(ax, trained, "training, mean of nodes", _QUIET)
    _band(ax, rows, "loss")
    _line(ax, judged, _measured_on(rows))
    ax.set_ylabel("loss")
    _legend(ax)


def _score(ax: "Axes", rows: Sequence[Row], baseline: Mapping[str, float | None]) -> None:
    name = next((score for score in SCORES for row in reversed(rows) if score in row), "accuracy")
    scores = line_of(rows, name)
    _band(ax, rows, name)
    _line(ax, scores, _measured_on(rows))
    styles = {"centralised": ("centralised", "--"), "local_only_mean": ("each node alone", ":")}
    for key, (label, style) in styles.items():
        value = baseline.get(key)
        if value is not None and math.isfinite(value):
            ax.axhline(value, color=_INK, linestyle=style, linewidth=1, label=label)
    ax.set_ylabel("R²" if name == "r2" else name)
    _legend(ax)


def _bytes(ax: "Axes", rows: Sequence[Row]) -> None:
    totals = bytes_so_far(rows)
    units = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (0.0, "bytes"))
    size, name = next(unit for unit in units if max(totals.values(), default=0) >= unit[0])
    _line(ax, {n: value / (size or 1) for n, value in totals.items()}, "moved")
    ax.set_ylabel("bytes so far" + (f" ({name})" if size else ""))
    ax.set_ylim(bottom=0)


def _plain(ax: "Axes", rows: Sequence[Row]) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.set_xlabel("round")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    if not ax.lines:
        text = "not measured" if rows else "no finished round"
        ax.text(0.5, 0.5, text, ha="center", va="center", transform=ax.transAxes, color=_QUIET)
