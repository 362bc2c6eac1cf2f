"""A description as one HTML page that needs nothing else: no script, no file beside it, no network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..runtime.printable import html_text
from .figures_text import HIDDEN, ORDERED, OTHER, categories, count, gave, outline, row, spans_days
from .svg import bars, histogram, strip

STYLE = """
:root { color-scheme: light dark; --ink: #1d2327; --quiet: #5f6b73; --line: #d9dfe3; --bar: #0b6e99; --paper: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6eaed; --quiet: #9aa7b0; --line: #36424a; --bar: #4fb3dd; --paper: #14191d; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto;
  max-width: 62rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin: 0; } h3 { font-size: 1rem; }
.quiet, caption { color: var(--quiet); } caption { text-align: left; }
section { border-top: 1px solid var(--line); padding: 1.2rem 0; }
.kind { color: var(--quiet); font-weight: normal; font-size: .9rem; margin-left: .5rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; margin-top: .6rem; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child, .text { text-align: left; }
.text { white-space: normal; }
thead th { color: var(--quiet); font-weight: 600; }
tr.all td { font-weight: 600; }
svg { display: block; max-width: 100%; height: auto; } td svg { height: 22px; }
svg rect { fill: var(--bar); } svg rect.tail { opacity: .45; } svg .box rect { fill: var(--quiet); opacity: .6; }
svg .box line { stroke: var(--ink); stroke-width: 2; } svg text { fill: var(--quiet); font-size: 12px; }
details { margin-top: .5rem; } summary { cursor: pointer; color: var(--quiet); }
td.r { color: #111; } nav { columns: 12rem; font-size: .9rem; margin: 1rem 0; } nav a { color: var(--bar); }
"""


def page_of(description: Mapping[str, Any]) -> str:
    """Return the page of a description, as `Description.to_dict` has it."""
    columns = description["columns"]
    contents = "".join(f'<a href="#c{n}">{html_text(name)}</a><br>' for n, name in enumerate(columns))
    sections = "".join(_column(n, name, known) for n, (name, known) in enumerate(columns.items()))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Description of {len(description['sites'])} sites</title><style>{STYLE}</style></head><body>"
        f"<h1>Description of {len(description['sites'])} sites</h1>"
        f'<p class="quiet">{html_text(outline(description))}. {_rule(description["min_rows"])}</p>'
        f"{_sites(description['sites'])}<nav>{contents}</nav>{sections}"
        f"{_correlations(description.get('correlations'))}</body></html>\n"
    )


def _rule(floor: int) -> str:
    return (
        f"No count from 1 to {floor - 1} is shown, and none from which one could be computed: those are "
        f"“{HIDDEN}”. Bins are joined until each has {floor} values, or none; a long tail is a pale bar, not to scale."
        if floor > 1
        else "All counts are shown."
    )


def _sites(sites: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for name, site in sites.items():
        lines = "".join(
            f"<tr><td>{html_text(line['question'])}</td><td class='text'>{html_text(line['what'])}</td>"
            f"<td>{count(line['numbers'])}</td><td>{count(line['names'])}</td></tr>"
            for line in site["gave"]
        )
        told = f"{gave(site)}" if site["answered"] else f"nothing: it {html_text(site['reason'])}"
        if lines:
            head = "<thead><tr><th>question</th><th class='text'>what</th><th>numbers</th><th>names</th></tr></thead>"
            told = f"<details><summary>{told}</summary><table>{head}{lines}</table></details>"
        number = count(site["rows"]) if site["answered"] else ""
        rows.append(f"<tr><td>{html_text(name)}</td><td>{number}</td><td class='text'>{told}</td></tr>")
    head = "<thead><tr><th>site</th><th>rows</th><th class='text'>gave away, to the node that asked</th></tr></thead>"
    return f"<section><h2>Sites</h2><div class='wide'><table>{head}{''.join(rows)}</table></div></section>"


def _column(number: int, name: str, known: Mapping[str, Any]) -> str:
    pooled, note = known["pooled"], known.get("note")
    parts = [f'<section id="c{number}"><h2>{html_text(name)}<span class="kind">{html_text(known["kind"])}</span></h2>']
    parts += [f'<p class="quiet">{html_text(note)}</p>'] if note else []
    if "histogram" in pooled:
        parts += [histogram(pooled), _of_numbers(known)]
    elif "categories" in pooled:
        parts += [bars(categories(pooled)), _of_categories(known)]
    elif pooled:
        parts.append(f"<p>{count(pooled['gaps'])} gaps, and no values.</p>")
    return "".join([*parts, "</section>"])


def _of_numbers(known: Mapping[str, Any]) -> str:
    names = ["count", "gaps", *(name for name in ORDERED if name in known["pooled"])]
    head = "".join(f"<th>{name}</th>" for name in ("", *names, ""))
    short = spans_days(known["pooled"])
    rows = [
        _row(site, own, known["pooled"], row(own, names, short=short), style)
        for site, own, style in (
            ("all sites", known["pooled"], "all"),
            *((site, own, "") for site, own in known["sites"].items()),
        )
    ]
    return f"<div class='wide'><table><thead><tr>{head}</tr></thead>{''.join(rows)}</table></div>"


def _row(name: str, known: Mapping[str, Any], pooled: Mapping[str, Any], figures: Sequence[str], style: str) -> str:
    picture = strip(known, pooled) if "histogram" in known else ""
    return f'<tr class="{style}"><td>{html_text(name)}</td>{_cells("td", figures)}<td>{picture}</td></tr>'


def _of_categories(known: Mapping[str, Any]) -> str:
    described = {site: own for site, own in known["sites"].items() if "categories" in own}
    head = _cells("th", ["", "all sites", *described])
    everybody = [known["pooled"], *described.values()]
    rows = [
        f"<tr><td>{word}</td>{_cells('td', [count(own[word]) for own in everybody])}</tr>" for word in ("count", "gaps")
    ]
    for name in known["pooled"]["categories"]:
        counts = [count(own["categories"][name]) for own in everybody]
        rows.append(f"<tr><td>{html_text(name)}</td>{_cells('td', counts)}</tr>")
    if known["pooled"]["other"] != 0:
        rows.append(f"<tr><td><i>{OTHER}</i></td>{_cells('td', [count(own['other']) for own in everybody])}</tr>")
    return f"<div class='wide'><table><thead><tr>{head}</tr></thead>{''.join(rows)}</table></div>"


def _correlations(known: Mapping[str, Any] | None) -> str:
    if not known:
        return ""
    tables = [_matrix("all sites", known["columns"], known["pooled"])]
    each = "".join(_matrix(site, known["columns"], own) for site, own in known["sites"].items())
    tables.append(f"<details><summary>each site</summary>{each}</details>")
    return f"<section><h2>Correlations</h2>{''.join(tables)}</section>"


def _matrix(name: str, columns: Sequence[str], rows: Sequence[Sequence[float | None]]) -> str:
    head = _cells("th", ["", *columns])
    body = "".join(
        f"<tr><td>{html_text(column)}</td>{''.join(map(_shade, row))}</tr>"
        for column, row in zip(columns, rows, strict=True)
    )
    table = f"<table><caption>{html_text(name)}</caption><thead><tr>{head}</tr></thead>{body}</table>"
    return f"<div class='wide'>{table}</div>"


def _shade(value: float | None) -> str:
    if value is None:
        return "<td></td>"
    color = "11, 110, 153" if value > 0 else "200, 90, 30"
    return f'<td class="r" style="background: rgba({color}, {abs(value) * 0.55:.2f})">{round(value, 2) + 0.0:.2f}</td>'


def _cells(tag: str, texts: Iterable[str]) -> str:
    return "".join(f"<{tag}>{html_text(text)}</{tag}>" for text in texts)
