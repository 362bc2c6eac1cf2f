"""A `Screen` of a run, drawn by rich: the outcome first, then the page that was chosen, and what keys do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nervenet.nodes.monitoring.node_row import NodeRow
from nervenet.nodes.monitoring.run_view import RunView
from nervenet.nodes.monitoring.screen import HELP, Screen
from nervenet.nodes.report.units import duration, score, score_name, size
from nervenet.nodes.runtime.printable import listed, printable

from .event_lines import EventLines
from .live_table import STALE_S, cluster_lines, header, nodes_table

if TYPE_CHECKING:
    from rich.console import RenderableType

Help = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Shown:
    """What a screen is drawn of: a run, what happened in it, and what time it is there."""

    view: RunView
    lines: EventLines
    now: float


def draw(
    screen: Screen, shown: Shown, width: int, height: int, *, keys: Help = (), playing: str = ""
) -> RenderableType:
    """Return what is to be shown in a terminal of so many columns and lines.

    `keys` are those beyond `HELP`, with what they do; `playing` is how a recording is played.
    """
    from rich.console import Group
    from rich.text import Text

    head = Text(header(shown.view, shown.now), style="bold")
    room = height - 1 - max(1, -(-head.cell_len // max(1, width)))  # less the last line, and the first ones
    match screen.page:
        case "node":
            page = _lines(_of_node(screen.chosen, shown, room), room)
        case "help":
            page = _lines([f"{names:<24}  {does}" for names, does in (*HELP, *keys)], room)
        case "feed" | "log":
            page = _scrolled(screen, shown.lines, room)
        case _:
            page = _nodes(screen, shown, room)
    return Group(head, *page, Text(_footer(screen, shown.view, playing), style="reverse", no_wrap=True))


def _nodes(screen: Screen, shown: Shown, room: int) -> list[RenderableType]:
    from rich.text import Text

    below = cluster_lines(shown.view)
    rows = screen.rows(shown.view.rows, max(1, room - 2 - len(below)))  # less the table's head and its rule
    table = nodes_table(shown.view, rows, shown.now, sort=(screen.sort, screen.reverse), chosen=screen.chosen)
    lines = [Text(line, style="yellow" if "apart" in line else "dim", no_wrap=True) for line in below]
    return [table, *lines]


def _scrolled(screen: Screen, lines: EventLines, room: int) -> list[RenderableType]:
    every = lines.feed() if screen.page == "feed" else lines.log()
    passing = [line for line in every if screen.passes(line)]
    shown = screen.lines(passing, room, 0 if screen.filter else lines.dropped(screen.page))
    return _lines(shown or ["nothing yet" if not every else "nothing contains that"], room)


def _lines(lines: Sequence[str], room: int) -> list[RenderableType]:
    from rich.text import Text

    return [Text(printable(line), no_wrap=True, overflow="ellipsis") for line in lines[: max(1, room)]]


def _of_node(name: str, shown: Shown, room: int) -> list[str]:
    row = shown.view.rows.get(name)
    if row is None:
        return [f"{name} is not there any more"]
    figures = [f"{label:<12}  {value}" for label, value in _figures(name, row, shown) if value]
    about = shown.lines.of_node(name, room - len(figures) - 1)
    return [*figures, "", *(about or ["nothing is to be told of it"])]


def _figures(name: str, row: NodeRow, shown: Shown) -> list[tuple[str, str]]:
    age = shown.now - row.seen
    stale = " (stale)" if row.living and not shown.view.finished and age > STALE_S else ""
    return [
        ("node", name),
        ("role", row.role),
        ("state", row.state),
        ("round", f"{row.round} of {shown.view.rounds or '?'}"),
        ("rounds", f"{row.rate:.3g} a second" if row.rate else ""),
        ("train loss", score(row.loss)),
        (score_name(shown.view.score_name), score(row.score)),
        ("its loss", score(row.test_loss)),
        ("sent", size(row.sent) if row.sent else ""),
        ("received", size(row.received) if row.received else ""),
        ("rejected", f"{row.rejected} of its updates" if row.rejected else ""),
        ("last seen", f"{duration(max(0.0, age))} ago{stale}" if row.seen else ""),
    ]


def _footer(screen: Screen, view: RunView, playing: str) -> str:
    if screen.typing:
        return printable(f" filter: {screen.filter}▏ Enter keeps it, Esc takes it back")
    parts = [screen.page if screen.page != "node" else screen.chosen]
    if screen.page == "nodes":
        order = f"{screen.sort}{', reversed' if screen.reverse else ''}"
        parts = [screen.extent(), f"by {order}"]
    parts += [f"filter: {screen.filter}"] if screen.filter else []
    parts += [f"lost: {listed(view.lost, 3)}"] if view.lost else []
    parts += ["paused"] if screen.paused else []
    parts += [playing] if playing else []
    return printable(" " + "  ".join([*parts, "? help"]))
