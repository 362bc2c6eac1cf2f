"""Rules that merge vectors of which some may be hostile: pure functions over flat vectors of one dtype and length.

The inputs may be read-only and are never changed; what comes back is a new vector in their dtype. Values have to be
finite: refusing others is the business of whoever receives them. Each rule says how many hostile vectors its theory
allows among n, and refuses more by `RobustnessError`.
"""

from .breakdown import DEMANDS, RobustnessError, check, most_hostile
from .coordinate_wise import coordinate_median, trimmed_mean
from .distances import distances_to, squared_distances
from .geometric import centered_clipping, clip_by_norm, clip_factors, geometric_median
from .krum import bulyan, bulyan_selection, krum, krum_order, multi_krum

__all__ = [
    "DEMANDS",
    "RobustnessError",
    "bulyan",
    "bulyan_selection",
    "centered_clipping",
    "check",
    "clip_by_norm",
    "clip_factors",
    "coordinate_median",
    "distances_to",
    "geometric_median",
    "krum",
    "krum_order",
    "most_hostile",
    "multi_krum",
    "squared_distances",
    "trimmed_mean",
]
