"""The schema of all sites: which columns there are and of which kind, from what each site has told."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast, get_args

import numpy as np

from ..data.written import MOST_AGREED, WrittenColumns, merged, written_from_dict, written_to_dict
from ..moments import IncompatibleSites
from ..plugins import listed
from ..preprocessing import checked_columns
from ..site_statistics import agreed_columns
from .site_schema import MOST_CATEGORIES, SiteSchema
from .table import Kind

SEVERAL = 20
"""In fewer rows of all sites than this, that all cells of a column differ does not make it an id."""

_ID_NAME = re.compile(r"(?i:(^|.*[\W_])(id|uid|uuid|index|rownames?|unnamed\W*0)$)|.*[a-z]I[Dd]$")

_WORDS = {"number": "numbers", "category": "text", "date": "dates"}


@dataclass(frozen=True)
class Schema:
    """The columns of all sites, in one order, and which of them are of no use to a model."""

    columns: tuple[str, ...]
    kinds: tuple[Kind, ...]
    gaps: tuple[bool, ...]  # whether any site has an empty cell in the column
    left_out: Mapping[str, str]  # ids, constants, texts: a column's name, and why a model should do without it
    written: WrittenColumns = field(default_factory=dict)  # how the sites' files write those that say it

    @property
    def used(self) -> Schema:
        """The same without the columns that are left out."""
        return self.select(tuple(name for name in self.columns if name not in self.left_out))

    def select(self, columns: tuple[str, ...]) -> Schema:
        """Return the schema of some columns, in this order, of which none is left out."""
        places = [self.columns.index(name) for name in columns]
        kinds, gaps = tuple(self.kinds[place] for place in places), tuple(self.gaps[place] for place in places)
        written = {name: said for name, said in self.written.items() if name in columns}
        return Schema(columns, kinds, gaps, {}, written)

    def of_kind(self, kind: Kind) -> tuple[str, ...]:
        return tuple(name for name, known in zip(self.columns, self.kinds, strict=True) if known == kind)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the reasons for leaving columns out as plain values."""
        lists = {"columns": list(self.columns), "kinds": list(self.kinds), "gaps": list(self.gaps)}
        return lists | written_to_dict(self.written)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Schema:
        """Return the schema that `to_dict` described. Raises IncompatibleSites for anything else."""
        try:
            columns, kinds, gaps = checked_columns(fields["columns"]), tuple(fields["kinds"]), tuple(fields["gaps"])
            written = written_from_dict(fields, columns, MOST_AGREED)
        except (KeyError, TypeError, ValueError) as error:
            raise IncompatibleSites(f"a schema has columns, kinds and gaps: {error}") from error
        fits = len(columns) == len(kinds) == len(gaps) and all(type(known) is bool for known in gaps)
        if not fits or not set(kinds) <= set(get_args(Kind)):
            raise IncompatibleSites("a schema has a kind, and whether there are gaps, for each column")
        return cls(columns, cast(tuple[Kind, ...], kinds), gaps, {}, written)


def agree_schema(sites: Mapping[str, SiteSchema]) -> tuple[Schema, dict[str, SiteSchema]]:
    """Return the schema of all sites, and what each told, with its columns in the agreed order and of the agreed kinds.

    Columns are matched by name. One that is all gaps at a site is of whatever kind it has elsewhere.

    Raises IncompatibleSites, which names site, column and both findings: a column is missing at one site; one is of
    another kind than elsewhere.
    """
    if not sites:
        raise IncompatibleSites("no site has told its columns")
    columns = agreed_columns({site: sites[site].statistics for site in sorted(sites)})
    told = {site: sites[site].in_order(columns) for site in sorted(sites)}
    kinds = tuple(_agreed_kind(name, place, told) for place, name in enumerate(columns))
    gaps = tuple(any(site.gaps[place] > 0 for site in told.values()) for place in range(len(columns)))
    reasons = ((name, _why_left_out(name, place, kinds[place], told)) for place, name in enumerate(columns))
    written = merged(site.statistics.written for site in told.values())
    return Schema(columns, kinds, gaps, {name: why for name, why in reasons if why}, written), told


def _agreed_kind(column: str, place: int, sites: Mapping[str, SiteSchema]) -> Kind:
    """Return the kind that most sites have found in a column, or name one that has found another."""
    found = {site: known.kinds[place] for site, known in sites.items() if known.present(place)}
    if not found:
        return next(iter(sites.values())).kinds[place]
    usual = Counter(found.values()).most_common(1)[0][0]
    for site, kind in found.items():
        if kind != usual:
            other = next(name for name, known in found.items() if known == usual)
            raise IncompatibleSites(
                f'site {site} has {_finding(column, kind, sites[site])} in column "{column}", site {other} has '
                f"{_finding(column, usual, sites[other])}: {_remedy(column, {kind, usual})}",
                site,
            )
    return usual


def _finding(column: str, kind: Kind, site: SiteSchema) -> str:
    told = site.categories.get(column, ())
    if kind != "category" or isinstance(told, int):
        return _WORDS[kind]
    return f"text ({listed([repr(category) for category in told], 3)})"


def _remedy(column: str, kinds: set[Kind]) -> str:
    if kinds == {"number", "category"}:
        return f"--categorical {column} takes it for categories at every site, --numeric {column} for numbers"
    if "date" in kinds:
        return f"--date {column} takes it for dates at every site"
    return "say at every site what it holds"


def _why_left_out(column: str, place: int, kind: Kind, sites: Mapping[str, SiteSchema]) -> str | None:
    filled = {site: known for site, known in sites.items() if known.present(place)}
    if not filled:
        return "all its cells are empty"
    differ = all_differ(place, filled)
    if kind == "category":
        told = [known.categories.get(column, ()) for known in filled.values()]
        if differ:
            return "each row has another text, as an id has"
        many = {site: n for site, n in zip(filled, told, strict=True) if isinstance(n, int) and n > MOST_CATEGORIES}
        if many:
            site, count = max(many.items(), key=lambda item: item[1])
            return f"site {site} has {count} categories, and a column is taken with {MOST_CATEGORIES} at most"
        names = {category for known in told if not isinstance(known, int) for category in known}
        withheld = any(isinstance(known, int) for known in told)
        return (
            f"all rows have {names.pop()!r}" if len(names) == 1 and not withheld and not _gaps(place, sites) else None
        )
    if differ and _ID_NAME.match(column):
        return "each row has another number, and it is named as an id"
    return "all rows have the same value" if _constant(place, filled) else None


def all_differ(place: int, sites: Mapping[str, SiteSchema]) -> bool:
    """Whether each row has another category or whole number at all sites that tell it, and these have several rows."""
    telling = [known for known in sites.values() if known.differ[place] is not None]
    rows = sum(known.present(place) for known in telling)
    return rows >= SEVERAL and all(known.differ[place] or known.present(place) < 2 for known in telling)


def _gaps(place: int, sites: Mapping[str, SiteSchema]) -> bool:
    return any(known.gaps[place] for known in sites.values())


def _constant(place: int, sites: Mapping[str, SiteSchema]) -> bool:
    means = [float(known.statistics.inputs.mean[place]) for known in sites.values()]
    spread = max(float(known.statistics.inputs.deviation[place]) for known in sites.values())
    return spread == 0 and max(means) - min(means) <= 16 * float(np.finfo(np.float64).eps) * abs(means[0])
