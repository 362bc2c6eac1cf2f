"""Rules that merge vectors of which some may be Byzantine: pure functions over flat vectors.

In all of them `vectors` is a sequence of n arrays of shape (d,), of one dtype, finite, which may be read-only and are
never changed; f is how many of them may be Byzantine; the result is a new array of shape (d,) and their dtype. They
raise IncompatibleWeights for vectors that differ in length or dtype, ValueError for none at all, and RobustnessError
for more Byzantine vectors among n than the rule's theory tolerates.
"""

from .breakdown import DEMANDS, RobustnessError, check, max_byzantine
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
    "max_byzantine",
    "multi_krum",
    "squared_distances",
    "trimmed_mean",
]
