"""What sites should look at, though their columns fit: units that may differ, names spelled in several ways, ids."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from ..plugins import listed
from .kinds import number
from .schema import Schema, all_differ
from .site_schema import SiteSchema

FEW = 10
"""Means and spreads of fewer cells than this say nothing of a unit."""

FACTOR = 10.0
"""Where a column's sizes and spreads at two sites are so far apart, they may have measured it in other units."""


def cautions(schema: Schema, sites: Mapping[str, SiteSchema], classes: Sequence[object] | None) -> tuple[str, ...]:
    """Return a line for each finding, about the columns in use and the classes of the target."""
    found: list[str] = []
    for place, (column, kind) in enumerate(zip(schema.columns, schema.kinds, strict=True)):
        if column in schema.left_out:
            continue
        if kind == "number":
            found += [*_units(column, place, sites), *_ids(column, place, sites)]
        if kind == "category":
            told = {site: known.categories.get(column, ()) for site, known in sites.items()}
            names = {site: known for site, known in told.items() if not isinstance(known, int)}
            found += [*spellings(f'column "{column}"', names), *_forms(column, names)]
    if classes is not None:
        texts = {
            site: [label for label in known.statistics.classes or () if isinstance(label, str)]
            for site, known in sites.items()
        }
        found += spellings("the target", texts)
    return tuple(found)


def spellings(what: str, sites: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Find names that differ in case or blanks only."""
    known: dict[str, dict[str, str]] = {}
    for site, names in sites.items():
        for name in names:
            known.setdefault("".join(name.split()).casefold(), {}).setdefault(name, site)
    for spelled in known.values():
        if len(spelled) > 1:
            ways = [f"{name!r} (site {site})" for name, site in sorted(spelled.items())]
            yield f"{what}: {listed(ways, 4)} differ in case or blanks only, and are taken for different ones"


def _forms(column: str, sites: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Find categories that are one number in several forms: with gaps in its column, many a program writes 1 as 1.0."""
    known: dict[float, dict[str, str]] = {}
    for site, names in sites.items():
        for name in names:
            if (value := number(name)) is not None:
                known.setdefault(value, {}).setdefault(name, site)
    if one := next((forms for forms in known.values() if len(forms) > 1), None):
        ways = listed([f"{name!r} (site {site})" for name, site in sorted(one.items())], 4)
        yield f'column "{column}": {ways} are one number, and are taken for different categories: write them alike'


def _units(column: str, place: int, sites: Mapping[str, SiteSchema]) -> Iterator[str]:
    sizes: dict[str, tuple[float, float]] = {}
    for site, known in sites.items():
        inputs = known.statistics.inputs
        spread = float(inputs.deviation[place])
        if known.present(place) >= FEW and spread > 0:
            sizes[site] = (math.hypot(float(inputs.mean[place]), spread), spread)
    if len(sizes) < 2:
        return
    large, small = max(sizes, key=lambda site: sizes[site][0]), min(sizes, key=lambda site: sizes[site][0])
    ratios = [one / other for one, other in zip(sizes[large], sizes[small], strict=True)]
    if min(ratios) >= FACTOR:
        yield (
            f'column "{column}": values and spread at site {large} are about {_round(ratios[0])} times those at site '
            f"{small}: is it the same unit at both?"
        )


def _ids(column: str, place: int, sites: Mapping[str, SiteSchema]) -> Iterator[str]:
    if all_differ(place, sites):
        yield f'column "{column}" has another whole number in every row: if it is an id, say --id {column} at each site'


def _round(ratio: float) -> str:
    digits = -math.floor(math.log10(ratio))
    return f"{round(ratio, digits):,.0f}"
