"""Description: what all sites together told of their tables; docs/describe.md says what each field means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..moments import IncompatibleSites

Figures = dict[str, Any]
"""Of one column, of all sites together or of one: plain values, None where a count is hidden."""


@dataclass(frozen=True)
class Description:
    """Statistics of each column, of all sites together and of each, and what each site gave away for them.

    Attributes
    ----------
    min_rows : int
        The floor: no site or column with fewer rows is in the figures, and no count from 1 to one less is shown.
    columns : dict
        By name: ``kind``, ``pooled``, ``sites`` and, where something kept it from being described, ``note``.
    sites : dict
        By name: ``answered``, ``rows``, ``reason``, ``gave``.
    correlations : dict or None
        Where asked for: ``columns``, and a matrix in ``pooled`` and for each site in ``sites``.
    """

    min_rows: int
    columns: dict[str, dict[str, Any]]
    sites: dict[str, dict[str, Any]]
    correlations: dict[str, Any] | None = None

    @property
    def rows(self) -> int:
        """The rows of all sites that have answered."""
        return sum(site["rows"] for site in self.sites.values() if site["answered"])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, which JSON can hold."""
        found = {"min_rows": self.min_rows, "rows": self.rows, "sites": self.sites, "columns": self.columns}
        return found if self.correlations is None else {**found, "correlations": self.correlations}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Description:
        """Return what `to_dict` made plain values of. Raises IncompatibleSites for anything else."""
        try:
            return cls(fields["min_rows"], fields["columns"], fields["sites"], fields.get("correlations"))
        except (KeyError, TypeError, AttributeError) as error:
            raise IncompatibleSites(f"not a description: {error}") from error


@dataclass
class Account:
    """What sites have given away: for each question what kind of numbers, and how many."""

    lines: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, site: str, question: str, what: str, numbers: int, names: int = 0) -> None:
        """Add an answer of some numbers, and the names of some categories; numbers of the same question are summed."""
        lines = self.lines.setdefault(site, [])
        if lines and (lines[-1]["question"], lines[-1]["what"]) == (question, what):
            lines[-1]["numbers"] += numbers
            lines[-1]["names"] += names
        elif numbers or names:
            lines.append({"question": question, "what": what, "numbers": numbers, "names": names})
