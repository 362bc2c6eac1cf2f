"""The live table of a run, drawn by rich: a header, and a row a node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nervenet.nodes.monitoring.node_row import NodeRow
from nervenet.nodes.monitoring.run_view import RunView
from nervenet.nodes.monitoring.screen import URGENT, placed
from nervenet.nodes.report.units import duration, score, score_name, size
from nervenet.nodes.runtime.printable import listed, printable

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

# Seconds without an event after which a node is shown as stale: several heartbeats.
STALE_S = 5.0

STYLES = {"lost": "bold red", "suspect": "yellow", "left": "dim", "training": "cyan", "done": "dim"}


def header(view: RunView, now: float) -> str:
    what = " · ".join(part for part in (view.mode, view.data, view.model) if part) or "waiting for a run"
    parts = [what, f"round {view.round}/{view.rounds or '?'}"]
    if view.waiting and not view.finished:
        parts[1] = f"waiting for {view.waiting}"
    elif view.agreeing and not view.finished:
        parts[-1] += f": {view.agreeing}"
    if view.score is not None:
        parts.append(f"{score_name(view.score_name)} {score(view.score)}")
    if view.loss is not None:
        parts.append(f"{'hold-out' if view.evaluated_on == 'holdout' else 'test'} loss {score(view.loss)}")
    if view.staleness is not None:
        parts.append(f"staleness {view.staleness:.1f}")
    if view.finished:
        said = view.reason.startswith(view.status)  # interrupted by Ctrl-C
        parts.append(": ".join(filter(None, ("" if said else view.status, view.reason))))
    elif view.finishing:
        done, models = view.baselines
        trained = f"training the baselines: {done} of {models} models" if done < models else "finishing"
        parts.append(f"stopped by {view.stopping}, {trained}" if view.stopping else trained)
    elif view.seen and now - view.seen > STALE_S and not view.waiting:
        parts.append(f"stale: nothing heard for {duration(now - view.seen)}")
    elif view.eta_s() is not None and not view.waiting:
        parts.append(f"ETA {duration(view.eta_s() or 0.0)}")
    if view.insecure:
        parts.append("insecure: not encrypted")
    if view.missed:
        parts.append(f"{view.missed} events missed")
    if view.malformed:
        parts.append(f"{sum(view.malformed.values())} events malformed")
    return printable("  ".join(parts))


def plain_line(view: RunView, now: float) -> str:
    training_nodes = view.training
    living = sum(row.living and row.state != "suspect" for row in training_nodes)
    # At the end all nodes leave; and a node on its own needs no count.
    uncounted = view.finished or view.finishing or len(training_nodes) < 2
    count = "" if uncounted else f"  {living} of {len(training_nodes)} nodes"
    lost = f"  lost {listed(view.lost)}" if view.lost else ""
    return printable(f"{header(view, now)}{count}{lost}")


def cells(name: str, row: NodeRow, now: float) -> tuple[str, ...]:
    age = now - row.seen
    seen = "" if not row.seen else "now" if age < 1 else f"{duration(age)} ago"
    if row.living and row.seen and age > STALE_S:
        seen = f"stale {duration(age)}"
    state = f"{row.state}, {row.rejected} rejected" if row.rejected else row.state
    figures = (score(row.loss), score(row.score), size(row.sent) if row.sent else "")
    return (name, state, str(row.round or ""), *figures, size(row.received) if row.received else "", seen)


def rows_shown(view: RunView, limit: int) -> Iterator[tuple[str, NodeRow]]:
    """At most ``limit`` rows: those in trouble first to be kept, all in name order, by regions where there are some."""
    order = sorted(view.rows, key=lambda name: placed(name, view.rows[name]))
    urgent = sorted(order, key=lambda name: URGENT.get(view.rows[name].state, 2))
    kept = set(urgent[:limit])
    for name in order:
        if name in kept:
            yield name, view.rows[name]


def render(view: RunView, now: float, height: int) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    title = Text(header(view, now), style="bold")
    if not view.rows:
        return title
    clusters = cluster_lines(view)
    shown = list(rows_shown(view, max(1, height - 5 - len(clusters))))
    hidden = len(view.rows) - len(shown)
    below = [Text(f"… and {hidden} more nodes", style="dim")] if hidden else []
    below += [Text(line, style="yellow" if "apart" in line else "dim") for line in clusters]
    return Group(title, nodes_table(view, shown, now), *below)


def cluster_lines(view: RunView) -> list[str]:
    found = view.find_clusters()
    if found is None:
        return []
    lines = [f"consensus distance about {found.distance:.3g}"]
    if len(found.clusters) > 1:
        lines.append(f"groups far apart: {' | '.join(map(listed, found.clusters))}")
    if found.outliers:
        lines.append(f"far apart from all others: {listed(found.outliers)}")
    return lines


def nodes_table(
    view: RunView,
    shown: list[tuple[str, NodeRow]],
    now: float,
    sort: tuple[str, bool] | None = None,
    chosen: str = "",
) -> Table:
    """Return the table of these rows; marked are the chosen one, and the column by which they are sorted."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    figures = ("round", "train loss", "score", "sent", "received")
    regional = view.regional
    for column in ("node", *(["region"] if regional else []), "state", *figures, "last seen"):
        title = score_name(view.score_name) if column == "score" else column
        mark = "" if sort is None or sort[0] != column else " ▼" if sort[1] else " ▲"
        table.add_column(f"{title}{mark}", justify="right" if column in figures else "left", no_wrap=True)
    for name, row in shown:
        stale = row.living and not view.finished and now - row.seen > STALE_S
        style = "yellow" if stale else STYLES.get(row.state, "")
        style += " reverse" if name == chosen else ""
        first, *rest = cells(name, row, now)
        shown_cells = (first, *([row.region] if regional else []), *rest)
        table.add_row(*map(Text, map(printable, shown_cells)), style=style.strip() or None)
    return table
