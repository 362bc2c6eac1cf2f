"""Bars as inline SVG: histograms and categories, without a package that draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np

from ..runtime.printable import html_text
from .figures_text import count, figure

WIDTH, HEIGHT = 520, 130
TAIL = 6.0  # a first or last bin that is so many times as wide as is usual is drawn as a usual one


def histogram(known: Mapping[str, Any]) -> str:
    """Return a histogram, its bars as high as values are dense, with a box from the first to the third quartile."""
    edges, counts = [_number(edge) for edge in known["histogram"]["edges"]], known["histogram"]["counts"]
    shown = _narrowed(edges)
    places = _scaled(shown)
    high = _highest(counts, shown)
    bars = []
    for place, n in enumerate(counts):
        left, right, tail = places[place], places[place + 1], shown[place + 1] - shown[place] < _width(edges, place)
        tall = HEIGHT * n / (shown[place + 1] - shown[place]) / high
        title = (
            f"{figure(known['histogram']['edges'][place])} to {figure(known['histogram']['edges'][place + 1])}: {n:,}"
        )
        style = ' class="tail"' if tail else ""
        bars.append(
            f'<rect{style} x="{left:.1f}" y="{HEIGHT - tall:.1f}" width="{max(right - left - 1, 1):.1f}" '
            f'height="{tall:.1f}"><title>{html_text(title)}</title></rect>'
        )
    ends = known["histogram"]["edges"]
    words = f'<text x="0" y="{HEIGHT + 30}">{html_text(figure(ends[0]))}</text>'
    words += f'<text x="{WIDTH}" y="{HEIGHT + 30}" text-anchor="end">{html_text(figure(ends[-1]))}</text>'
    return _picture(HEIGHT + 36, "".join(bars) + _box(known, edges, places) + words)


def strip(known: Mapping[str, Any], pooled: Mapping[str, Any]) -> str:
    """Return a small histogram for a cell of a table, on the scale of that of all sites, which has its edges too."""
    edges, counts = known["histogram"]["edges"], known["histogram"]["counts"]
    common = pooled["histogram"]["edges"]
    scale = dict(zip(common, _narrowed([_number(edge) for edge in common]), strict=True))
    first, last = scale[common[0]], scale[common[-1]]
    shown = [scale[edge] for edge in edges]
    high = _highest(counts, shown)
    bars = ""
    for place, n in enumerate(counts):
        left, right = (120 * (shown[at] - first) / (last - first) for at in (place, place + 1))
        tall = 22 * n / (shown[place + 1] - shown[place]) / high
        wide = max(right - left - 0.5, 0.5)
        bars += f'<rect x="{left:.1f}" y="{22 - tall:.1f}" width="{wide:.1f}" height="{tall:.1f}"/>'
    return f'<svg viewBox="0 0 120 22" width="120" height="22" role="img">{bars}</svg>'


def bars(named: Sequence[tuple[str, int | None]], most: int = 12) -> str:
    """Return a horizontal bar for each category; one whose count is hidden has none."""
    high = max((n for _, n in named if n is not None), default=1) or 1
    lines = []
    for row, (name, n) in enumerate(named[:most]):
        y, wide = row * 20, 260 * (n or 0) / high
        label = name if len(name) <= 30 else f"{name[:29]}…"
        lines.append(
            f'<text x="212" y="{y + 14}" text-anchor="end"><title>{html_text(name)}</title>{html_text(label)}</text>'
            f'<rect x="220" y="{y + 3}" width="{wide:.1f}" height="14"/>'
            f'<text x="{226 + wide:.1f}" y="{y + 14}">{html_text(count(n))}</text>'
        )
    more = len(named) - most
    if more > 0:
        lines.append(f'<text x="212" y="{most * 20 + 14}" text-anchor="end">{more} more</text>')
    return _picture(20 * (min(len(named), most) + (more > 0)) + 4, "".join(lines))


def _picture(height: int, inside: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">{inside}</svg>'


def _number(edge: float | str) -> float:
    return float(np.datetime64(edge, "s").astype(np.int64)) if isinstance(edge, str) else edge


def _highest(counts: Sequence[int], edges: Sequence[float]) -> float:
    return max(n / (b - a) for n, (a, b) in zip(counts, pairwise(edges), strict=True)) or 1.0


def _width(edges: Sequence[float], place: int) -> float:
    return edges[place + 1] - edges[place]


def _narrowed(edges: Sequence[float]) -> list[float]:
    """Return edges with long tails drawn in, as wide as a usual bin."""
    widths = [b - a for a, b in pairwise(edges)]
    usual = median(widths[1:-1]) if len(widths) > 2 else max(widths)
    for end in (0, -1):
        if widths[end] > TAIL * usual:
            widths[end] = usual
    found = [edges[0]]
    for width in widths:
        found.append(found[-1] + width)
    return found


def _scaled(edges: Sequence[float]) -> list[float]:
    span = edges[-1] - edges[0] or 1.0
    return [WIDTH * (edge - edges[0]) / span for edge in edges]


def _box(known: Mapping[str, Any], edges: Sequence[float], places: Sequence[float]) -> str:
    left, middle, right = (_place(_number(known[name]), edges, places) for name in ("q1", "median", "q3"))
    title = ", ".join(f"{name} {figure(known[name])}" for name in ("q1", "median", "q3"))
    return (
        f'<g class="box"><title>{html_text(title)}</title><rect x="{left:.1f}" y="{HEIGHT + 6}" '
        f'width="{max(right - left, 1):.1f}" height="8"/><line x1="{middle:.1f}" x2="{middle:.1f}" y1="{HEIGHT + 3}" '
        f'y2="{HEIGHT + 17}"/></g>'
    )


def _place(value: float, edges: Sequence[float], places: Sequence[float]) -> float:
    for place in range(len(edges) - 1):
        if value <= edges[place + 1]:
            part = (value - edges[place]) / (edges[place + 1] - edges[place] or 1.0)
            return places[place] + part * (places[place + 1] - places[place])
    return places[-1]
