"""A topology drawn: its graph (of one that varies, of the first rounds) and how the distance to the mean falls."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from nervenet.models.atomic_file import replacing
from nervenet.models.extras import require

from .analysis import EXACT, FALLEN, Measured, consensus_errors, rule_of
from .base import Neighbors, Schedule, every_neighbor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Places: TypeAlias = Mapping[str, tuple[float, float]]

ACROSS = 5
PANELS = 9  # graphs of a schedule that varies; the last panel is the curve
FRESH = 3  # of one that never repeats: they all look alike
LABELED = 40  # nodes; more names than that cannot be read
ROUND = ("ring", "line", "small-world", "static-exponential", "one-peer-exponential", "base-k")
FLOOR = 1e-6

_INK, _ACCENT, _QUIET = "#222222", "#0b6e99", "#b0b7bd"


def draw_topology(
    measured: Measured, schedule: Schedule, path: Path, *, seed: int = 0, rounds: int | None = None
) -> None:
    """Draw a PNG, replaced atomically; of a schedule that varies, the graphs of `rounds` rounds, at most `PANELS`."""
    require(f"the picture {path}", "matplotlib", "networkx")
    # The object interface keeps no global state and opens no window; pyplot would do both.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = 1 if schedule.fixed else min(rounds or schedule.period or FRESH, PANELS)
    columns = min(count + 1, ACROSS)
    figure = Figure(figsize=(3.6 * columns, 3.8 * math.ceil((count + 1) / columns)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(math.ceil((count + 1) / columns), columns, squeeze=False).flat)
    places = lay_out(measured.name, every_neighbor(schedule) if not schedule.fixed else schedule.out(1))
    for number, ax in enumerate(axes[:count], start=1):
        _graph(ax, schedule.out(number), places, schedule.directed)
        ax.set_title(f"round {number}" if not schedule.fixed else "every round", fontsize=10)
    _curve(axes[count], measured, schedule, seed)
    for ax in axes[count + 1 :]:
        ax.set_axis_off()
    figure.suptitle(f"{measured.name}, {measured.nodes} nodes", fontsize=12)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})


def lay_out(name: str, around: Neighbors) -> Places:
    """Return a place for each node: in a circle, in name order, where that is what the graph is about."""
    import networkx as nx

    graph = nx.Graph()
    graph.add_nodes_from(around)
    graph.add_edges_from((one, other) for one, others in around.items() for other in others)
    n = len(around)
    if name == "star":
        hub, *others = sorted(around)
        return {hub: (0.0, 0.0)} | {node: _on_circle(i, n - 1) for i, node in enumerate(others)}
    crowded = graph.number_of_edges() > 3 * n or n > 200
    if name in ROUND or (crowded and name not in ("torus", "hypercube")):
        return {node: _on_circle(i, n) for i, node in enumerate(sorted(around))}
    places: dict[str, Any] = nx.spring_layout(graph, seed=0) if n > 200 else nx.kamada_kawai_layout(graph)
    return {node: (float(x), float(y)) for node, (x, y) in places.items()}


def _on_circle(i: int, n: int) -> tuple[float, float]:
    angle = math.pi / 2 - 2 * math.pi * i / n  # the first at the top, then clockwise
    return math.cos(angle), math.sin(angle)


def _graph(ax: Axes, out: Neighbors, places: Places, directed: bool) -> None:
    from matplotlib.collections import LineCollection

    arrows = [(one, other) for one, others in out.items() for other in others]
    if directed:
        for one, other in arrows:
            both = one in out[other]
            style = {"arrowstyle": "-|>", "color": _ACCENT, "lw": 0.8, "alpha": 0.75, "shrinkA": 5, "shrinkB": 6}
            bent = {"connectionstyle": "arc3,rad=0.12" if both else "arc3,rad=0.0"}
            ax.annotate("", xy=places[other], xytext=places[one], arrowprops=style | bent)
    else:
        lines = [(places[one], places[other]) for one, other in arrows if one < other]
        ax.add_collection(LineCollection(lines, colors=_ACCENT, linewidths=1.1 if len(lines) < 200 else 0.4, alpha=0.8))
    names = sorted(places)
    labeled = len(names) <= LABELED
    xs, ys = zip(*(places[name] for name in names), strict=True)
    ax.scatter(xs, ys, s=120 if labeled else 14, color="white" if labeled else _INK, edgecolors=_INK, zorder=3)
    for i, name in enumerate(names if labeled else ()):
        ax.text(*places[name], str(i), ha="center", va="center", fontsize=6.5, color=_INK, zorder=4)
    ax.set_aspect("equal")
    ax.margins(0.1)
    ax.set_axis_off()


def _curve(ax: Axes, measured: Measured, schedule: Schedule, seed: int) -> None:
    from matplotlib.ticker import MaxNLocator

    shown = min(max(8, round(1.3 * (measured.rounds or 100))), 1000)
    errors = list(islice(consensus_errors(schedule, rule_of(measured.name, schedule), seed=seed), shown + 1))
    xs, ys = falling(errors)
    ax.semilogy(xs, ys, color=_ACCENT)
    if ys[-1] == FLOOR and measured.nodes > 1:
        ax.plot(xs[-1:], ys[-1:], "v", color=_ACCENT, clip_on=False)
    ax.axhline(FALLEN, color=_QUIET, linestyle="--", linewidth=1)
    if measured.rounds:
        ax.annotate(
            f"{measured.rounds} rounds", (measured.rounds, FALLEN), (4, 4), textcoords="offset points", fontsize=8
        )
    ax.set_ylim(FLOOR, 2)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("round")
    ax.set_title(f"distance to the mean, gap {measured.gap:.3g}", fontsize=10)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


def falling(errors: Sequence[float]) -> tuple[list[int], list[float]]:
    """A curve for a logarithmic axis: it ends where it leaves the axis; on the floor, where nothing is left at all."""
    ys = []
    for error in errors:
        ys.append(error if error > EXACT else FLOOR)
        if error < FLOOR:
            break
    return list(range(len(ys))), ys
