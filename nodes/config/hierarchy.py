"""The table [hierarchy] of an experiment."""

from dataclasses import dataclass

from .ranges import Count, Positive


@dataclass(frozen=True, kw_only=True)
class HierarchyConfig:
    """Aggregators between the coordinator and its clients, a region each."""

    # launch, simulate: the clients are divided into so many regions, each with an aggregator. Of an aggregator that is
    # started without the launcher: how many there are, as the run above has nodes.
    regions: Count | None = None
    # How many rounds a region makes of each one above, from its model on: kappa_2 of Liu et al. 2020, whose kappa_1 are
    # the steps of training.epochs. Said at the aggregators; more of them: fewer messages above.
    region_rounds: Count = 1
    # How long a region's rounds for one above last at most, less than one of the run above; None: 0.8 of that.
    deadline_s: Positive | None = None
