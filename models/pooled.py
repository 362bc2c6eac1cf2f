"""What round 0 tells a summed model of the rows of all sites: how many there are, and about where they lie.

Sums of squares keep their digits only near the data: all sites take their sums from one point, the means of all rows.
Any point near them would do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .moments import IncompatibleSites, described


@dataclass(frozen=True)
class Pooled:
    """Rows of all sites, whatever any of them counts for elsewhere."""

    rows: float
    center: tuple[float, ...]  # the mean of each raw column; of dates in seconds since 1970, 0 of categories
    target: float  # the mean of quantities; 0 of labels

    def __post_init__(self) -> None:
        if not (self.rows >= 1 and np.isfinite([self.rows, *self.center, self.target]).all()):
            raise IncompatibleSites("pooled rows without a number of rows, or with a mean that is not finite")


def of_pooled(pooled: Pooled | None) -> dict[str, Any]:
    """Return the pooled rows as plain values that JSON and msgpack carry exactly, nothing where there are none."""
    if pooled is None:
        return {}
    return {"pooled": {"rows": pooled.rows, "center": list(pooled.center), "target": pooled.target}}


def pooled_in(fields: Mapping[str, Any], width: int) -> Pooled | None:
    """Return the pooled rows of a preprocessing's plain values, None where there are none.

    Raises IncompatibleSites for anything else.
    """
    known = fields.get("pooled")
    if known is None:
        return None
    with described("pooled rows"):
        found = Pooled(float(known["rows"]), tuple(map(float, known["center"])), float(known["target"]))
    if len(found.center) != width:
        raise IncompatibleSites(f"the means of {len(found.center)} columns, of {width}")
    return found
