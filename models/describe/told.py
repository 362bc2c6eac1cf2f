"""What sites have told of their columns, taken apart and checked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..agreement.questions import Answer
from ..moments import IncompatibleSites, Moments
from ..tables.table import Kind
from .site import FIGURES

KINDS: tuple[Kind, ...] = ("number", "category", "date")


@dataclass
class Told:
    """The answers of one site.

    `figures` has, of each column that it describes, what `FIGURES` names, or the count alone of categories; `few` are
    its columns with fewer values than the floor, `empty` those without any.
    """

    site: str
    rows: int
    kinds: Mapping[str, str]
    figures: dict[str, dict[str, float]] = field(default_factory=dict)
    names: dict[str, Sequence[str]] = field(default_factory=dict)
    whole: set[str] = field(default_factory=set)
    few: set[str] = field(default_factory=set)
    empty: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, site: str, answer: Answer) -> Told:
        """Return what the answer to the first question says. Raises IncompatibleSites for what no honest site says."""
        rows, kinds = answer.fields.get("rows"), answer.fields.get("columns")
        if not isinstance(rows, int) or not isinstance(kinds, Mapping) or rows < 1:
            raise IncompatibleSites(f"site {site} does not say which rows and columns it has", site)
        if not all(isinstance(name, str) and kind in (*KINDS, "") for name, kind in kinds.items()):
            raise IncompatibleSites(f"site {site} has columns of unknown kinds", site)
        return cls(site, rows, kinds)

    def hear(self, columns: Mapping[str, Kind], answer: Answer, floor: int) -> None:
        """Take the answer to the question for the figures of some columns. Raises IncompatibleSites, as `of` does."""
        fields = answer.fields
        self.few |= self._listed(fields, "few")
        self.empty |= self._listed(fields, "empty")
        self.whole |= self._listed(fields, "whole")
        named = fields.get("names", {})
        self.names |= named if isinstance(named, Mapping) else {}
        left = answer.vector
        for name, kind in columns.items():
            if name not in self.kinds or name in self.few or name in self.empty:
                continue
            width = 1 if kind == "category" else len(FIGURES)
            told, left = left[:width], left[width:]
            if len(told) < width or not floor <= told[0] <= self.rows:
                raise IncompatibleSites(f'site {self.site}: no figures of column "{name}"', self.site)
            self.figures[name] = dict(zip(FIGURES, told.tolist(), strict=False))
            if kind != "category" and not self._ordered(name):
                raise IncompatibleSites(f'site {self.site}: figures of column "{name}" that cannot be', self.site)
            names = self.names.get(name, [])
            if kind == "category" and not (isinstance(names, list | tuple) and all(isinstance(n, str) for n in names)):
                raise IncompatibleSites(f'site {self.site}: column "{name}" has categories that are no text', self.site)
        if len(left):
            raise IncompatibleSites(f"site {self.site} sent {len(left)} numbers too many", self.site)

    def moments(self, column: str) -> Moments:
        known = self.figures[column]
        return Moments(known["count"], np.array([known["mean"]]), np.array([known["m2"]]))

    def _ordered(self, column: str) -> bool:
        known = self.figures[column]
        order = [known[name] for name in ("min", "q1", "median", "q3", "max")]
        try:
            self.moments(column)
        except IncompatibleSites:
            return False
        return order == sorted(order) and all(map(math.isfinite, order))

    def gaps(self, column: str) -> int:
        return self.rows - int(self.figures[column]["count"])

    def _listed(self, fields: Mapping[str, Any], key: str) -> set[str]:
        found = fields.get(key, [])
        if not isinstance(found, list | tuple) or not all(isinstance(name, str) for name in found):
            raise IncompatibleSites(f"site {self.site}: {key} must be a list of columns", self.site)
        return set(found)


def agreed_kinds(sites: Sequence[Told]) -> tuple[dict[str, Kind], dict[str, dict[str, str]]]:
    """Return the kinds of the columns that have one, and of the others which kind they have at which site.

    A column without any value has the kind that it has elsewhere; "number" where it has none anywhere.
    """
    kinds: dict[str, Kind] = {}
    odd: dict[str, dict[str, str]] = {}
    for name in dict.fromkeys(name for told in sites for name in told.kinds):
        found = {told.site: told.kinds[name] for told in sites if told.kinds.get(name)}
        if len(set(found.values())) > 1:
            odd[name] = found
        else:
            kinds[name] = next((kind for kind in KINDS if kind in found.values()), "number")
    return kinds, odd


def counts_of(told: Told, cells: Mapping[str, int], answer: Answer) -> dict[str, NDArray[np.int64]]:
    """Return the counts of each column that a site describes, from its answer. Raises IncompatibleSites."""
    found, left = {}, answer.vector
    for name, width in cells.items():
        if name not in told.figures:
            continue
        part, left = left[:width], left[width:]
        whole = part.astype(np.int64)
        if len(part) < width or not (whole == part).all() or (whole < 0).any():
            raise IncompatibleSites(f'site {told.site}: no counts of column "{name}"', told.site)
        if whole.sum() != told.figures[name]["count"]:
            raise IncompatibleSites(f'site {told.site}: counts of column "{name}" that do not add up', told.site)
        found[name] = whole
    return found
