"""How sites write the cells of a column: told in round 0, so that rows to predict are read as the sites' own were."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

MOST, LONGEST = 64, 200
"""Of formats, and of gap words, that a column of a site may have; and of characters in each."""
MOST_AGREED = 64 * MOST
"""Of formats, and of gap words, that a column of all sites together may have."""


@dataclass(frozen=True)
class Written:
    """What a column's cells need beside its kind.

    Parameters
    ----------
    formats
        As `tables.options.ColumnOptions` has them, one or more where sites differ; numbers with a decimal point and
        dates of ISO 8601 are read beside them.
    gaps
        Texts that are an empty cell besides the usual ones; empty: only cells without a character are. None: the usual.
    """

    formats: tuple[str, ...] = ()
    gaps: tuple[str, ...] | None = None

    def __bool__(self) -> bool:
        return bool(self.formats) or self.gaps is not None


WrittenColumns: TypeAlias = Mapping[str, Written]
"""By the column's name; one of which there is nothing to say is not there."""


def merged(sites: Iterable[WrittenColumns]) -> dict[str, Written]:
    """Return what all sites' files together need: every format, every gap word.

    That only cells without a character are gaps holds where all sites say so.
    """
    told = list(sites)
    names = dict.fromkeys(name for columns in told for name in columns)
    found = {name: _merged([columns.get(name, Written()) for columns in told]) for name in sorted(names)}
    return {name: written for name, written in found.items() if written}


def _merged(sites: list[Written]) -> Written:
    words = {word for one in sites for word in one.gaps or ()}
    only_empty = all(one.gaps == () for one in sites)
    gaps = tuple(sorted(words)) if words or only_empty else None
    return Written(tuple(sorted({form for one in sites for form in one.formats})), gaps)


def written_to_dict(columns: WrittenColumns) -> dict[str, Any]:
    """Return plain values: under "written", or nothing where there is nothing to say."""
    if not columns:
        return {}
    told = {
        name: {"formats": list(one.formats), "gaps": None if one.gaps is None else list(one.gaps)}
        for name, one in columns.items()
    }
    return {"written": told}


def written_from_dict(fields: Mapping[str, Any], columns: Iterable[str], most: int = MOST) -> dict[str, Written]:
    """Return what `written_to_dict` described, of these columns, with at most so many texts for each.

    Raises ValueError for anything else.
    """
    told, known = fields.get("written", {}), set(columns)
    if not isinstance(told, Mapping) or not set(told) <= known:
        raise ValueError("what is said of how columns are written belongs to the columns that there are")
    return {name: Written(_texts(one, "formats", most), _gaps(one, most)) for name, one in told.items()}


def _gaps(told: Any, most: int) -> tuple[str, ...] | None:
    return None if isinstance(told, Mapping) and told.get("gaps") is None else _texts(told, "gaps", most)


def _texts(told: Any, key: str, most: int) -> tuple[str, ...]:
    texts = told.get(key) if isinstance(told, Mapping) else None
    if (
        not isinstance(texts, list | tuple)
        or len(texts) > most
        or not all(isinstance(text, str) and len(text) <= LONGEST for text in texts)
    ):
        raise ValueError(f"the {key} of a column are a list of at most {most} texts of {LONGEST} characters")
    return tuple(texts)
