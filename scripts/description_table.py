"""A description as a table in the terminal: drawn by rich where it is installed, else in plain lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from nervenet.nodes.describing.figures_text import ORDERED, categories, count, gave, outline, row, spans_days
from nervenet.nodes.runtime.printable import printable

MOST = 6  # categories in a line
PAIRS = 10  # of columns that correlate
WIDE = 24  # characters of a name


def print_description(description: Mapping[str, Any], file: TextIO, *, rich: bool) -> None:
    """Print what all sites told together, and what each gave away."""
    show = _rich if rich else _plain
    print(printable(outline(description)), file=file)
    for kind in ("number", "date"):
        pooled = {n: c["pooled"] for n, c in description["columns"].items() if c["kind"] == kind}
        names = ("count", "gaps", *(name for name in ORDERED if kind == "number" or name != "std"))
        rows = [[n, *row(c, names, short=spans_days(c))] for n, c in pooled.items() if "histogram" in c]
        if rows:
            show(["column", *names], rows, file)
    words = {n: c["pooled"] for n, c in description["columns"].items() if "categories" in c["pooled"]}
    if words:
        rows = [[name, count(c["count"]), count(c["gaps"]), _categories(c)] for name, c in words.items()]
        show(["column", "count", "gaps", "categories"], rows, file)
    for name, column in description["columns"].items():
        if "note" in column or not ("histogram" in column["pooled"] or "categories" in column["pooled"]):
            print(printable(f"{name}: {column.get('note', 'no values')}"), file=file)
    _print_correlations(description.get("correlations"), file, rich=rich)
    sites = description["sites"].items()
    rows = [[name, count(s["rows"]) if s["answered"] else "", _told(s)] for name, s in sites]
    show(["site", "rows", "gave away"], rows, file)


def _categories(known: Mapping[str, Any]) -> str:
    named = categories(known)
    more = f", {len(named) - MOST} more" if len(named) > MOST else ""
    return ", ".join(f"{_short(name)} {count(n)}" for name, n in named[:MOST]) + more


def _told(site: Mapping[str, Any]) -> str:
    return gave(site) if site["answered"] else f"nothing: it {site['reason']}"


def _print_correlations(known: Mapping[str, Any] | None, file: TextIO, *, rich: bool) -> None:
    """Print the strongest correlations: a matrix of many columns fits no terminal."""
    if not known:
        return
    names, matrix = known["columns"], known["pooled"]
    found = [
        (value, names[row], names[place])
        for row, values in enumerate(matrix)
        for place, value in enumerate(values[:row])
        if value is not None
    ]
    strongest = sorted(found, key=lambda pair: -abs(pair[0]))[:PAIRS]
    if strongest:
        rows = [[one, _short(other), f"{round(value, 2) + 0.0:.2f}"] for value, one, other in strongest]
        (_rich if rich else _plain)(["column", "and", "correlation"], rows, file)
    if len(found) > PAIRS:
        print(f"of {len(found)} pairs the {PAIRS} that correlate most", file=file)


def _short(text: str) -> str:
    return text if len(text) <= WIDE else f"{text[: WIDE - 1]}…"


def _left(header: Sequence[str]) -> list[bool]:
    """Return which columns are text, to be read from the left."""
    return [name in ("column", "and", "site", "categories", "gave away") for name in header]


def _plain(header: Sequence[str], rows: Sequence[Sequence[str]], file: TextIO) -> None:
    lines = [
        [printable(cell) for cell in line] for line in (header, *([_short(first), *rest] for first, *rest in rows))
    ]
    wide = [max(map(len, column)) for column in zip(*lines, strict=True)]
    left = _left(header)

    def text(line: Sequence[str]) -> str:
        cells = zip(line, wide, left, strict=True)
        return "  ".join(
            f"{cell:<{width}}" if is_text else f"{cell:>{width}}" for cell, width, is_text in cells
        ).rstrip()

    print("", text(lines[0]), "─" * (sum(wide) + 2 * len(wide) - 2), *map(text, lines[1:]), sep="\n", file=file)


def _rich(header: Sequence[str], rows: Sequence[Sequence[str]], file: TextIO) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for name, is_text in zip(header, _left(header), strict=True):
        table.add_column(Text(printable(name)), justify="left" if is_text else "right", no_wrap=not is_text)
    for first, *rest in rows:
        table.add_row(*(Text(printable(cell)) for cell in (_short(first), *rest)))
    console = Console(file=file, highlight=False)
    # Digits are never cut: where the terminal is too narrow it wraps the lines itself.
    numbers = sum(max(len(line[place]) for line in (header, *rows)) + 3 for place in range(1, len(header) - 1))
    console.width = max(console.width, numbers + WIDE + 20)
    console.print(table)
