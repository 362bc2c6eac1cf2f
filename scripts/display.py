"""A board as rich draws it: a header, and a row a node."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from nervenet.nodes.monitoring.run_view import Row, RunView

from .words import duration, score, score_name, size

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

# A node that was heard of less recently is shown as stale (seconds): several times what a heartbeat takes.
STALE_S = 5.0

STYLES = {"lost": "bold red", "suspect": "yellow", "left": "dim", "training": "cyan", "done": "dim"}
URGENT = {"lost": 0, "suspect": 1}


def header(board: RunView, now: float) -> str:
    """The state of the run in one line."""
    what = " · ".join(part for part in (board.mode, board.data, board.model) if part) or "waiting for a run"
    parts = [what, f"round {board.round}/{board.rounds or '?'}"]
    if board.score is not None:
        parts.append(f"{score_name(board.score_name)} {score(board.score)}")
    if board.loss is not None:
        parts.append(f"test loss {score(board.loss)}")
    if board.staleness is not None:
        parts.append(f"staleness {board.staleness:.1f}")
    if board.finished:
        parts.append(board.status if not board.reason else f"{board.status}: {board.reason}")
    elif board.rounds and board.round >= board.rounds:
        parts.append("finishing")
    elif board.seen and now - board.seen > STALE_S:
        parts.append(f"stale: nothing heard for {duration(now - board.seen)}")
    elif board.eta_s() is not None:
        parts.append(f"ETA {duration(board.eta_s() or 0.0)}")
    if board.missed:
        parts.append(f"{board.missed} events missed")
    return "  ".join(parts)


def plain_line(board: RunView, now: float) -> str:
    """The header and how many nodes there are, for logs."""
    learners = [row for row in board.rows.values() if row.role in ("client", "peer")]
    living = sum(row.living and row.state != "suspect" for row in learners)
    # At the end everybody leaves, which is no news; nor is a node by itself.
    count = "" if board.finished or len(learners) < 2 else f"  {living} of {len(learners)} nodes"
    lost = f"  lost {', '.join(board.lost)}" if board.lost else ""
    return f"{header(board, now)}{count}{lost}"


def cells(name: str, row: Row, now: float) -> tuple[str, ...]:
    """A node's row: name, state, round, training loss, score, sent, received, last seen."""
    age = now - row.seen
    seen = "" if not row.seen else "now" if age < 1 else f"{duration(age)} ago"
    if row.living and row.seen and age > STALE_S:
        seen = f"stale {duration(age)}"
    state = f"{row.state}, {row.rejected} rejected" if row.rejected else row.state
    figures = (score(row.loss), score(row.score), size(row.sent) if row.sent else "")
    return (name, state, str(row.round or ""), *figures, size(row.received) if row.received else "", seen)


def rows_shown(board: RunView, limit: int) -> Iterator[tuple[str, Row]]:
    """At most ``limit`` rows: those in trouble first to be kept, all in name order."""
    order = sorted(board.rows, key=lambda name: (board.rows[name].role != "coordinator", _natural(name)))
    urgent = sorted(order, key=lambda name: URGENT.get(board.rows[name].state, 2))
    kept = set(urgent[:limit])
    for name in order:
        if name in kept:
            yield name, board.rows[name]


def render(board: RunView, now: float, height: int) -> RenderableType:
    """Draw the board, no higher than ``height`` lines."""
    from rich.console import Group
    from rich.text import Text

    title = Text(header(board, now), style="bold")
    if not board.rows:
        return title
    standing = togetherness(board)
    shown = list(rows_shown(board, max(1, height - 5 - len(standing))))
    hidden = len(board.rows) - len(shown)
    below = [Text(f"… and {hidden} more nodes", style="dim")] if hidden else []
    below += [Text(line, style="yellow" if "apart" in line else "dim") for line in standing]
    return Group(title, _table(board, shown, now), *below)


def togetherness(board: RunView) -> list[str]:
    """How far peers are apart, and who stands apart: from projections of their weights, so only about."""
    seen = board.find_clusters()
    if seen is None:
        return []
    lines = [f"consensus distance about {seen.distance:.3g}"]
    if len(seen.clusters) > 1:
        lines.append(f"groups far apart: {' | '.join(map(_listed, seen.clusters))}")
    if seen.outliers:
        lines.append(f"far apart from all others: {_listed(seen.outliers)}")
    return lines


def _listed(names: Sequence[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _table(board: RunView, shown: list[tuple[str, Row]], now: float) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    figures = ("round", "loss", score_name(board.score_name), "sent", "received")
    for column in ("node", "state", *figures, "last seen"):
        table.add_column(column, justify="right" if column in figures else "left", no_wrap=True)
    for name, row in shown:
        stale = row.living and not board.finished and now - row.seen > STALE_S
        table.add_row(*map(Text, cells(name, row, now)), style="yellow" if stale else STYLES.get(row.state))
    return table


def _natural(name: str) -> tuple[str, int]:
    stem, _, number = name.rpartition("-")
    return (stem, int(number)) if number.isdigit() else (name, -1)
