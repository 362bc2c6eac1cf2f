"""The table [hierarchy] of an experiment."""

from dataclasses import dataclass

from .ranges import Count, Positive


@dataclass(frozen=True, kw_only=True)
class HierarchyConfig:
    """Aggregators between the coordinator and its clients, a region each."""

    # launch: the clients are divided into so many regions, each with an aggregator. Of an aggregator that is started
    # without the launcher: how many there are, as the run above has nodes.
    regions: Count | None = None
    # How long a region's round lasts at most, less than one of the run above; None: 0.8 of that.
    deadline_s: Positive | None = None
