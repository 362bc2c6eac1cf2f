"""A line chart as inline SVG: named axes, bands, level lines, and its legend outside the data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from .page import element
from .style import LINES

WIDTH, HEIGHT = 480, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 12, 10, 40
MOST_POINTS = 300  # of a line: more than a screen shows; of longer ones, the extremes of each stretch
GREATEST = 1e300  # beyond it differences overflow
_DASHES = (None, "7 3", "2 3", "9 3 2 3", "4 2", "12 4")

Points = Mapping[int, float]


@dataclass(frozen=True)
class Line:
    """A figure by round; `low` and `high` are the range around it, where there is one."""

    label: str
    points: Points
    low: Points | None = None
    high: Points | None = None


@dataclass(frozen=True)
class Chart:
    """What to draw; `levels` are values by label, `log` is of the y axis, and `zero` makes that axis begin there."""

    title: str
    axis: str
    lines: Sequence[Line]
    levels: Mapping[str, float] | None = None
    log: bool = False
    zero: bool = False

    @property
    def empty(self) -> bool:
        return not any(self.drawn(line.points) for line in self.lines)

    def drawn(self, points: Points | None) -> list[tuple[int, float]]:
        """Return the points that can be drawn, in the order of their rounds."""
        known = sorted((points or {}).items())
        return [(at, y) for at, y in known if abs(y) < GREATEST and (y > 0 or not self.log)]


def draw(chart: Chart) -> Element:
    """Return a figure with the chart, its title and its legend."""
    shown = [(line, thinned(chart.drawn(line.points))) for line in chart.lines]
    bands = [(thinned(chart.drawn(line.low)), thinned(chart.drawn(line.high))) for line in chart.lines]
    levels = {name: y for name, y in (chart.levels or {}).items() if abs(y) < GREATEST and (y > 0 or not chart.log)}
    points = [point for _, part in shown for point in part] + [p for low, high in bands for p in (*low, *high)]
    rounds = [at for at, _ in points]
    x_of, x_ticks = _axis(min(rounds, default=0), max(rounds, default=1), _LEFT, WIDTH - _RIGHT, whole=True)
    values = [y for _, y in points] + list(levels.values())
    low, high = (min(values, default=0.0), max(values, default=1.0))
    y_of, y_ticks = (_log_axis if chart.log else _axis)(0.0 if chart.zero else low, high, HEIGHT - _BOTTOM, _TOP)
    marks = [*_grid(x_of, x_ticks, y_of, y_ticks, chart.axis)]
    for at, (lowest, highest) in enumerate(bands):
        if lowest and highest and lowest != highest:
            outline = _path([*highest, *reversed(lowest)], x_of, y_of)
            marks.append(element("polygon", points=outline, class_=f"band l{at % LINES}"))
    for at, y in enumerate(levels.values()):
        ends = {"x1": _LEFT, "x2": WIDTH - _RIGHT, "y1": _at(y_of(y)), "y2": _at(y_of(y))}
        marks.append(element("line", **ends, class_="level", stroke_dasharray=_level_dash(at)))
    for at, (_, part) in enumerate(shown):
        marks += _drawn_line(part, at, x_of, y_of)
    words = f"{chart.title} over rounds"
    picture = element("svg", element("title", words), *marks, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img")
    return element("figure", element("h3", chart.title), picture, _legend(chart, shown, bands, levels))


def thinned(points: Sequence[tuple[int, float]], most: int = MOST_POINTS) -> list[tuple[int, float]]:
    """Return at most about that many points: of each stretch the least and the greatest, and both ends."""
    if len(points) <= most:
        return list(points)
    size = math.ceil(2 * len(points) / most)
    kept = {points[0], points[-1]}
    for start in range(0, len(points), size):
        stretch = points[start : start + size]
        kept |= {min(stretch, key=_value), max(stretch, key=_value)}
    return sorted(kept)


def ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    """Return about five round values from `low` to `high`; with `whole`, whole numbers."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    if whole:
        step = max(1.0, float(round(step)))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, min(last, first + 20) + 1)]


def _value(point: tuple[int, float]) -> float:
    return point[1]


_Scale = Callable[[float], float]


def _axis(
    low: float, high: float, start: int, end: int, *, whole: bool = False
) -> tuple[_Scale, list[tuple[float, str]]]:
    size = max(abs(low), abs(high))
    if high - low <= max(1e-9 * size, 1e-290):
        room = 0.5 if whole or not size else max(0.05 * size, 1e-280)
        low, high = low - room, high + room
    span = high - low
    return (
        lambda value: start + (end - start) * (value - low) / span,
        [(at, f"{at:.6g}") for at in ticks(low, high, whole=whole)],
    )


def _log_axis(low: float, high: float, start: int, end: int) -> tuple[_Scale, list[tuple[float, str]]]:
    first, last = math.log10(low) if low > 0 else 0.0, math.log10(high) if high > 0 else 1.0
    if last - first < 0.3:
        first, last = first - 0.15, last + 0.15
    step = max(1, math.ceil((last - first) / 6))
    marks: list[float] = [10.0**power for power in range(math.ceil(first), math.floor(last) + 1, step)]
    if len(marks) < 2:  # within one power of ten
        powers = range(math.floor(first), math.ceil(last) + 1)
        near = [factor * 10.0**power for power in powers for factor in (1, 2, 3, 5, 7)]
        marks = [at for at in near if first <= math.log10(at) <= last]
    return (
        lambda value: start + (end - start) * (math.log10(value) - first) / (last - first),
        [(at, f"{at:.3g}") for at in marks],
    )


def _grid(
    x_of: _Scale, x_ticks: Iterable[tuple[float, str]], y_of: _Scale, y_ticks: Iterable[tuple[float, str]], axis: str
) -> Iterable[Element]:
    bottom = HEIGHT - _BOTTOM
    for y, word in y_ticks:
        at = _at(y_of(y))
        yield element("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=at, y2=at, class_="grid")
        yield element("text", word, x=_LEFT - 6, y=_at(y_of(y) + 4), text_anchor="end")
    for x, word in x_ticks:
        yield element("text", word, x=_at(x_of(x)), y=bottom + 16, text_anchor="middle")
    yield element("text", "round", x=(_LEFT + WIDTH - _RIGHT) // 2, y=HEIGHT - 6, text_anchor="middle")
    middle = (bottom + _TOP) // 2
    turned = f"rotate(-90 12 {middle})"
    yield element("text", axis, x=12, y=middle, text_anchor="middle", transform=turned)


def _drawn_line(points: Sequence[tuple[int, float]], at: int, x_of: _Scale, y_of: _Scale) -> list[Element]:
    style = f"l{at % LINES}"
    found = []
    if len(points) > 1:
        dash = _DASHES[at % LINES]
        found.append(
            element("polyline", points=_path(points, x_of, y_of), class_=f"{style} line", stroke_dasharray=dash)
        )
    if len(points) < 3:  # a single round is a point, which a line alone would not show
        found += [element("circle", cx=_at(x_of(x)), cy=_at(y_of(y)), r=3, class_=style) for x, y in points]
    return found


def _legend(
    chart: Chart,
    shown: Sequence[tuple[Line, Sequence[tuple[int, float]]]],
    bands: Sequence[tuple[Sequence[tuple[int, float]], Sequence[tuple[int, float]]]],
    levels: Mapping[str, float],
) -> Element:
    words = []
    for at, (line, part) in enumerate(shown):
        if part:
            dash = _DASHES[at % LINES]
            words.append(_word(line.label, f"l{at % LINES} line", dash))
    if any(low and low != high for low, high in bands):
        words.append(element("span", "band: worst to best"))
    words += [_word(name, "level", _level_dash(at)) for at, name in enumerate(levels)]
    return element("figcaption", *words, None if words else ("not measured" if chart.empty else ""))


def _word(label: str, style: str, dash: str | None) -> Element:
    line = element("line", x1=0, x2=26, y1=4, y2=4, class_=style, stroke_dasharray=dash)
    return element("span", element("svg", line, viewBox="0 0 26 8"), label)


def _level_dash(at: int) -> str:
    return ("6 4", "1.5 3")[at % 2]


def _path(points: Iterable[tuple[int, float]], x_of: _Scale, y_of: _Scale) -> str:
    return " ".join(f"{_at(x_of(x))},{_at(y_of(y))}" for x, y in points)


def _at(place: float) -> str:
    return f"{place:.1f}"
