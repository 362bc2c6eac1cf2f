"""The gossip algorithms that go by rounds: what is sent after local training, and what is made of what came.

`registry` has the names, `base` what an algorithm is, `requirements` what its theory excludes.
"""

from .base import (
    Algorithm,
    AlgorithmError,
    Incoming,
    Needs,
    Outgoing,
    OutgoingVector,
    Progress,
    State,
    Stepped,
    in_order,
)

__all__ = [
    "Algorithm",
    "AlgorithmError",
    "Incoming",
    "Needs",
    "Outgoing",
    "OutgoingVector",
    "Progress",
    "State",
    "Stepped",
    "in_order",
]
