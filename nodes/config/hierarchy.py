"""The table [hierarchy] of an experiment."""

from dataclasses import dataclass

from .ranges import Count, Positive


@dataclass(frozen=True, kw_only=True)
class HierarchyConfig:
    """Aggregators between the coordinator and its clients, a region each."""

    regions: Count | None = None  # of an aggregator: how many there are, as the run above has nodes
    # How long a region's round lasts at most, less than one of the run above; None: 0.8 of that.
    deadline_s: Positive | None = None
